"""The data sets, how much training each is given, and their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from limbeck import data, evaluation
from limbeck.errors import InputError
from limbeck.evaluation import Examples
from limbeck.evaluation.examples import Problem
from limbeck.forge import files
from limbeck.forge.examples import TrainingSet, training_set
from limbeck.forge.questions import QuestionSet
from limbeck.forge.rows import AnyRows, split_off

_DRAW = 0  # the seed by which rows are chosen; the seeds of training do not touch it


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a model of a kind is trained."""

    epochs: float
    learning_rate: float
    batch_size: int = 32


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One data set and its budget.

    train_rows: how many rows are trained on, None: all that are left of the file. held_out: rows of
    the training file that are set aside, to choose by. test_rows: how many rows of the test file
    are answered, drawn once for all; None: all. prune: each pruning from one sparsity to the next,
    on the rows to train on and those without labels; qat: after the last pruning, None: there is
    none (`limbeck.bench.curve`).
    """

    name: str
    title: str
    problem: Problem
    train_files: tuple[str, ...]
    test_file: str
    pairs: bool = False
    train_rows: int | None = None
    held_out: int = 2000
    test_rows: int | None = None
    max_tokens: int = 128
    teacher: Budget
    student: Budget
    prune: Budget = Budget(epochs=1, learning_rate=1.5e-4)
    qat: Budget | None = None
    note: str = ""


# Budgets are for CPUs: about 4,500 tokens/s for a teacher of 6 layers and 10,000 for a student of 3
# on two cores with bf16, so that one teacher and one student of any set take some ten minutes.
# The smaller a data set, the more passes it takes. A sentence encoder has never pointed at words:
# answering questions takes it more and larger steps than the other tasks.
SETS: tuple[DataSet, ...] = (
    DataSet(
        name="sst2",
        title="SST-2",
        problem="single_label",
        train_files=("sst2/train.jsonl.gz",),
        test_file="sst2/validation.jsonl.gz",
        train_rows=20_000,
        teacher=Budget(epochs=3, learning_rate=5e-5),
        student=Budget(epochs=3, learning_rate=1e-4),
        prune=Budget(epochs=1, learning_rate=1.5e-4, batch_size=64),
    ),
    DataSet(
        name="stsb",
        title="STS-B",
        problem="regression",
        train_files=("stsb/train.jsonl.gz",),
        test_file="stsb/validation.jsonl.gz",
        pairs=True,
        held_out=500,
        teacher=Budget(epochs=6, learning_rate=5e-5),
        student=Budget(epochs=6, learning_rate=1e-4),
        prune=Budget(epochs=3, learning_rate=1.5e-4),
    ),
    DataSet(
        name="squad",
        title="SQuAD v1.1 dev",
        problem="question-answering",
        train_files=tuple(
            f"squad/squadshifts-{part}_v1.0.json.gz"
            for part in ("new_wiki", "reddit", "amazon_reviews")
        ),
        test_file="squad/dev-v1.1.json.gz",
        pairs=True,
        train_rows=6000,
        test_rows=3000,
        held_out=1000,
        max_tokens=192,
        teacher=Budget(epochs=3, learning_rate=1e-4, batch_size=16),
        student=Budget(epochs=3, learning_rate=1e-4, batch_size=16),
        note="trained on SQuADShifts",
    ),
    DataSet(
        name="imdb",
        title="IMDB",
        problem="single_label",
        train_files=("imdb/train.jsonl.gz",),
        test_file="imdb/test.jsonl.gz",
        train_rows=3000,
        test_rows=3000,
        max_tokens=256,
        teacher=Budget(epochs=2, learning_rate=5e-5),
        student=Budget(epochs=3, learning_rate=1e-4),
        note="reviews are cut at 256 tokens",
    ),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What a data set gives: rows to train on, rows to choose by, and rows to measure on.

    transfer: as many more texts as there are rows to train on, or fewer, as if nobody had labelled
    them; None where all rows are trained on.
    """

    train: TrainingSet | QuestionSet
    transfer: TrainingSet | QuestionSet | None
    held_out: Examples
    test: Examples


def named(names: str | None, known: Sequence[DataSet] | None = None) -> list[DataSet]:
    """The data sets of a comma-separated list; None: all.

    Raises:
        InputError: there is none of that name.
    """
    if names is None:
        return list(known or SETS)
    by_name = {one.name: one for one in known or SETS}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in by_name]
    if unknown or not wanted:
        raise InputError(
            f"no data set {', '.join(unknown) or names!r}; there are: {', '.join(by_name)}"
        )
    return [by_name[name] for name in dict.fromkeys(wanted)]


