"""What evaluate does once its options are read: rows in, a table or a JSON object out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from limbeck import evaluation
from limbeck.cli.messages import say, say_own
from limbeck.data import LeftOut
from limbeck.errors import GateError, InputError, LimbeckError
from limbeck.evaluation import Comparison, Examples, GlueTask, Limits, Scored
from limbeck.forge import progress
from limbeck.runtimes import load

if TYPE_CHECKING:
    from limbeck.runtimes import Model


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of one call, as the command line gave them."""

    model: str
    data: Path | None = None
    against: str | None = None
    max_drop: float | None = None
    max_slice_drop: float | None = None
    strict: bool = False
    task: str | None = None
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str = "label"
    window: bool = False
    lenient: bool = False
    rows: int | None = None
    resamples: int = 1000
    precision: str = "auto"
    threads: int | None = None
    json: bool = False


def evaluate(request: Request) -> None:
    """Score one model, or two on the same rows.

    Raises:
        InputError: the request makes no sense, or rows are bad.
        GateError: the model lost more than it may against the other one.
    """
    if request.data is None:
        raise InputError("name the labelled rows with --data")
    limits = _limits(request)
    # Loaded without a word about precision, the model to compare with is taken as it is stored.
    model = load(
        request.model, precision=request.precision, threads=request.threads, task=request.task
    )
    problem = evaluation.problem_of(model.spec.task)
    columns = evaluation.Columns(
        text=request.text_column, pair=request.pair_column, label=request.label_column
    )
    left_out = LeftOut(say_own)
    examples = evaluation.read_examples(
        request.data,
        problem,
        columns,
        report=left_out if request.lenient else None,
        at_most=request.rows,
    )
    left_out.close()
    scored = _score(request, model, examples, "answering")
    found: dict[str, Any] = {
        "model": request.model,
        "data": str(request.data),
        "rows": len(scored),
        "left_out": left_out.count,
        "cut": scored.cut,
        "tokens": int(scored.tokens.sum()),
        "metrics": {
            name: _interval(scored.interval(name, resamples=request.resamples))
            for name in scored.metrics
        },
    }
    every_class = limits is not None and limits.max_slice_drop is not None
    verdict = None
    cut_by = scored  # the model whose lengths make the slices
    if request.against is not None:
        other = load(request.against, threads=request.threads, task=request.task)
        cut_by = _score(request, other, examples, "answering, second model")
        comparison = evaluation.compare(
            cut_by, scored, resamples=request.resamples, every_class=every_class
        )
        found["against"] = {"model": request.against, **_comparison(comparison)}
        if limits is not None:
            verdict = evaluation.judge(comparison, limits)
            found["against"] |= {
                "passed": verdict.passed,
                "problems": list(verdict.problems),
                "warnings": list(verdict.warnings),
                "not_judged": dict(verdict.not_judged),
            }
    found["slices"] = {
        name: {"rows": len(rows), scored.headline: scored.metrics[scored.headline](rows)}
        for name, rows in evaluation.slices(cut_by, every_class=every_class).items()
    }
    found["notes"] = list(scored.notes)
    if request.json:
        typer.echo(json.dumps(_plain(found), indent=2))
    else:
        _show(found, scored.headline)
    for warning in () if verdict is None else verdict.warnings:
        say(f"limbeck: {warning}")
    if verdict is not None and not verdict.passed:
        raise GateError("; ".join(verdict.problems))


def _limits(request: Request) -> Limits | None:
    gated = request.max_drop is not None or request.max_slice_drop is not None
    if (gated or request.strict) and request.against is None:
        raise InputError("--max-drop, --max-slice-drop and --strict compare with --against MODEL")
    if request.max_drop is None:
        if gated or request.strict:
            raise InputError("--max-slice-drop and --strict go with --max-drop")
        return None
    return Limits(
        max_drop=request.max_drop,
        max_slice_drop=request.max_slice_drop,
        strict=request.strict,
    )


def _score(request: Request, model: Model, examples: Examples, description: str) -> Scored:
    options: dict[str, Any] = {"window": True} if request.window else {}
    with progress.bar(description, len(examples)) as shown:
        return evaluation.score(model, examples, advance=shown.advance, **options)


def _interval(interval: evaluation.Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "metric": comparison.metric,
        "value": comparison.first,
        "drop": _interval(comparison.drop),
        "slices": {
            name: {"rows": rows, "drop": _interval(drop)}
            for name, (rows, drop) in comparison.slices.items()
        },
    }


