"""A data set's rows as files that a recipe reads: the same rows, written once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.bench.distillation import digests
from limbeck.bench.distillation.sets import Rows
from limbeck.errors import InputError
from limbeck.evaluation import Examples
from limbeck.forge.examples import TrainingSet
from limbeck.forge.questions import QuestionSet
from limbeck.forge.recipe import store


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where the rows lie. transfer None: all rows are trained on."""

    train: Path
    held_out: Path
    test: Path
    transfer: Path | None


def digest_of(rows: Rows) -> str:
    """What names the rows of a data set."""
    return digests.of_values(
        rows.train.digest,
        None if rows.transfer is None else rows.transfer.digest,
        digests.of_examples(rows.held_out),
        digests.of_examples(rows.test),
    )


def write(rows: Rows, home: Path) -> Files:
    """Write the rows into a directory named by their digest, unless they are there.

    Raises:
        InputError: an answer to a question stands nowhere in its context.
        TrainingError: the disk is full, or refuses for another reason.
    """
    folder = home / digest_of(rows)
    folder.mkdir(parents=True, exist_ok=True)

    def kept(name: str, lines: Iterator[dict[str, Any]]) -> Path:
        path = folder / f"{name}.jsonl"
        if not path.is_file():
            text = "".join(json.dumps(line) + "\n" for line in lines)
            store.write_file(path, text.encode())
        return path

    return Files(
        train=kept("train", _labelled(rows.train)),
        held_out=kept("held-out", _measured(rows.held_out)),
        test=kept("test", _measured(rows.test)),
        transfer=None if rows.transfer is None else kept("transfer", _texts(rows.transfer)),
    )


def _texts(rows: TrainingSet | QuestionSet) -> Iterator[dict[str, Any]]:
    if isinstance(rows, QuestionSet):
        for question, context in zip(rows.questions, rows.contexts, strict=True):
            yield {"question": question, "context": context}
        return
    for index, text in enumerate(rows.texts):
        yield {"text": text} | ({} if rows.pairs is None else {"text_pair": rows.pairs[index]})


def _labelled(rows: TrainingSet | QuestionSet) -> Iterator[dict[str, Any]]:
    for index, line in enumerate(_texts(rows)):
        if isinstance(rows, QuestionSet):
            right = rows.answers[index] or ()
            answers = [{"text": one.text, "answer_start": one.start} for one in right]
            yield line | {"answers": answers}
        elif rows.problem == "regression":
            yield line | {"label": float(rows.labels[index])}
        else:
            yield line | {"label": rows.names[rows.labels[index]]}


def _measured(rows: Examples) -> Iterator[dict[str, Any]]:
    for index, text in enumerate(rows.texts):
        if rows.problem != "question-answering":
            pair = {} if rows.pairs is None else {"text_pair": rows.pairs[index]}
            yield {"text": text, **pair, "label": rows.targets[index]}
            continue
        assert rows.pairs is not None
        context = rows.pairs[index]
        answers = [{"text": one, "answer_start": context.find(one)} for one in rows.targets[index]]
        for one in answers:
            if one["answer_start"] < 0:
                raise InputError(f"{one['text']!r}, to answer {text!r}, is not in its context")
        yield {"question": text, "context": context, "answers": answers}
