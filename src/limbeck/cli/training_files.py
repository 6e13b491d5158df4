"""What the commands that train share: checking options, reading rows, saying what came out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args

import typer

from limbeck.cli.messages import say_own
from limbeck.data import LeftOut
from limbeck.errors import InputError
from limbeck.forge import files, quality
from limbeck.forge.checkpoint import TRAINED_TASKS, Checkpoint
from limbeck.forge.ensemble import Combination
from limbeck.forge.losses import SoftLoss
from limbeck.forge.rows import Rows
from limbeck.forge.sentences import check_scale
from limbeck.forge.training import Precision, TrainingReport
from limbeck.spec import Problem, Task


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


def check_task(name: str) -> Task:
    """The option's value as the forge knows it.

    Raises:
        InputError: it is none that the forge trains for.
    """
    if name not in TRAINED_TASKS:
        raise InputError(f"task {name!r} is not one of {', '.join(TRAINED_TASKS)}")
    return name


def check_range(text: str | None) -> tuple[float, float] | None:
    """The similarities that --label-range names, such as 0,5.

    Raises:
        InputError: they are no two numbers, or the first is not the lower one.
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--label-range is two numbers such as 0,5, found {text!r}") from None
    check_scale((low, high))
    return low, high


def check_problem(name: str) -> Problem:
    """The option's value as the forge knows it.

    Raises:
        InputError: it is none of the three.
    """
    known = ", ".join(get_args(Problem))
    _check_known(name, Problem, f"problem {name!r} is not one of {known}")
    return cast(Problem, name)


@contextlib.contextmanager
def reporter(lenient: bool) -> Iterator[LeftOut | None]:
    """What tells of bad rows, which are left out, and behind the block of how many there were;
    None where they shall be an error."""
    if not lenient:
        yield None
        return
    left_out = LeftOut(say_own)
    yield left_out
    left_out.close()


def rows_for(
    model: Checkpoint,
    data: Path,
    validation: Path | None,
    transfer: Path | None,
    columns: files.Columns,
    *,
    seed: int,
    lenient: bool,
    every: bool = False,
) -> tuple[Rows, Rows]:
    """Rows that a trained model (or what becomes of it) learns from, and rows to measure on.

    Args:
        every: each row of `data` needs a label.
    """
    with reporter(lenient) as report:
        facts: dict[str, Any] = {
            "names": model.labels or None,
            "problem": model.problem,
            "report": report,
        }
        rows, held_out = files.read_and_split(
            data, validation, model.task, columns, seed=seed, every=every, **facts
        )
        if transfer is not None:
            more = files.read(transfer, model.task, columns, labels=False, **facts)
            rows = rows.joined(more)
    return rows, held_out


def show_training(
    made: Checkpoint,
    report: TrainingReport,
    held_out: Rows,
    out: Path,
    teacher: Checkpoint | None = None,
) -> None:
    """Print what training did and how well the result answers held-out rows."""
    typer.echo(
        f"{report.steps} of {report.planned_steps} steps, {report.rows_seen} rows, "
        f"{report.seconds:.0f} s ({report.tokens_per_second:.0f} tokens/s, {report.precision}), "
        f"loss {report.first_loss:.3f} -> {report.last_loss:.3f}"
    )
    if held_out.labelled.any():
        for name, model in (("teacher", teacher), ("trained", made)):
            if model is not None:
                found = quality.of(model, held_out)
                typer.echo(
                    f"{name}: {found.metric} {found.value:.4f} on {found.rows} held-out rows"
                )
    typer.echo(f"{out}  {made.size_bytes / 1e6:.1f} MB fp32  {made.digest}")
