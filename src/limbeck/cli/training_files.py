"""What train and distil share: reading their files, and saying what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
import numpy.typing as npt
import typer

from limbeck import data
from limbeck.cli.messages import say
from limbeck.errors import InputError
from limbeck.evaluation.examples import number, several_labels
from limbeck.forge import ensemble, logits
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.ensemble import Combination
from limbeck.forge.examples import Label, TrainingSet, split_off, training_set
from limbeck.forge.losses import SoftLoss
from limbeck.forge.training import Precision, TrainingReport
from limbeck.spec import Problem
from limbeck.tasks import metrics


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a file hold what; `pair` None: single texts."""

    text: str
    pair: str | None
    label: str


def check_out(out: Path) -> None:
    """Refuse to write over something before hours of training, not after.

    Raises:
        InputError: `out` is a file, or a directory that has files and is no model directory.
    """
    if out.is_file() or (
        out.is_dir() and any(out.iterdir()) and not (out / "config.json").is_file()
    ):
        raise InputError(f"{out} is there and is no model directory; name another with --out")


def _check_known(name: str, words: object, problem: str) -> None:
    """Refuse an option's value that is none of a Literal's words."""
    if name not in get_args(words):
        raise InputError(problem)


def check_precision(name: str) -> Precision:
    """The option's value as the forge knows it.

    Raises:
        InputError: it is none of the three.
    """
    _check_known(name, Precision, f"precision {name!r} is not auto, fp32 or bf16")
    return cast(Precision, name)


def check_soft_loss(name: str) -> SoftLoss:
    """The option's value as the forge knows it.

    Raises:
        InputError: it is neither.
    """
    _check_known(name, SoftLoss, f"soft loss {name!r} is not {' or '.join(get_args(SoftLoss))}")
    return cast(SoftLoss, name)


def check_combination(name: str) -> Combination:
    """The option's value as the forge knows it.

    Raises:
        InputError: it is none of the three.
    """
    known = ", ".join(get_args(Combination))
    _check_known(name, Combination, f"teachers are combined by {known}, not {name!r}")
    return cast(Combination, name)


def layer_numbers(text: str, count: int | None) -> list[int]:
    """The layers that --take names.

    Raises:
        InputError: they are no numbers, or not as many as --layers says.
    """
    try:
        taken = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--take is a list of layers such as 0,2,5, found {text!r}") from None
    if count is not None and count != len(taken):
        raise InputError(f"--take names {len(taken)} layers, and --layers says {count}")
    return taken


def ask(
    teachers: Sequence[Checkpoint],
    rows: TrainingSet,
    held_out: TrainingSet,
    cache: Path,
    how: Combination,
    temperature: float,
) -> npt.NDArray[np.float32]:
    """The teachers' logits for the rows, combined where there are several.

    Raises:
        InputError: teachers with other labels than the first, or none of the held-out rows has a
            label to weight them by.
    """
    for other in teachers[1:]:
        if other.labels != teachers[0].labels:
            raise InputError(
                f"the teachers have the labels {list(teachers[0].labels)} and {list(other.labels)}"
            )
    found = [logits.of(one, rows, cache) for one in teachers]
    if len(found) == 1:
        return found[0]
    weights = None
    if how == "weighted":
        labelled = held_out.take(np.flatnonzero(held_out.labelled))
        if not len(labelled):
            raise InputError("--combine weighted needs labelled rows to hold out")
        weights = [max(0.0, _quality(logits.of(one, labelled), labelled)[1]) for one in teachers]
    return ensemble.combine(
        found,
        how,
        temperature=temperature,
        weights=weights,
        labels=rows.labels,
        problem=rows.problem,
    )


def _quality(found: npt.NDArray[np.float32], rows: TrainingSet) -> tuple[str, float]:
    """The metric by which answers to these rows are judged, and its value."""
    if rows.problem == "regression":
        return "Spearman", metrics.spearman(found[:, 0], rows.labels)
    if rows.problem == "multi_label":
        return "micro F1", metrics.multi_label_f1(found > 0, rows.labels)
    return "accuracy", metrics.accuracy(found.argmax(axis=1), rows.labels)


def check_problem(name: str) -> Problem:
    """The option's value as the forge knows it.

    Raises:
        InputError: it is none of the three.
    """
    known = ", ".join(get_args(Problem))
    _check_known(name, Problem, f"problem {name!r} is not one of {known}")
    return cast(Problem, name)


def read_labelled(
    path: Path,
    validation: Path | None,
    columns: Columns,
    seed: int,
    names: Sequence[str] | None = None,
    problem: Problem = "single_label",
    *,
    lenient: bool = False,
) -> tuple[TrainingSet, TrainingSet]:
    """Rows to train on and rows to measure on; `lenient` names bad ones and leaves them out."""
    rows = _read(path, columns, columns.label, names, problem, lenient)
    if validation is None:
        return split_off(rows, 0.1, seed, at_most=2000)
    return rows, _read(validation, columns, columns.label, rows.names, problem, lenient)


def read_unlabelled(
    path: Path, columns: Columns, names: Sequence[str], problem: Problem, lenient: bool
) -> TrainingSet:
    """Rows whose labels, if any, are not looked at."""
    return _read(path, columns, None, names, problem, lenient)


def _read(
    path: Path,
    columns: Columns,
    label_column: str | None,
    names: Sequence[str] | None,
    problem: Problem,
    lenient: bool,
) -> TrainingSet:
    told = data.BadRows(str(path), _tell if lenient else None)
    several = problem == "multi_label" and label_column is not None
    rows = data.read_rows(
        path,
        text_column=columns.text,
        pair_column=columns.pair,
        label_column=None if several else label_column,
        keep=(label_column,) if several and label_column is not None else (),
        report=_tell if lenient else None,
    )
    found: list[tuple[str, str | None, Label]] = []
    for row in rows:
        label: Label = row.label
        try:
            if several and label_column is not None:
                value = row.extra[label_column]
                label = None if value is None else several_labels(value, label_column)
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


def _tell(message: str) -> None:
    say(f"limbeck: {message}")


def append(first: TrainingSet, second: TrainingSet) -> TrainingSet:
    """The rows of both, in order; they have the same label names."""
    assert first.names == second.names
    if (first.pairs is None) != (second.pairs is None):
        raise InputError("one of the files has pairs of texts and the other has not")
    return replace(
        first,
        texts=first.texts + second.texts,
        labels=np.concatenate([first.labels, second.labels]),
        pairs=None if first.pairs is None or second.pairs is None else first.pairs + second.pairs,
    )


def show_training(
    made: Checkpoint,
    report: TrainingReport,
    held_out: TrainingSet,
    out: Path,
    teacher: Checkpoint | None = None,
) -> None:
    """Print what training did and how well the result answers held-out rows."""
    typer.echo(
        f"{report.steps} of {report.planned_steps} steps, {report.rows_seen} rows, "
        f"{report.seconds:.0f} s ({report.tokens_per_second:.0f} tokens/s, {report.precision}), "
        f"loss {report.first_loss:.3f} -> {report.last_loss:.3f}"
    )
    labelled = held_out.take(np.flatnonzero(held_out.labelled))
    if len(labelled):
        for name, model in (("teacher", teacher), ("trained", made)):
            if model is not None:
                metric, value = _quality(logits.of(model, labelled), labelled)
                typer.echo(f"{name}: {metric} {value:.4f} on {len(labelled)} held-out rows")
    typer.echo(f"{out}  {made.size_bytes / 1e6:.1f} MB fp32  {made.digest}")
