"""What compress does once its options are read: a recipe, with what the options change in it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from limbeck import measure
from limbeck.cli import training_files as shared
from limbeck.cli.messages import say
from limbeck.errors import GateError, InputError
from limbeck.evaluation import Limits
from limbeck.forge import recipe as recipes
from limbeck.forge.recipe import Finished, Recipe, Spread, page
from limbeck.forge.recipe import curve as curves
from limbeck.forge.recipe.curve import page as curve_page
from limbeck.forge.recipe.curve.judging import told
from limbeck.forge.recipe.sections import CurveSection, DataSection, RunSection, TaskSection
from limbeck.spec import TASKS
from limbeck.whole_files import check_replaceable

# Options that speak of a model; a recipe says these things itself.
_OF_A_MODEL = (
    "data",
    "task",
    "problem",
    "validation",
    "transfer",
    "text_column",
    "pair_column",
    "label_column",
    "label_range",
    "layers",
    "train",
)
# Columns of a table of the curve that goes to a file.
_WIDE = 120


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of one call, as the command line gave them."""

    source: str
    data: Path | None = None
    out: Path | None = None
    task: str | None = None
    problem: str | None = None
    validation: Path | None = None
    transfer: Path | None = None
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    label_range: str | None = None
    lenient: bool = False
    layers: int | None = None
    train: bool | None = None
    seed: int | None = None
    seeds: int | None = None
    curve: bool = False
    record: Path | None = None
    jobs: int = 1
    precision: str | None = None
    threads: int | None = None
    max_drop: float | None = None
    max_slice_drop: float | None = None
    strict: bool = False
    print_recipe: bool = False


def compress(request: Request) -> None:
    """Run a recipe, or print it.

    Raises:
        InputError: options that make no sense, a bad recipe or bad rows.
        TrainingError: a stage failed.
        GateError: the artifact lost more than it may; of a curve, all of them.
    """
    if request.curve and request.seeds is not None:
        raise InputError("a curve has one seed; leave out --seeds, and pick it with --seed")
    if request.jobs > 1 and not request.curve:
        raise InputError("--jobs goes with --curve; one artifact takes more --threads")
    if request.record is not None:
        if not request.curve:
            raise InputError("--record goes with --curve")
        check_replaceable(request.record)
        measure.read_rows(request.record)  # nothing is appended to a file of something else
    recipe = recipe_of(request)
    if request.print_recipe:
        typer.echo(recipes.to_toml(recipe), nl=False)
        return
    # of several processes the first speaks
    first = os.environ.get("RANK", "0") == "0"
    if request.curve:
        found = recipes.make_curve(recipe, say=say, lenient=_tell, jobs=request.jobs)
        if first:
            _show_curve(found, request.record)
        return
    spreads: list[Spread] = []
    if request.seeds is None:
        runs = [recipes.run(recipe, say=say, lenient=_tell)]
    else:
        runs, spreads = recipes.run_seeds(recipe, request.seeds, say=say, lenient=_tell)
    if first:
        _show(runs, spreads)
    refused = [one for one in runs if not one.passed]
    if refused and first:
        raise GateError(" | ".join(one.refusal() for one in refused))


def _tell(message: str) -> None:
    say(f"limbeck: {message}")


def recipe_of(request: Request) -> Recipe:
    """The recipe that a call is about.

    Raises:
        InputError: options that make no sense, or a bad recipe.
    """
    limits = _limits(request)
    if request.source.endswith(".toml"):
        for name in _OF_A_MODEL:
            if getattr(request, name) is not None:
                option = "--train" if name == "train" else f"--{name.replace('_', '-')}"
                raise InputError(f"{option} goes with a model; {request.source} is a recipe")
        recipe = recipes.read(Path(request.source))
    else:
        recipe = _from_model(request)
    run: dict[str, Any] = {
        name: getattr(request, name)
        for name in ("out", "seed", "threads")
        if getattr(request, name) is not None
    }
    if request.precision is not None:
        run["precision"] = shared.check_precision(request.precision)
    data = dataclasses.replace(recipe.data, strict=recipe.data.strict and not request.lenient)
    return dataclasses.replace(
        recipe,
        data=data,
        run=dataclasses.replace(recipe.run, **run),
        gate=limits or recipe.gate,
        curve=recipe.curve or (CurveSection() if request.curve else None),
    )


def _from_model(request: Request) -> Recipe:
    if request.data is None:
        raise InputError(
            f"{request.source} is no recipe (a .toml file); for a model name labelled rows with "
            "--data"
        )
    kind = request.task or "text-classification"
    if kind not in TASKS:
        raise InputError(f"--task {kind!r} is not one of {', '.join(TASKS)}")
    return recipes.recipe_for(
        request.source,
        DataSection(
            train=request.data,
            validation=request.validation,
            transfer=request.transfer,
            text=request.text_column,
            pair=request.pair_column,
            label=request.label_column,
            scale=shared.check_range(request.label_range),
        ),
        RunSection(out=Path("compressed")),
        TaskSection(
            kind=kind,
            problem=shared.check_problem(request.problem or "single_label"),
        ),
        layers=request.layers,
        train=request.train,
    )


def _limits(request: Request) -> Limits | None:
    if request.max_drop is None:
        if request.max_slice_drop is not None or request.strict:
            raise InputError("--max-slice-drop and --strict go with --max-drop")
        return None
    return Limits(
        max_drop=request.max_drop,
        max_slice_drop=request.max_slice_drop,
        strict=request.strict,
    )


def _show(runs: Sequence[Finished], spreads: Sequence[Spread]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for found in runs:
        if len(runs) > 1:
            console.print(f"seed {found.recipe.run.seed}")
        console.print(page.table(found))
        for line in page.told(found):
            typer.echo(line)
    if spreads:
        table = Table(
            "stage", "mean", "deviation", "lowest", "highest",
            title=f"{spreads[0].metric} over {len(runs)} seeds",
        )  # fmt: skip
        for column in table.columns[1:]:
            column.justify = "right"
        for one in spreads:
            figures = (one.mean, one.deviation, one.low, one.high)
            table.add_row(one.stage, *(f"{figure:.4f}" for figure in figures))
        console.print(table)
    for found in runs:
        typer.echo(f"{found.artifact}  {found.digest}")
        typer.echo(f"{found.report}")
    if runs[-1].passed:
        typer.echo(f"next: limbeck inspect {runs[-1].artifact}")


def _show_curve(found: curves.Curve, record: Path | None) -> None:
    """The table, the answer, and where it lies.

    Raises:
        InputError: the rows cannot be written.
        GateError: no artifact keeps the limits.
    """
    from rich.console import Console

    console = Console()
    if not console.is_terminal:  # a file has room for whole lines
        console = Console(width=_WIDE)
    console.print(curve_page.table(found))
    for line in told(found):
        typer.echo(line)
    typer.echo(f"{found.page}")
    typer.echo(f"{found.file}")
    if record is not None:
        measure.append_rows(record, curves.rows(found))
    if not found.passed:
        raise GateError(found.refusal())
    if found.choice is not None:
        typer.echo(f"next: limbeck inspect {found.choice.artifact}")
