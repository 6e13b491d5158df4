"""A curve as a table for a terminal, as one HTML page with plots, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table as RichTable

from limbeck import measure, report
from limbeck.evaluation import Interval
from limbeck.forge.checkpoint import versions
from limbeck.forge.recipe.curve.judging import Curve, Measured, points_of, told
from limbeck.forge.recipe.curve.plan import percent
from limbeck.report import Cell, Lines, Section, Series, Table, Text


def table(curve: Curve) -> RichTable:
    """One line an artifact, the fastest first."""
    shown = RichTable(
        "",
        "artifact",
        "% gone",
        curve.metric,
        "95 %",
        "% kept",
        "95 %",
        f"ms, {curve.measured[0].speed.tokens}",
        "faster",
        "MB",
        title=f"{curve.rows} rows; the teacher has {curve.teacher.value:.4f}; * on the front",
        box=SIMPLE,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in shown.columns:
        column.no_wrap = True
    for column in shown.columns[2:]:
        column.justify = "right"
    front = curve.front
    for one in curve.measured:
        shown.add_row(
            "*" if one in front else "",
            one.point.name,
            percent(one.point.sparsity),
            f"{one.value.value:.4f}",
            f"{one.value.low:.3f}..{one.value.high:.3f}",
            _share(one.kept.value),
            "" if math.isnan(one.kept.low) else f"{one.kept.low:.1f}..{one.kept.high:.1f}",
            f"{one.ms:.2f}",
            f"{one.speed.faster.median:.2f}",
            f"{one.size_bytes / 1e6:.1f}",
        )
    return shown


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def write(curve: Curve) -> Path:
    """Write the page; it opens without a network.

    Raises:
        MissingExtraError: jinja2 is not installed.
        InputError: the file cannot be written.
    """
    longest = curve.measured[0].speed.tokens
    sections: list[Section] = [
        Text(title="What to ship", paragraphs=told(curve)),
        _table(curve),
        Lines(
            title=f"{curve.metric} over milliseconds for {longest} tokens",
            x_label="milliseconds, median",
            y_label=f"{curve.metric}; numbers are sparsities in per cent",
            series=[*_series(curve, lambda one: one.ms), *_rivals(curve)],
        ),
        Lines(
            title=f"{curve.metric} over sparsity",
            x_label="blocks that are gone, per cent",
            y_label=curve.metric,
            series=_series(curve, lambda one: 100 * one.point.sparsity),
        ),
        _speeds(curve),
    ]
    subtitle = (
        f"{curve.rows} rows; the teacher has {curve.metric} {curve.teacher}; seed {curve.seed}"
    )
    return report.write_html(
        curve.page, "Accuracy and time over sparsity", sections, subtitle=subtitle
    )


def _series(curve: Curve, x: Any) -> list[Series]:
    """One line a body and pattern, from the dense model on."""
    dense = {one.point.body: one for one in curve.measured if one.point.pattern is None}
    lines: dict[str, list[Measured]] = {}
    for one in sorted(curve.measured, key=lambda one: (one.point.line, one.point.sparsity)):
        if one.point.pattern is not None:
            lines.setdefault(one.point.line, [dense[one.point.body]]).append(one)
    if not lines:
        lines = {one.point.line: [one] for one in dense.values()}
    return [_line(name, line, x) for name, line in lines.items()]


def _rivals(curve: Curve) -> list[Series]:
    """One line through the dense models, where there are more of them than lines begin with."""
    dense = [one for one in curve.measured if one.point.pattern is None]
    if not any(one.point.base == "rival" for one in dense):
        return []
    return [_line("dense", dense, lambda one: one.ms)]


def _line(name: str, line: Sequence[Measured], x: Any) -> Series:
    return Series(
        name=name,
        points=[(x(one), one.value.value) for one in line],
        labels=[percent(one.point.sparsity) for one in line],
    )


def _table(curve: Curve) -> Table:
    front = curve.front
    rows: list[list[Cell]] = [
        [
            one.point.name,
            f"{percent(one.point.sparsity)} %",
            f"{one.value}",
            "–" if math.isnan(one.kept.value) else _percent(one.kept),
            points_of(one.drop, -1),
            points_of(one.rounding, -1),
            f"{one.ms:.3f} ({one.speed.timing.low_ms:.3f} to {one.speed.timing.high_ms:.3f})",
            f"{one.speed.faster.median:.2f} ({one.speed.faster.low:.2f} to "
            f"{one.speed.faster.high:.2f})",
            round(one.size_bytes / 1e6, 2),
            "yes" if one in front else "",
        ]
        for one in curve.measured
    ]
    return Table(
        title="All artifacts, the fastest first",
        columns=[
            "artifact",
            "sparsity",
            curve.metric,
            "% of the teacher's",
            "points against the teacher",
            "points in the export",
            f"ms for {curve.measured[0].speed.tokens} tokens",
            "times faster",
            "MB",
            "on the front",
        ],
        rows=rows,
        emphasis=[index for index, one in enumerate(curve.measured) if one in front],
        note="Metrics with 95 % intervals: bootstrap over rows, paired where two models are "
        "compared. Times with quartiles, of all artifacts in turns; how many times faster than the "
        "dense model of full depth, paired by round. On the front: no other artifact is as fast "
        "and as accurate.",
    )


def _percent(interval: Interval) -> str:
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def _speeds(curve: Curve) -> Table:
    return Table(
        title="Milliseconds for one text",
        columns=["artifact", "tokens", "p50", "first quartile", "third quartile", "times faster"],
        rows=[
            [
                one.point.name,
                speed.tokens,
                round(speed.timing.p50_ms, 4),
                round(speed.timing.low_ms, 4),
                round(speed.timing.high_ms, 4),
                round(speed.faster.median, 3),
            ]
            for one in curve.measured
            for speed in one.speeds
        ],
        note=f"One text at a time, {curve.threads} threads, {curve.isa}.",
    )


def as_json(curve: Curve) -> dict[str, Any]:
    """All that is known, as JSON can hold it."""
    machine = measure.machine()
    front = curve.front
    return {
        "metric": curve.metric,
        "rows": curve.rows,
        "teacher": _fields(curve.teacher),
        "seed": curve.seed,
        "tokens": curve.measured[0].speed.tokens,
        "ship": None if curve.choice is None else curve.choice.point.name,
        "passed": curve.passed,
        "answer": told(curve),
        "artifacts": [
            {
                "name": one.point.name,
                "base": one.point.base,
                "layers": one.point.layers,
                "pattern": one.point.pattern,
                "sparsity": one.point.sparsity,
                "found_sparsity": one.sparsity,
                "artifact": str(one.artifact.relative_to(curve.home)),
                "digest": one.digest,
                "value": _fields(one.value),
                "drop": _fields(one.drop),
                "kept": _fields(one.kept),
                "rounding": _fields(one.rounding),
                "rival": one.rival,
                "behind": None if one.behind is None else _fields(one.behind),
                "gate": None
                if one.verdict is None
                else {
                    "passed": one.verdict.passed,
                    "problems": list(one.verdict.problems),
                    "warnings": list(one.verdict.warnings),
                },
                "front": one in front,
                "size_bytes": one.size_bytes,
                "training_seconds": one.seconds,
                "latency": [
                    {
                        "tokens": speed.tokens,
                        "p50_ms": speed.timing.p50_ms,
                        "low_ms": speed.timing.low_ms,
                        "high_ms": speed.timing.high_ms,
                        "calls": speed.timing.calls,
                        "faster": speed.faster.median,
                        "faster_low": speed.faster.low,
                        "faster_high": speed.faster.high,
                    }
                    for speed in one.speeds
                ],
            }
            for one in curve.measured
        ],
        "threads": curve.threads,
        "isa": curve.isa,
        "machine": {"cpu": machine.cpu, "cores": machine.cores, "isa": list(machine.isa)},
        "versions": versions(),
    }


def _fields(interval: Interval) -> dict[str, float | None]:
    """JSON has no NaN: what is undefined is null."""
    values = {name: getattr(interval, name) for name in ("value", "low", "high")}
    return {name: None if math.isnan(value) else value for name, value in values.items()}
