"""Files -> rows to train on, for every task alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck import data
from limbeck.errors import InputError
from limbeck.evaluation.examples import number, several_labels
from limbeck.forge.examples import Label, TrainingSet, split_off, training_set
from limbeck.spec import Problem, Task

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a file hold what; None: by their usual names, and no second text."""

    text: str | None = None
    pair: str | None = None
    label: str | None = None


def read(
    path: str | Path,
    task: Task = "text-classification",
    columns: Columns = Columns(),
    *,
    names: Sequence[str] | None = None,
    problem: Problem = "single_label",
    labels: bool = True,
    report: Report | None = None,
) -> TrainingSet:
    """The rows of a file.

    Args:
        names: the labels in order, such as a teacher's; None: those found.
        problem: for text classification, what its labels are.
        labels: False: labels, if there are any, are not looked at.
        report: told of each bad row by file and line, and the row is left out; None: bad rows are
            an error.

    Raises:
        InputError: the file cannot be read, rows are bad, or none of them has a label.
        TrainingError: there are no rows.
    """
    if task != "text-classification":
        raise InputError(f"rows to train on are not read for {task}")
    return _texts(Path(path), columns, names, problem, labels, report)


def read_and_split(
    path: str | Path,
    validation: str | Path | None,
    task: Task = "text-classification",
    columns: Columns = Columns(),
    *,
    seed: int,
    names: Sequence[str] | None = None,
    problem: Problem = "single_label",
    report: Report | None = None,
) -> tuple[TrainingSet, TrainingSet]:
    """Rows to train on and rows to measure on: of a file of their own, or a tenth held out."""
    rows = read(path, task, columns, names=names, problem=problem, report=report)
    if validation is None:
        return split_off(rows, 0.1, seed, at_most=2000)
    return rows, read(validation, task, columns, names=rows.names, problem=problem, report=report)


def _texts(
    path: Path,
    columns: Columns,
    names: Sequence[str] | None,
    problem: Problem,
    labels: bool,
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
        found.append((row.text, row.pair, label))
    told.close()
    if label_column is not None and found and all(label is None for *_, label in found):
        raise InputError(
            f"{path}: no row has a {label_column!r}; name the column with the labels by "
            "--label-column"
        )
    return training_set(found, names, problem)
