"""Chart sections -> shapes with coordinates. The page draws them; nothing here writes markup."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from limbeck.report.sections import Bars, Lines

WIDTH, HEIGHT = 760, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 12, 48
COLOURS = 6  # how many series colours the page's style sheet has


@dataclass(frozen=True, kw_only=True)
class Label:
    x: float
    y: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A polyline in the colour of series `colour`; "x,y x,y ..."."""

    points: str
    colour: int


@dataclass(frozen=True, kw_only=True)
class Dot:
    x: float
    y: float
    colour: int
    tip: str


@dataclass(frozen=True, kw_only=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    colour: int
    tip: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Everything the page needs to draw one chart."""

    grid: tuple[float, ...]  # y of each horizontal line
    baseline: float
    labels: tuple[Label, ...]
    strokes: tuple[Stroke, ...] = ()
    dots: tuple[Dot, ...] = ()
    boxes: tuple[Box, ...] = ()
    legend: tuple[tuple[str, int], ...] = ()
    empty: bool = False


def number(value: float) -> str:
    """A number as people read it: four significant digits, no exponent in the usual range."""
    if isinstance(value, int) or (math.isfinite(value) and float(value).is_integer()):
        return f"{int(value):,}" if abs(value) < 1e15 else f"{value:.3g}"
    if not math.isfinite(value):
        return "not finite"
    if 1e-3 <= abs(value) < 1e6:
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        return f"{value:,.{digits}f}"
    return f"{value:.3g}"


def ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Round numbers that enclose [low, high], about `count` of them: steps of 1, 2 or 5."""
    if low == high:
        low, high = (low - 0.5, high + 0.5) if low else (0.0, 1.0)
    rough = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * s for s in (1, 2, 5, 10) if power * s >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(n * step for n in range(first, last + 1))


def _place(value: float, low: float, high: float, start: float, end: float) -> float:
    return round(start + (value - low) / (high - low) * (end - start), 2)


def _axis_labels(marks: Sequence[float], y_of: Sequence[float]) -> Iterator[Label]:
    for mark, y in zip(marks, y_of, strict=True):
        yield Label(x=LEFT - 8, y=y + 4, text=number(round(mark, 12)), anchor="end")


def draw_lines(chart: Lines) -> Drawing:
    """Points -> polylines; a point that is not finite ends one stroke and the next starts anew."""
    finite = [
        (x, y)
        for line in chart.series
        for x, y in line.points
        if math.isfinite(x) and math.isfinite(y)
    ]
    if not finite:
        return Drawing(grid=(), baseline=HEIGHT - BOTTOM, labels=(), empty=True)
    ys = [y for _, y in finite]
    y_marks = ticks(min([0.0, *ys] if chart.y_from_zero else ys), max(ys))
    xs = sorted({x for x, _ in finite})
    if chart.log_x:
        low_x, high_x = math.log(xs[0]), math.log(xs[-1])
        x_marks: tuple[float, ...] = tuple(xs[:: max(1, math.ceil(len(xs) / 8))])
    else:
        x_marks = ticks(xs[0], xs[-1], 7)
        low_x, high_x = x_marks[0], x_marks[-1]
    if low_x == high_x:
        low_x, high_x = low_x - 0.5, high_x + 0.5

    def at(x: float, y: float) -> tuple[float, float]:
        where = math.log(x) if chart.log_x else x
        return (
            _place(where, low_x, high_x, LEFT, WIDTH - RIGHT),
            _place(y, y_marks[0], y_marks[-1], HEIGHT - BOTTOM, TOP),
        )

    strokes: list[Stroke] = []
    dots: list[Dot] = []
    beside: list[Label] = []
    for index, line in enumerate(chart.series):
        run: list[str] = []
        runs = [run]
        for place, (x, y) in enumerate(line.points):
            if not (math.isfinite(x) and math.isfinite(y)):
                run = []
                runs.append(run)
                continue
            left, top = at(x, y)
            run.append(f"{left},{top}")
            tip = f"{line.name}: {number(y)} at {number(x)}"
            if line.labels:
                tip += f" ({line.labels[place]})"
                beside.append(Label(x=left, y=round(top - 6, 2), text=line.labels[place]))
            dots.append(Dot(x=left, y=top, colour=index % COLOURS, tip=tip))
        strokes += [Stroke(points=" ".join(r), colour=index % COLOURS) for r in runs if len(r) > 1]
    grid = tuple(at(xs[0], mark)[1] for mark in y_marks)
    labels = [
        *_axis_labels(y_marks, grid),
        *(
            Label(x=at(m, ys[0])[0], y=HEIGHT - BOTTOM + 18, text=number(round(m, 12)))
            for m in x_marks
        ),
        Label(x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, text=chart.x_label),
        *beside,
    ]
    return Drawing(
        grid=grid,
        baseline=HEIGHT - BOTTOM,
        labels=tuple(labels),
        strokes=tuple(strokes),
        dots=tuple(dots),
        legend=tuple((line.name, i % COLOURS) for i, line in enumerate(chart.series)),
    )


def draw_bars(chart: Bars) -> Drawing:
    """Values -> boxes that grow from zero, side by side within each category."""
    present = [v for row in chart.values.values() for v in row if v is not None]
    finite = [v for v in present if math.isfinite(v)]
    if not finite:
        return Drawing(grid=(), baseline=HEIGHT - BOTTOM, labels=(), empty=True)
    marks = ticks(min(0.0, *finite), max(0.0, *finite))

    def y_of(value: float) -> float:
        return _place(value, marks[0], marks[-1], HEIGHT - BOTTOM, TOP)

    slot = (WIDTH - LEFT - RIGHT) / len(chart.categories)
    bar = slot * 0.8 / len(chart.values)
    boxes: list[Box] = []
    labels: list[Label] = []
    for column, category in enumerate(chart.categories):
        start = LEFT + column * slot + slot * 0.1
        for index, (name, values) in enumerate(chart.values.items()):
            value = values[column]
            if value is None or not math.isfinite(value):
                continue
            left, top = round(start + index * bar, 2), min(y_of(value), y_of(0.0))
            boxes.append(
                Box(
                    x=left,
                    y=top,
                    width=round(bar * 0.92, 2),
                    height=round(abs(y_of(value) - y_of(0.0)), 2),
                    colour=index % COLOURS,
                    tip=f"{name}, {category}: {number(value)}",
                )
            )
            if bar >= 34:  # a figure of four digits fits above the bar
                labels.append(Label(x=round(left + bar * 0.46, 2), y=top - 4, text=number(value)))
        labels.append(Label(x=round(start + slot * 0.4, 2), y=HEIGHT - BOTTOM + 18, text=category))
    grid = tuple(y_of(mark) for mark in marks)
    return Drawing(
        grid=grid,
        baseline=y_of(0.0),
        labels=(*_axis_labels(marks, grid), *labels),
        boxes=tuple(boxes),
        legend=tuple((name, i % COLOURS) for i, name in enumerate(chart.values)),
    )