def _plain(value: Any) -> Any:
    """JSON has no NaN: what is undefined is null."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _show(found: Mapping[str, Any], headline: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        "metric", "value", "95 % interval", title=f"{found['model']}: {found['rows']} rows"
    )
    for name, one in found["metrics"].items():
        table.add_row(name, f"{one['value']:.4f}", f"{one['low']:.4f} to {one['high']:.4f}")
    console.print(table)
    against = found.get("against")
    columns = ["rows", headline] + (["lost, points", "95 % interval"] if against else [])
    table = Table("slice", *columns)
    for column in table.columns[1:]:
        column.justify = "right"
    if against:
        table.add_row(
            "all rows",
            str(found["rows"]),
            f"{found['metrics'][headline]['value']:.4f}",
            *_points(against["drop"]),
        )
    for name, one in found["slices"].items():
        lost = _points(against["slices"][name]["drop"]) if against else ()
        table.add_row(name, str(one["rows"]), f"{one[headline]:.4f}", *lost)
    console.print(table)
    if against:
        console.print(f"against {against['model']}: {headline} {against['value']:.4f}")
    for note in found["notes"]:
        console.print(note)
    if found["cut"]:
        console.print(f"{found['cut']} rows are longer than the model takes, and were cut")


def _points(drop: Mapping[str, float]) -> tuple[str, str]:
    value, low, high = (100 * drop[name] for name in ("value", "low", "high"))
    return f"{value:+.2f}", f"{low:+.2f} to {high:+.2f}"


def evaluate_suite(request: Request, suite: str | None, directory: Path | None) -> None:
    """Score a model for each task of GLUE whose data and model are there.

    A task that cannot be scored is named, and the others go on.

    Raises:
        InputError: the request makes no sense, or there are tasks that could not be scored.
    """
    if suite != "glue":
        raise InputError(f"--suite knows glue, found {suite!r}")
    if directory is None:
        raise InputError("--suite glue needs the directory with its data")
    if request.data is not None or request.against is not None:
        raise InputError("--suite goes without --data and --against")
    files = evaluation.glue_files(directory)
    scores: dict[str, dict[str, Any]] = {}
    absent: dict[str, str] = {}
    failed: dict[str, str] = {}
    for task in evaluation.GLUE_TASKS:
        if task.name not in files:
            absent[task.name] = "no data"
            continue
        folders = [Path(request.model) / folder for folder in task.folders]
        folder = next((one for one in folders if one.is_dir()), None)
        if folder is None:
            absent[task.name] = f"no model in {folders[0]}"
            continue
        try:
            scores[task.name] = _suite_score(request, task, files[task.name], folder)
        except LimbeckError as error:
            failed[task.name] = str(error)
            say(f"limbeck: {task.name} cannot be scored: {error}")
    if not scores and not failed:
        raise InputError(
            f"{request.model} has a model for none of the tasks in {directory}: "
            + "; ".join(f"{name}: {why}" for name, why in absent.items())
        )
    macro = sum(one["score"] for one in scores.values()) / len(scores) if scores else math.nan
    found = {"tasks": scores, "absent": absent, "failed": failed, "macro": macro}
    if request.json:
        typer.echo(json.dumps(_plain(found), indent=2))
    else:
        _show_suite(scores, absent, failed, macro)
    if failed:
        raise InputError(
            f"{len(failed)} of {len(failed) + len(scores)} tasks could not be scored: "
            f"{', '.join(failed)}; the macro score is without them"
        )


def _suite_score(request: Request, task: GlueTask, data: Path, folder: Path) -> dict[str, Any]:
    examples = evaluation.read_glue(task, data)
    model = load(folder, precision=request.precision, threads=request.threads)
    scored = _score(request, model, examples, task.name)
    unknown = [name for name in task.score if name not in scored.metrics]
    if unknown:
        raise InputError(f"{folder}: {task.name} is scored by {unknown[0]}, of two classes")
    values = {name: scored.value(name) for name in task.score}
    return {
        "rows": len(scored),
        "metrics": values,
        "score": 100 * sum(values.values()) / len(values),
    }


def _show_suite(
    scores: Mapping[str, Mapping[str, Any]],
    absent: Mapping[str, str],
    failed: Mapping[str, str],
    macro: float,
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("task", "rows", "metrics", "score")
    for name, one in scores.items():
        said = ", ".join(f"{key} {value:.4f}" for key, value in one["metrics"].items())
        table.add_row(name, str(one["rows"]), said, f"{one['score']:.1f}")
    for name, why in absent.items():
        table.add_row(name, "-", why, "absent")
    for name in failed:
        table.add_row(name, "-", "see above", "failed")
    console = Console()
    console.print(table)
    console.print(f"macro score of {len(scores)} tasks: {macro:.1f}")