def quick(one: DataSet) -> DataSet:
    """The same with so little training and so few rows that it proves nothing but that all runs."""
    return replace(
        one,
        train_rows=3000,
        test_rows=500,
        teacher=replace(one.teacher, epochs=2),
        student=replace(one.student, epochs=2),
    )


def check(directory: Path, chosen: Sequence[DataSet]) -> None:
    """Raises InputError where a file is absent, before the first hour of training."""
    for one in chosen:
        for name in (*one.train_files, one.test_file):
            if not (directory / name).is_file():
                raise InputError(
                    f"{directory / name} is not there: name the directory of the data sets with "
                    f"--data, or leave out {one.name} with --only"
                )


def read(directory: Path, one: DataSet, scale: float = 1.0) -> Rows:
    """The rows of a data set.

    Args:
        scale: share of the training rows that is taken.

    Raises:
        InputError: a file is absent, or rows are bad.
    """
    kept: TrainingSet | QuestionSet
    held_out: TrainingSet | QuestionSet
    if one.problem == "question-answering":
        kept, held_out = _set_aside(_questions(directory, one), one)
    else:
        kept, held_out = _set_aside(_training_rows(directory, one), one)
    count = min(len(kept), one.train_rows or len(kept))
    count = max(1, round(scale * count))
    drawn_rows = np.random.default_rng(_DRAW).permutation(len(kept))
    chosen, more = drawn_rows[:count], drawn_rows[count : 2 * count]
    columns = evaluation.Columns(text="text", pair="text_pair" if one.pairs else None)
    if one.problem == "question-answering":
        columns = evaluation.Columns()
    test = evaluation.read_examples(directory / one.test_file, one.problem, columns)
    if one.test_rows is not None and one.test_rows < len(test):
        drawn = np.random.default_rng(_DRAW).permutation(len(test))[: one.test_rows]
        test = _take(test, sorted(drawn.tolist()))
    return Rows(
        train=kept.take(np.sort(chosen)),
        transfer=kept.take(np.sort(more)).without_labels() if len(more) else None,
        held_out=as_examples(held_out),
        test=test,
    )


def _set_aside(known: AnyRows, one: DataSet) -> tuple[AnyRows, AnyRows]:
    return split_off(known, 0.1, _DRAW, at_most=one.held_out)


def _questions(directory: Path, one: DataSet) -> QuestionSet:
    found: QuestionSet | None = None
    for name in one.train_files:
        rows = files.read(directory / name, "question-answering")
        assert isinstance(rows, QuestionSet)
        found = rows if found is None else found.joined(rows)
    assert found is not None
    return found


def _training_rows(directory: Path, one: DataSet) -> TrainingSet:
    found = [
        (row.text, row.pair, row.label)
        for name in one.train_files
        for row in data.read_rows(
            directory / name,
            text_column="text",
            pair_column="text_pair" if one.pairs else None,
            label_column="label",
        )
    ]
    problem = "regression" if one.problem == "regression" else "single_label"
    return training_set(found, problem=problem)  # type: ignore[arg-type]


def as_examples(rows: TrainingSet | QuestionSet) -> Examples:
    """Training rows as rows to measure on."""
    if isinstance(rows, QuestionSet):
        return Examples(
            problem="question-answering",
            texts=rows.questions,
            pairs=rows.contexts,
            targets=tuple(tuple(one.text for one in right or ()) for right in rows.answers),
        )
    targets: tuple[object, ...]
    if rows.problem == "regression":
        targets = tuple(float(number) for number in rows.labels)
    else:
        targets = tuple(rows.names[number] for number in rows.labels)
    return Examples(problem=rows.problem, texts=rows.texts, targets=targets, pairs=rows.pairs)


def _take(rows: Examples, places: Sequence[int]) -> Examples:
    def some(column: tuple[object, ...] | None) -> tuple[object, ...] | None:
        return None if column is None else tuple(column[place] for place in places)

    return replace(
        rows,
        texts=some(rows.texts),  # type: ignore[arg-type]
        targets=some(rows.targets),  # type: ignore[arg-type]
        pairs=some(rows.pairs),  # type: ignore[arg-type]
        words=some(rows.words),  # type: ignore[arg-type]
    )
