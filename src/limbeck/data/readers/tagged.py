"""Tagged sentences from any format that holds them: CoNLL columns, or rows with two lists."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from limbeck.data.readers.conll import NO_TOKEN, Sentence, read_conll
from limbeck.data.readers.hub import is_hub_name, read_hub
from limbeck.data.readers.json_lines import read_json_lines
from limbeck.data.readers.parquet import read_parquet
from limbeck.data.readers.read import format_of, open_text
from limbeck.data.readers.row import BadRows, Columns, Raw, check_file
from limbeck.errors import InputError

_CONLLU_ENDING = ".conllu"
_CONLL_ENDINGS = (".conll", _CONLLU_ENDING, ".txt", ".bio", ".iob", ".iob2")
# Sentences after which it is known whether the words of a file are numbers of words.
_TELLING_SENTENCES = 20


def read_tagged(
    path: str | Path,
    *,
    word_column: str | None = None,
    tag_column: str | None = None,
    report: Callable[[str], None] | None = None,
) -> Iterator[Sentence]:
    """Sentences of a CoNLL file (.conll, .txt, .bio ...), or of JSONL or Parquet rows that hold a
    list of words and a list of tags; or of a data set of the hub (hub:OWNER/NAME:SPLIT).

    Args:
        word_column, tag_column: of rows their names, None: "tokens" and "tags". Of CoNLL columns
            their numbers, 1 is the first; None: the first and the last, and of .conllu FORM and
            UPOS, the second and the fourth.
        report: told of each bad sentence, which is left out; None: bad ones are an error.

    Raises:
        InputError: the file cannot be read, or has no such columns; or the first of CoNLL columns
            counts the words, and no other one was named.
        MissingExtraError: Parquet without pyarrow.
    """
    if not is_hub_name(path) and _ending_of(Path(path)).endswith(_CONLL_ENDINGS):
        return _from_conll(Path(path), word_column, tag_column, report)
    word_column, tag_column = word_column or "tokens", tag_column or "tags"
    if is_hub_name(path):
        wanted = Columns(text=word_column, keep=(tag_column,))
        return _from_hub(str(path), wanted, BadRows(str(path), report))
    path = Path(path)
    check_file(path)
    return _rows(path, word_column, tag_column, BadRows(str(path), report))


def _ending_of(path: Path) -> str:
    return path.name.lower().removesuffix(".gz")


def _from_conll(
    path: Path,
    word_column: str | None,
    tag_column: str | None,
    report: Callable[[str], None] | None,
) -> Iterator[Sentence]:
    numbered = _ending_of(path).endswith(_CONLLU_ENDING)
    word = _place(word_column, "text", path, 1 if numbered else 0)
    tag = _place(tag_column, "label", path, 3 if numbered else -1)
    if word == tag:
        raise InputError(f"{path}: column {word + 1} cannot be the words and the tags")
    sentences = read_conll(path, word_column=word, tag_column=tag, numbered=numbered, report=report)
    return sentences if numbered or word_column is not None else _checked(sentences, path)


def _place(column: str | None, option: str, path: Path, usual: int) -> int:
    if column is None:
        return usual
    if not re.fullmatch("[1-9][0-9]{0,3}", column):
        raise InputError(
            f"{path} has CoNLL columns, which have numbers and no names; give --{option}-column a "
            f"number, 1 is the first, or leave it out; found {column!r}"
        )
    return int(column) - 1


def _checked(sentences: Iterator[Sentence], path: Path) -> Iterator[Sentence]:
    """The same sentences, once it is seen that their words are not 1, 2, 3 and so on."""
    seen = []
    for sentence in sentences:
        seen.append(sentence)
        if len(seen) == _TELLING_SENTENCES or not _counts(sentence.words):
            break
    if any(len(one.words) > 1 for one in seen) and all(_counts(one.words) for one in seen):
        raise InputError(
            f"{path}: the first column counts the words (1, 2, 3 ...); name the column with the "
            "words by --text-column and that with the tags by --label-column, 1 is the first, or "
            "name a file in CoNLL-U .conllu"
        )
    yield from itertools.chain(seen, sentences)


def _counts(words: Sequence[str]) -> bool:
    numbers = [one for one in words if not NO_TOKEN.fullmatch(one)]
    return numbers in ([str(first + n) for n in range(len(numbers))] for first in (0, 1))


def _rows(path: Path, word_column: str, tag_column: str, bad: BadRows) -> Iterator[Sentence]:
    wanted = Columns(text=word_column, keep=(tag_column,))
    kind = format_of(path)
    if kind == "parquet":
        yield from _sentences(read_parquet(path, wanted)[1], word_column, tag_column, bad)
    elif kind == "jsonl":
        with open_text(path) as file:
            raws = read_json_lines(file, str(path), wanted)[1]
            yield from _sentences(raws, word_column, tag_column, bad)
    else:
        raise InputError(f"{path}: tagged sentences come as CoNLL columns, JSONL or Parquet")
    bad.close()


def _from_hub(name: str, wanted: Columns, bad: BadRows) -> Iterator[Sentence]:
    assert wanted.text is not None
    yield from _sentences(read_hub(name, wanted)[1], wanted.text, wanted.keep[0], bad)
    bad.close()


def _sentences(
    raws: Iterator[Raw], word_column: str, tag_column: str, bad: BadRows
) -> Iterator[Sentence]:
    for raw in raws:
        try:
            if raw.values is None:
                raise InputError(raw.problem)
            words, tags = (_strings(raw.values.get(it), it) for it in (word_column, tag_column))
            if len(words) != len(tags):
                raise InputError(f"{len(words)} words but {len(tags)} tags")
        except InputError as error:
            bad.add(raw.line, str(error))
            continue
        yield Sentence(words=words, tags=tags, line=raw.line)


def _strings(value: Any, column: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{column!r} must be a list with at least one entry")
    if not all(isinstance(one, str) and one for one in value):
        raise InputError(f"{column!r} must hold texts alone, none of them empty")
    return tuple(value)
