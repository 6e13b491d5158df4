"""What was measured of a curve's artifacts, and what follows: which one to ship at which loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck.evaluation import Interval, Limits, Verdict
from limbeck.forge.recipe.curve.plan import Point
from limbeck.measure import Ratio, Timing, is_as_fast


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One text of so many tokens. faster: than the dense full-depth artifact, paired by round."""

    tokens: int
    timing: Timing
    faster: Ratio


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One artifact: what it is, how good, how fast and how large.

    sparsity: share of the encoder's blocks that is gone, as pruning found it. value: the headline
    metric; drop: against the teacher; kept: per cent of the teacher's, NaN where there is nothing
    to keep; rounding: lost in the export alone. rival: of what is pruned, the dense student that it
    has to be better than (`rival_of`); behind: how much that one is above it. verdict: of the gate,
    where there is one. seconds: to train it from its dense model.
    """

    point: Point
    artifact: Path
    digest: str
    sparsity: float
    value: Interval
    drop: Interval
    kept: Interval
    rounding: Interval
    rival: str | None
    behind: Interval | None
    verdict: Verdict | None
    size_bytes: int
    seconds: float
    speeds: tuple[Speed, ...]

    @property
    def speed(self) -> Speed:
        """At the longest text: by this artifacts are put in order."""
        return self.speeds[-1]

    @property
    def ms(self) -> float:
        return self.speed.timing.p50_ms

    @property
    def passed(self) -> bool:
        return self.verdict is None or self.verdict.passed


@dataclass(frozen=True, kw_only=True)
class Curve:
    """All artifacts, the fastest first. teacher: its metric, as it was trained. threads, isa: of
    the engine when it was timed."""

    home: Path
    page: Path
    file: Path
    metric: str
    rows: int
    teacher: Interval
    measured: tuple[Measured, ...]
    gate: Limits | None
    seed: int
    threads: int
    isa: str

    @property
    def front(self) -> tuple[Measured, ...]:
        """Those that no other artifact is better than."""
        placed = [(one.ms, one.value.value) for one in self.measured]
        kept = front(placed)
        return tuple(one for one, on_it in zip(self.measured, kept, strict=True) if on_it)

    @property
    def choice(self) -> Measured | None:
        """The fastest that the gate lets pass; None: there is no such one, or no gate."""
        if self.gate is None:
            return None
        return next((one for one in self.measured if one.passed), None)

    @property
    def passed(self) -> bool:
        return self.gate is None or self.choice is not None

    def refusal(self) -> str:
        """Why nothing passes: the one that lost least, and what it lost."""
        least = min(self.measured, key=lambda one: _last(one.drop.value))
        assert least.verdict is not None
        return (
            f"no artifact of the curve keeps the gate's limits. {least.point.name} loses least: "
            f"{'; '.join(least.verdict.problems)}. The table is in {self.page}"
        )


def _last(value: float) -> float:
    """What is undefined comes behind everything."""
    return math.inf if math.isnan(value) else value


def front(placed: Sequence[tuple[float, float]]) -> list[bool]:
    """Of (milliseconds, metric) pairs: whether no other is as fast and as good, and one of it more.

    An undefined metric is worse than any.
    """
    known = [(ms, -math.inf if math.isnan(value) else value) for ms, value in placed]

    def beaten(ms: float, value: float) -> bool:
        return any(
            other_ms <= ms and other >= value and (other_ms < ms or other > value)
            for other_ms, other in known
        )

    return [not beaten(ms, value) and value > -math.inf for ms, value in known]


def points_of(interval: Interval, sign: int = 1) -> str:
    """Hundredths of a metric, with their interval; sign -1: what is lost, as a change."""
    low, high = (interval.low, interval.high) if sign > 0 else (interval.high, interval.low)
    value, low, high = (100 * (0.0 + sign * one) for one in (interval.value, low, high))
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def told(curve: Curve) -> list[str]:
    """The answer in sentences."""
    found = []
    if curve.gate is not None:
        limits = f"{curve.gate.max_drop:g} points" + (
            ", at the end of the interval" if curve.gate.strict else ""
        )
        one = curve.choice
        if one is None:
            found.append(f"No artifact keeps the gate's limits ({limits}).")
        else:
            found.append(
                f"Ship {one.point.name}: of what keeps the gate's limits ({limits}) it is the "
                f"fastest, {one.ms:.2f} ms for {one.speed.tokens} tokens, "
                f"{points_of(one.drop, -1)} points against the teacher."
            )
    named = ", ".join(one.point.name for one in curve.front)
    found.append(f"No other artifact is both as fast and as accurate as: {named}.")
    return found + _against_rivals(curve)


def rival_of(ms: float, dense: Mapping[str, tuple[float, float]]) -> str | None:
    """Which dense student a pruned model of so many milliseconds has to be better than.

    Args:
        dense: name -> milliseconds and metric.

    Returns:
        The most accurate of those that are as fast, to a twentieth; where none is, the fastest;
        None where there is no dense student.
    """
    as_fast = [name for name, (theirs, _) in dense.items() if is_as_fast(theirs, ms)]
    if as_fast:
        return max(as_fast, key=lambda name: -_last(-dense[name][1]))
    return min(dense, key=lambda name: dense[name][0], default=None)


def beats(behind: Interval) -> str:
    """What a pruned model is beside one that is `behind` above it."""
    if behind.high < 0:
        return "More accurate than"
    if behind.low > 0:
        return "Less accurate than"
    return "Not to be told from"


def _against_rivals(curve: Curve) -> list[str]:
    """Pruned models beside the dense students that are as fast, in groups."""
    by_name = {one.point.name: one for one in curve.measured}
    groups: dict[str, list[str]] = {}
    for one in curve.measured:
        if one.behind is None or one.rival is None:
            continue
        rival = by_name[one.rival]
        times = f"{one.ms:.2f} ms against {rival.ms:.2f} ms"
        said = f"{one.point.name} ({rival.point.name}: {points_of(one.behind, -1)}, {times})"
        head = f"{beats(one.behind)} the best dense student that is as fast"
        if not is_as_fast(rival.ms, one.ms):
            head = f"Faster than every dense student; {beats(one.behind).lower()} the fastest"
        groups.setdefault(head, []).append(said)
    return [f"{head}: {', '.join(named)}." for head, named in groups.items()]
