"""Labelled rows of any task, read from files."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from limbeck import data
from limbeck.errors import InputError
from limbeck.spec import TaskSpec

Problem = Literal[
    "single_label",
    "multi_label",
    "regression",
    "token-classification",
    "question-answering",
    "similarity",
]
# Between the labels of a row with several, where a file cannot hold lists.
LABEL_SEPARATOR = "|"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns hold what; None: by their usual names, and no second text.

    header: the names of all columns, of a TSV file that has no header line.
    """

    text: str | None = None
    pair: str | None = None
    label: str = "label"
    header: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Examples:
    """N labelled inputs of one problem.

    texts: sentences; words joined by spaces for token classification; questions. pairs: second
    texts, or contexts. targets: what is right, by problem: a label; a tuple of labels; a number; a
    tuple of tags, one a word; a tuple of right answers (none: the context does not tell).
    words: for token classification alone.
    """

    problem: Problem
    texts: tuple[str, ...]
    targets: tuple[Any, ...]
    pairs: tuple[str, ...] | None = None
    words: tuple[tuple[str, ...], ...] | None = None

    def __len__(self) -> int:
        return len(self.texts)


def problem_of(task: TaskSpec) -> Problem:
    """What kind of targets a model's answers are measured with.

    Raises:
        InputError: the model gives hidden states, which are right or wrong for no row.
    """
    if task.task == "text-classification":
        # one output without a word about it is a number, as transformers has it in training
        return task.problem or ("regression" if len(task.labels) == 1 else "single_label")
    if task.task == "sentence-embedding":
        return "similarity"
    if task.task == "feature-extraction":
        raise InputError(
            "feature-extraction has no right answers; evaluate the model with task "
            "sentence-embedding, or one with a head"
        )
    return task.task


def read_examples(
    path: str | Path,
    problem: Problem,
    columns: Columns = Columns(),
    *,
    report: Callable[[str], None] | None = None,
    at_most: int | None = None,
) -> Examples:
    """The labelled rows of a file.

    Args:
        path: CSV, TSV, JSONL or Parquet; for question answering also SQuAD's JSON, for token
            classification CoNLL columns (.conll, .txt, .bio).
        report: told of each bad row, which is left out; None: bad rows are an error.
        at_most: the first so many.

    Raises:
        InputError: the file cannot be read, has no labelled rows, or rows are bad.
    """
    path = Path(path)
    if problem == "question-answering":
        found = _questions(path, columns, report)
    elif problem == "token-classification":
        found = _sentences(path, columns, report)
    else:
        found = _rows(path, problem, columns, report)
    rows = list(itertools.islice(found, at_most))
    if not rows:
        raise InputError(f"{path} has no rows to evaluate on")
    texts, pairs, targets, words = zip(*rows, strict=True)
    return Examples(
        problem=problem,
        texts=texts,
        pairs=None if pairs[0] is None else pairs,
        targets=targets,
        words=words if problem == "token-classification" else None,
    )


_Found = Iterator[tuple[str, str | None, Any, tuple[str, ...]]]


def _rows(
    path: Path, problem: Problem, columns: Columns, report: Callable[[str], None] | None
) -> _Found:
    """Texts or pairs with a label, several, or a number."""
    pair = columns.pair
    if problem == "similarity" and pair is None:
        pair = "text_pair"
    keep = (columns.label,) if problem == "multi_label" else ()
    told = data.BadRows(str(path), report)
    for row in data.read_rows(
        path,
        text_column=columns.text,
        pair_column=pair,
        label_column=None if keep else columns.label,
        keep=keep,
        header=columns.header,
        report=report,
    ):
        try:
            target = _target(row, problem, columns.label)
        except InputError as error:
            told.add(row.line, str(error))
            continue
        yield row.text, row.pair, target, ()
    told.close()


def _target(row: data.Row, problem: Problem, column: str) -> Any:
    if problem == "multi_label":
        return several_labels(row.extra[column], column)
    if row.label is None:
        raise InputError(f"no {column!r}; rows to evaluate on need one")
    return row.label if problem == "single_label" else number(row.label, column)


def several_labels(value: Any, column: str) -> tuple[str, ...]:
    """The labels of a row: from a list, or from a text with LABEL_SEPARATOR between them.

    Raises:
        InputError: it is neither.
    """
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(LABEL_SEPARATOR) if part.strip())
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return tuple(str(one) for one in value)
    raise InputError(
        f"{column!r} must be a list of labels, or labels with {LABEL_SEPARATOR!r} between them"
    )


def number(label: str, column: str) -> float:
    """The number that a label says.

    Raises:
        InputError: it says none, or one that is not finite.
    """
    try:
        value = float(label)
    except ValueError:
        raise InputError(f"{column!r} is {label!r}, not a number") from None
    if not math.isfinite(value):
        raise InputError(f"{column!r} is {label}, not a number")
    return value


def _questions(path: Path, columns: Columns, report: Callable[[str], None] | None) -> _Found:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".json"):
        for question in data.read_squad(path, report=report):
            answers = tuple(answer.text for answer in question.answers)
            yield question.question, question.context, answers, ()
        return
    told = data.BadRows(str(path), report)
    for row in data.read_rows(
        path,
        text_column=columns.text or "question",
        pair_column=columns.pair or "context",
        keep=("answers",),
        report=report,
    ):
        try:
            answers = _answers(row.extra["answers"])
        except InputError as error:
            told.add(row.line, str(error))
            continue
        yield row.text, row.pair, answers, ()
    told.close()


def _answers(value: Any) -> tuple[str, ...]:
    """Right answers as the hub keeps them, {"text": [...]}, as a list, or as one text."""
    if isinstance(value, dict):
        value = value.get("text")
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise InputError("'answers' must be a text, a list of texts, or {'text': [...]}")


def _sentences(path: Path, columns: Columns, report: Callable[[str], None] | None) -> _Found:
    tags = None if columns.label == "label" else columns.label
    found = data.read_tagged(path, word_column=columns.text, tag_column=tags, report=report)
    for sentence in found:
        yield " ".join(sentence.words), None, sentence.tags, sentence.words
