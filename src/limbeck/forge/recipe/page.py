"""A finished run as one HTML page, and as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.table import Table as RichTable

from limbeck import report
from limbeck.evaluation import Interval
from limbeck.forge.recipe import schema
from limbeck.report import Bars, Cell, Lines, Section, Series, Table, Text

if TYPE_CHECKING:
    from limbeck.forge.recipe.finish import Finished


def table(found: Finished) -> RichTable:
    """One line a model: quality, what it lost, size, speed."""
    shown = RichTable(
        "stage",
        found.steps[0].quality.headline,
        "95 %",
        "points",
        "MB",
        *(f"ms, {tokens}" for tokens in _lengths(found)),
        "s",
        title=f"{found.steps[0].quality.rows} rows; ms by tokens of one text; s to make it",
        box=SIMPLE,
        pad_edge=False,
        collapse_padding=True,  # 80 columns are enough
    )
    for column in shown.columns:
        column.no_wrap = True
    for column in shown.columns[1:]:
        column.justify = "right"
    for step in found.steps:
        quality = step.quality.metrics[step.quality.headline]
        shown.add_row(
            step.output.stage,
            f"{quality.value:.4f}",
            f"{quality.low:.3f}..{quality.high:.3f}",
            "" if step.lost is None else f"{100 * (0 - step.lost.drop.value):+.2f}",
            f"{step.size_bytes / 1e6:.1f}",
            *(f"{_time(found, step.output.stage, tokens):.1f}" for tokens in _lengths(found)),
            f"{step.done.seconds:.0f}",
        )
    return shown


def _lengths(found: Finished) -> list[int]:
    return sorted({one.tokens for one in found.latency})


def _time(found: Finished, stage: str, tokens: int) -> float:
    (time,) = [o.p50_ms for o in found.latency if (o.stage, o.tokens) == (stage, tokens)]
    return time


def write(found: Finished, path: Path, events: Sequence[Mapping[str, Any]]) -> Path:
    """Write the page; it opens without a network.

    Raises:
        MissingExtraError: jinja2 is not installed.
        InputError: the file cannot be written.
    """
    sections = [
        _verdict(found),
        _stages(found),
        *_losses(found),
        _slices(found),
        *_speed(found),
        _history(events),
        Text(
            title="Recipe",
            paragraphs=schema.to_toml(found.recipe).splitlines(),
            preformatted=True,
        ),
    ]
    return report.write_html(path, "How this artifact was made", sections, subtitle=found.digest)


def _points(interval: Interval) -> str:
    """What was lost, as a change."""
    change, low, high = (100 * (0 - one) for one in (interval.value, interval.high, interval.low))
    return f"{change:+.2f} ({low:+.2f} to {high:+.2f})"


def told(found: Finished) -> list[str]:
    """What the artifact lost against the first model, with its interval, and what the gate says."""
    first, last = found.steps[0], found.steps[-1]
    lines = [
        f"{last.output.stage} has {last.quality.headline} {last.quality.value:.4f} on "
        f"{last.quality.rows} rows, {first.output.stage} {first.quality.value:.4f}: "
        f"{_points(found.whole.drop)} points, with the 95 % interval of both on the same rows."
    ]
    limits = found.recipe.gate
    if limits is not None:
        allowed = f"up to {limits.max_drop:g} points may be lost"
        if limits.max_slice_drop is not None:
            allowed += f", {limits.max_slice_drop:g} on a slice"
        decides = "the interval's worse end" if limits.strict else "the estimate"
        passed = "let it pass" if found.passed else "refused it"
        lines.append(f"The gate {passed}: {allowed}, and {decides} decides.")
    return lines


def _verdict(found: Finished) -> Text:
    lines = told(found)
    if found.verdict is None:
        lines.append("No gate was asked for.")
    elif not found.verdict.passed:
        lines.append(f"{found.refusal()}.")
    lines += [f"Of the gate: {warning}." for warning in found.warnings]
    cut = found.steps[-1].quality.cut
    if cut:
        lines.append(f"{cut} rows are longer than the model takes, and were cut.")
    return Text(title="Result", paragraphs=lines)


def _stages(found: Finished) -> Table:
    metrics = list(found.steps[0].quality.metrics)
    rows: list[list[Cell]] = [
        [
            step.output.stage,
            *(str(step.quality.metrics[name]) for name in metrics),
            None if step.lost is None else _points(step.lost.drop),
            round(step.size_bytes / 1e6, 2),
            step.done.seconds,
        ]
        for step in found.steps
    ]
    return Table(
        title="Stage by stage",
        columns=["stage", *metrics, "points against the stage before", "MB", "seconds"],
        rows=rows,
        note="With 95 % intervals: bootstrap over rows, paired where two models are compared.",
    )


def _losses(found: Finished) -> list[Section]:
    trained = [step for step in found.steps if "first_loss" in step.done.figures]
    if not trained:
        return []
    sections: list[Section] = [
        Table(
            title="Training",
            columns=["stage", "steps", "rows", "loss at first", "loss at last", "precision"],
            rows=[
                [
                    step.output.stage,
                    step.done.figures["steps"],
                    step.done.figures["rows_seen"],
                    round(step.done.figures["first_loss"], 4),
                    round(step.done.figures["last_loss"], 4),
                    step.done.figures["precision"],
                ]
                for step in trained
            ],
            note="Losses are means over the first and the last tenth of the steps.",
        )
    ]
    curves = [step for step in trained if step.done.figures.get("losses")]
    if curves:
        sections.append(
            Lines(
                title="Loss over steps",
                x_label="step",
                y_label="loss",
                series=[
                    Series(
                        name=step.output.stage,
                        points=_curve(step.done.figures["losses"], step.done.figures["steps"]),
                    )
                    for step in curves
                ],
            )
        )
    return sections


def _curve(losses: Sequence[float], steps: int) -> list[tuple[float, float]]:
    """The middles of equally many steps each, and their mean losses."""
    each = steps / len(losses)
    return [((place + 0.5) * each, loss) for place, loss in enumerate(losses)]


def _slices(found: Finished) -> Table:
    sizes = {
        name: rows
        for of_model in (found.whole.slices, found.steps[0].quality.slices)
        for name, (rows, _) in of_model.items()
    }
    return Table(
        title=f"{found.steps[0].quality.headline} by slice",
        columns=["slice", "rows", *(step.output.stage for step in found.steps), "points in all"],
        rows=[
            [
                name,
                rows,
                *(
                    str(step.quality.slices[name][1]) if name in step.quality.slices else None
                    for step in found.steps
                ),
                _points(found.whole.slices[name][1]) if name in found.whole.slices else None,
            ]
            for name, rows in sizes.items()
        ],
    )


def _speed(found: Finished) -> list[Section]:
    if not found.latency:
        return []
    lengths = _lengths(found)
    return [
        Bars(
            title="One text through the engine",
            y_label="milliseconds, median",
            categories=[f"{tokens} tokens" for tokens in lengths],
            values={
                step.output.stage: [_time(found, step.output.stage, tokens) for tokens in lengths]
                for step in found.steps
            },
            note="Trained models in fp32, the artifact as it is; measured in turns.",
        ),
        Table(
            title="Milliseconds for one text",
            columns=["stage", "tokens", "p50", "p99", "calls"],
            rows=[
                [one.stage, one.tokens, round(one.p50_ms, 3), round(one.p99_ms, 3), one.calls]
                for one in found.latency
            ],
        ),
    ]


def _history(events: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        title="What happened",
        columns=["time", "event", "stage", "seconds"],
        rows=[
            [
                str(one.get("time", "")),
                str(one.get("event", "")),
                str(one.get("stage", "")),
                one.get("seconds"),
            ]
            for one in events
        ],
    )
