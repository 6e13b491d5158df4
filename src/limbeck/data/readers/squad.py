"""SQuAD's own JSON, versions 1.1 and 2.0: questions with their contexts and answers."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.data.readers.row import BadRows, check_file
from limbeck.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A part of the context: its text and its first character."""

    text: str
    start: int


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question. No answers: the context does not tell (SQuAD 2.0), or nobody has said."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] = ()
    title: str = ""


def read_squad(
    path: str | Path, *, report: Callable[[str], None] | None = None
) -> Iterator[Question]:
    """The questions of a SQuAD file, in its order; `.gz` is unpacked.

    Args:
        report: told of each bad question (file, place, what is wrong) as it is met, and the
            question is left out; None: good ones are given first, then an InputError names the
            bad ones.

    Raises:
        InputError: no such file, no JSON, no SQuAD, or bad questions and no `report`.
    """
    path = Path(path)
    document = _parse(path)
    articles = document.get("data") if isinstance(document, dict) else None
    if not isinstance(articles, list):
        raise InputError(
            f"{path} is not in SQuAD's format: its JSON has no list 'data' of articles; "
            "for rows of questions give JSONL with columns question, context and answers"
        )
    bad = BadRows(str(path), report)
    seen: set[str] = set()
    for number, article in enumerate(articles, start=1):
        for place, context, entry, title in _entries(article, number, bad):
            try:
                question = _question(context, entry, title, seen)
            except InputError as error:
                bad.add(place, str(error))
                continue
            seen.add(question.id)
            yield question
    bad.close()


def _parse(path: Path) -> Any:
    check_file(path)
    try:
        if path.name.lower().endswith(".gz"):
            data = gzip.decompress(path.read_bytes())
        else:
            data = path.read_bytes()
        return json.loads(data.decode("utf-8-sig"))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from None


def _entries(
    article: Any, number: int, bad: BadRows
) -> Iterator[tuple[str, str, Mapping[str, Any], str]]:
    """Each question's place, context and entry; what has no such shape is bad as a whole."""
    if not isinstance(article, dict) or not isinstance(article.get("paragraphs"), list):
        bad.add(f"article {number}", "no list of paragraphs")
        return
    title = article.get("title")
    for index, paragraph in enumerate(article["paragraphs"], start=1):
        place = f"article {number}, paragraph {index}"
        context = paragraph.get("context") if isinstance(paragraph, dict) else None
        asked = paragraph.get("qas") if isinstance(paragraph, dict) else None
        if not isinstance(context, str) or not isinstance(asked, list):
            bad.add(place, "no context, or no list of questions")
            continue
        for count, entry in enumerate(asked, start=1):
            if not isinstance(entry, dict):
                bad.add(f"{place}, question {count}", "not an object")
                continue
            yield (
                f"{place}, question {count}",
                context,
                entry,
                title if isinstance(title, str) else "",
            )


def _question(context: str, entry: Mapping[str, Any], title: str, seen: set[str]) -> Question:
    name, question = entry.get("id"), entry.get("question")
    if not isinstance(name, str | int) or isinstance(name, bool) or str(name) == "":
        raise InputError("no id")
    if str(name) in seen:
        raise InputError(f"id {name} is there twice")
    if not isinstance(question, str) or not question.strip():
        raise InputError(f"{name}: no question")
    if not context.strip():
        raise InputError(f"{name}: the context is empty")
    answers: tuple[Answer, ...] = ()
    if not entry.get("is_impossible"):
        given = entry.get("answers", [])
        if not isinstance(given, list):
            raise InputError(f"{name}: answers are not a list")
        answers = tuple(_answer(one, context, str(name)) for one in given)
    return Question(id=str(name), question=question, context=context, answers=answers, title=title)


def _answer(value: Any, context: str, name: str) -> Answer:
    text = value.get("text") if isinstance(value, dict) else None
    start = value.get("answer_start") if isinstance(value, dict) else None
    if not isinstance(text, str) or not isinstance(start, int) or isinstance(start, bool):
        raise InputError(f"{name}: an answer needs text and answer_start")
    if not text:
        raise InputError(f"{name}: an answer is empty")
    if start < 0 or context[start : start + len(text)] != text:
        found = context[max(0, start) : max(0, start) + len(text)]
        raise InputError(
            f"{name}: answer {text[:40]!r} does not stand at character {start}, where the context "
            f"has {found[:40]!r}"
        )
    return Answer(text=text, start=start)
