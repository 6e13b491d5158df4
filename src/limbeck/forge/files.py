"""Files -> rows to train on, for every task alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck import data
from limbeck.data import Answer
from limbeck.errors import InputError
from limbeck.evaluation.examples import number, several_labels
from limbeck.forge.examples import Label, TrainingSet, training_set
from limbeck.forge.questions import (
    QuestionSet,
    RightAnswers,
    check_answers_stand,
    question_set,
)
from limbeck.forge.rows import Rows, split_off
from limbeck.forge.sentences import SentenceSet, check_scale, scaled, sentence_set
from limbeck.forge.tagged import TaggedSet, cut_into_words, tagged_set
from limbeck.spec import Problem, Task

Report = Callable[[str], None]
# A tenth of the rows is held out where there is no file to measure on, and never more than this.
_HELD_OUT_SHARE, _HELD_OUT_ROWS = 0.1, 2000
_SQUAD_ENDING = ".json"
# Files of tagged sentences that are not rows with a text.
_CONLL_ENDINGS = (".conll", ".conllu", ".txt", ".bio", ".iob", ".iob2")
# Where no tags are wanted, this is a text a line.
_PLAIN_ENDING = ".txt"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a file hold what; None: by their usual names.

    text: the text, the question, the words of a sentence ("tokens"). pair: a second text, which
    texts do without, the context ("context"), the other sentence ("text_pair"). label: the label
    ("label"), the tags ("tags"), the answers ("answers"). scale: the lowest and the highest
    similarity of two sentences, where they are not cosines. CoNLL columns have numbers instead of
    names, 1 is the first.
    """

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    scale: tuple[float, float] | None = None


def read(
    path: str | Path,
    task: Task = "text-classification",
    columns: Columns = Columns(),
    *,
    names: Sequence[str] | None = None,
    problem: Problem = "single_label",
    labels: bool = True,
    every: bool = False,
    report: Report | None = None,
) -> Rows:
    """The rows of a file: CSV, TSV, JSONL or Parquet; for questions SQuAD's JSON too, for tags
    CoNLL columns (.conll, .txt, .bio) or rows with a list of words and one of tags.

    Args:
        names: the labels in order, such as a teacher's; None: those found.
        problem: for text classification, what its labels are.
        labels: False: labels, if there are any, are not looked at. A sentence to be tagged may then
            be a text (.txt: one a line), and one to be embedded needs no second one.
        every: True: a row without a label is a bad one. Tags and answers are always needed.
        report: told of each bad row by file and line, and the row is left out; None: bad rows are
            an error.

    Raises:
        InputError: the file cannot be read, rows are bad, none of them has a label, or there are
            no training rows for such a task.
        TrainingError: there are no rows.
    """
    path = Path(path)
    if task == "text-classification":
        return _texts(path, columns, names, problem, labels, every, report)
    if task == "token-classification":
        return _sentences(path, columns, names, labels, report)
    if task == "question-answering":
        return _questions(path, columns, labels, report)
    if task == "sentence-embedding":
        return _similarities(path, columns, labels, every, report)
    raise InputError(f"nothing is trained for the task {task!r}")


def read_and_split(
    path: str | Path,
    validation: str | Path | None,
    task: Task = "text-classification",
    columns: Columns = Columns(),
    *,
    seed: int,
    names: Sequence[str] | None = None,
    problem: Problem = "single_label",
    every: bool = False,
    report: Report | None = None,
) -> tuple[Rows, Rows]:
    """Rows to train on and rows to measure on: of a file of their own, or a tenth held out.

    Args:
        every: True: a row of `path` without a label is a bad one.
    """
    rows = read(path, task, columns, names=names, problem=problem, every=every, report=report)
    if validation is None:
        return split_off(rows, _HELD_OUT_SHARE, seed, at_most=_HELD_OUT_ROWS)
    known = rows.names or None
    return rows, read(validation, task, columns, names=known, problem=problem, report=report)


def _need_labels(
    path: Path, column: str, given: Sequence[Any], without: Sequence[int], told: data.BadRows
) -> None:
    """Some rows have a label; where those without one are bad, each of them is told.

    Args:
        without: lines of rows without a label that are not among those given.
    """
    if (given or without) and all(label is None for label in given):
        raise InputError(
            f"{path}: no row has a {column!r}; name the column with the labels by --label-column"
        )
    for line in without:
        told.add(line, f"{column!r} is missing or empty, and every row needs a label here")


def _texts(
    path: Path,
    columns: Columns,
    names: Sequence[str] | None,
    problem: Problem,
    labels: bool,
    every: bool,
    report: Report | None,
) -> TrainingSet:
    label_column = (columns.label or "label") if labels else None
    told = data.BadRows(str(path), report)
    several = label_column if problem == "multi_label" else None
    rows = data.read_rows(
        path,
        text_column=columns.text,
        pair_column=columns.pair,
        label_column=None if several else label_column,
        keep=() if several is None else (several,),
        report=report,
    )
    found: list[tuple[str, str | None, Label]] = []
    without: list[int] = []
    for row in rows:
        label: Label = row.label
        try:
            if several is not None:
                value = row.extra[several]
                label = None if value is None else several_labels(value, several)
            elif problem == "regression" and row.label is not None:
                number(row.label, str(label_column))
            elif names is not None and row.label is not None and row.label not in names:
                raise InputError(f"label {row.label!r} is not one of {list(names)}")
        except InputError as error:
            told.add(row.line, str(error))
            continue
        if every and label in (None, ""):
            without.append(row.line)
        else:
            found.append((row.text, row.pair, label))
    if label_column is not None:
        _need_labels(path, label_column, [label for *_, label in found], without, told)
    told.close()
    return training_set(found, names, problem)


