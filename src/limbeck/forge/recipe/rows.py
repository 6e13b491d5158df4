"""A recipe's files -> rows to learn from, rows to measure on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.data import LeftOut
from limbeck.data.readers.hub import is_hub_name
from limbeck.errors import InputError
from limbeck.evaluation import Examples
from limbeck.forge import files
from limbeck.forge.examples import TrainingSet
from limbeck.forge.questions import QuestionSet
from limbeck.forge.recipe import store
from limbeck.forge.recipe.sections import DataSection, TaskSection
from limbeck.forge.rows import Rows, split_off
from limbeck.forge.sentences import SentenceSet
from limbeck.forge.tagged import TaggedSet

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class RecipeRows:
    """What the stages learn from and are measured on.

    held_out: rows with labels that no stage trains on; transfer: texts without labels, or None.
    examples: what every model is scored on, of [data]'s test file where there is one, else of the
    held-out rows.
    """

    train: Rows
    held_out: Rows
    transfer: Rows | None
    examples: Examples

    def with_transfer(self) -> Rows:
        """The rows to train on, and behind them the transfer texts."""
        return self.train if self.transfer is None else self.train.joined(self.transfer)

    @cached_property
    def measured_on(self) -> str:
        """Digest of the rows that models are scored on."""
        one = self.examples
        return store.digest_of([one.problem, one.texts, one.pairs, one.targets, one.words])


def read(
    data: DataSection,
    task: TaskSection,
    names: Sequence[str] | None,
    report: Report | None,
    *,
    every: bool = False,
) -> RecipeRows:
    """Read and split the files of a recipe.

    Args:
        names: the labels of a model that is taken as it is; None: those found.
        report: told of bad rows, which are left out, and then of how many there were; None: bad
            rows are an error.
        every: True: a row to train on without a label is a bad one.

    Raises:
        InputError: a file is missing or bad, or nothing is left to measure on.
        TrainingError: there are no rows.
    """
    columns = files.Columns(text=data.text, pair=data.pair, label=data.label, scale=data.scale)

    left_out = None if report is None else LeftOut(report)

    def of(
        path: Path, known: Sequence[str] | None, *, labels: bool = True, every: bool = False
    ) -> Rows:
        return files.read(
            path,
            task.kind,
            columns,
            names=known,
            problem=task.problem,
            labels=labels,
            every=every,
            report=left_out,
        )

    for path in (data.train, data.validation, data.test, data.transfer):
        if path is not None and not is_hub_name(path) and not path.is_file():
            raise InputError(f"there is no file {path}; [data] names it")
    train = of(data.train, names, every=every)
    # rows of sentences have no names at all
    known = names if names is not None else train.names or None
    if data.validation is not None:
        held_out = of(data.validation, known)
    else:
        train, held_out = split_off(train, data.hold_out, data.split_seed, data.hold_out_at_most)
    held_out = held_out.take(np.flatnonzero(held_out.labelled))
    if not len(held_out):
        raise InputError(
            f"none of the rows of {data.train} could be held out to measure on; name a validation "
            "file in [data], or hold out a larger share"
        )
    measured = held_out
    if data.test is not None:
        measured = of(data.test, known)
        measured = measured.take(np.flatnonzero(measured.labelled))
        if not len(measured):
            raise InputError(f"no row of {data.test} has a label to measure by")
    transfer = None if data.transfer is None else of(data.transfer, known, labels=False)
    if left_out is not None:
        left_out.close()
    return RecipeRows(
        train=train,
        held_out=held_out,
        transfer=transfer,
        examples=examples_of(measured),
    )


def examples_of(rows: Rows) -> Examples:
    """The rows as `limbeck.evaluation` wants them; all have a label."""
    if isinstance(rows, TaggedSet):
        tags = [tuple(rows.names[tag] for tag in some) for some in rows.tags if some is not None]
        return Examples(
            problem="token-classification",
            texts=rows.texts,
            targets=tuple(tags),
            words=rows.words,
        )
    if isinstance(rows, QuestionSet):
        right = [tuple(one.text for one in some) for some in rows.answers if some is not None]
        return Examples(
            problem="question-answering",
            texts=rows.questions,
            pairs=rows.contexts,
            targets=tuple(right),
        )
    if isinstance(rows, SentenceSet):
        return Examples(
            problem="similarity",
            texts=rows.texts,
            pairs=tuple(pair or "" for pair in rows.pairs),
            targets=tuple(float(label) for label in rows.labels),
        )
    assert isinstance(rows, TrainingSet)
    return Examples(
        problem=rows.problem, texts=rows.texts, pairs=rows.pairs, targets=_targets(rows)
    )


def _targets(rows: TrainingSet) -> tuple[Any, ...]:
    """What is right for texts with labels, by problem."""
    if rows.problem == "regression":
        return tuple(float(number) for number in rows.labels)
    if rows.problem == "multi_label":
        return tuple(
            tuple(rows.names[place] for place in np.flatnonzero(row)) for row in rows.labels
        )
    return tuple(rows.names[number] for number in rows.labels)


def typical_texts(rows: Rows, count: int) -> tuple[str, ...]:
    """The first so many texts, for calibration; of questions their contexts."""
    if isinstance(rows, QuestionSet):
        return rows.contexts[:count]
    assert isinstance(rows, TrainingSet | TaggedSet | SentenceSet)
    return rows.texts[:count]