def _sentences(
    path: Path,
    columns: Columns,
    names: Sequence[str] | None,
    labels: bool,
    report: Report | None,
) -> TaggedSet:
    name = path.name.lower().removesuffix(".gz")
    plain = name.endswith(_PLAIN_ENDING)
    if not labels and (plain or not name.endswith(_CONLL_ENDINGS)):
        column = None if plain else columns.text
        texts = (row.text for row in data.read_rows(path, text_column=column, report=report))
        wanted = (text for text in texts if text.strip() or not plain)
        return tagged_set(((cut_into_words(text), None) for text in wanted), names)
    told = data.BadRows(str(path), report)
    found: list[tuple[tuple[str, ...], tuple[str, ...] | None]] = []
    for sentence in data.read_tagged(
        path,
        word_column=columns.text,
        tag_column=columns.label,
        report=report,
    ):
        unknown = set(sentence.tags) - set(sentence.tags if names is None else names)
        if labels and unknown:
            told.add(sentence.line, f"tag {min(unknown)!r} is not one of {list(names or ())}")
            continue
        found.append((sentence.words, sentence.tags if labels else None))
    told.close()
    return tagged_set(found, names)


def _questions(path: Path, columns: Columns, labels: bool, report: Report | None) -> QuestionSet:
    if path.name.lower().removesuffix(".gz").endswith(_SQUAD_ENDING):
        rows = question_set(
            (one.question, one.context, one.answers if labels else None)
            for one in data.read_squad(path, report=report)
        )
    else:
        rows = question_set(_question_rows(path, columns, labels, report))
    if labels and not any(rows.answers):
        raise InputError(
            f"{path}: no question has an answer; a file without answers is for --transfer"
        )
    return rows


def _question_rows(
    path: Path, columns: Columns, labels: bool, report: Report | None
) -> Iterator[tuple[str, str, RightAnswers]]:
    label = columns.label or "answers"
    told = data.BadRows(str(path), report)
    for row in data.read_rows(
        path,
        text_column=columns.text or "question",
        pair_column=columns.pair or "context",
        keep=(label,) if labels else (),
        report=report,
    ):
        try:
            context = row.pair or ""
            if not row.text.strip() or not context.strip():
                raise InputError("the question or its context is empty")
            answers = _answers(row.extra[label], label) if labels else None
            check_answers_stand(context, answers)
        except InputError as error:
            told.add(row.line, str(error))
            continue
        yield row.text, context, answers
    told.close()


def _answers(value: Any, column: str) -> tuple[Answer, ...]:
    """Right answers as the hub keeps them, {"text": [...], "answer_start": [...]}, or as SQuAD has
    them, [{"text", "answer_start"}, ...]; none where the context does not tell."""
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise InputError(f"{column!r} must hold 'text' and 'answer_start', lists of one length")
        pairs = list(zip(texts, starts, strict=True))
    elif isinstance(value, list) and all(isinstance(one, dict) for one in value):
        pairs = [(one.get("text"), one.get("answer_start")) for one in value]
    else:
        raise InputError(
            f"{column!r} must be {{'text': [...], 'answer_start': [...]}} or a list of answers: "
            "to learn, one must know where in the context they stand"
        )
    for text, start in pairs:
        if not isinstance(text, str) or not isinstance(start, int) or isinstance(start, bool):
            raise InputError(f"an answer in {column!r} needs a text and its first character")
    return tuple(Answer(text=text, start=start) for text, start in pairs)


def _similarities(
    path: Path, columns: Columns, labels: bool, every: bool, report: Report | None
) -> SentenceSet:
    check_scale(columns.scale)
    label_column = (columns.label or "label") if labels else None
    told = data.BadRows(str(path), report)
    found: list[tuple[str, str | None, float | None]] = []
    without: list[int] = []
    for row in data.read_rows(
        path,
        text_column=columns.text,
        pair_column=columns.pair or ("text_pair" if labels else None),
        label_column=label_column,
        report=report,
    ):
        similarity = None
        try:
            if row.label is not None:
                similarity = scaled(number(row.label, str(label_column)), columns.scale)
        except InputError as error:
            told.add(row.line, str(error))
            continue
        if every and similarity is None:
            without.append(row.line)
        else:
            found.append((row.text, row.pair, similarity))
    if label_column is not None:
        _need_labels(path, label_column, [one for *_, one in found], without, told)
    told.close()
    # they have been scaled row by row
    return sentence_set(found)
