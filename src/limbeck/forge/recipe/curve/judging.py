"""What was measured of a curve's artifacts, and what follows: which one to ship at which loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck.evaluation import Interval, Limits, Verdict, rivals
from limbeck.forge.recipe.curve.plan import Point
from limbeck.measure import Ratio, Timing


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
    has to be better than (`rivals.rival_of`); behind: how much that one is above it. verdict: of
    the gate, where there is one. seconds: to train it from its dense model.
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


def _against_rivals(curve: Curve) -> list[str]:
    """Pruned models beside the dense students that are as fast, in groups."""
    by_name = {one.point.name: one for one in curve.measured}
    found = []
    for one in curve.measured:
        if one.behind is None or one.rival is None:
            continue
        value, low, high = (
            100 * end for end in (one.behind.value, one.behind.low, one.behind.high)
        )
        found.append(
            rivals.Beside(
                name=one.point.name,
                ms=one.ms,
                rival=one.rival,
                rival_ms=by_name[one.rival].ms,
                behind=Interval(value=value, low=low, high=high),
            )
        )
    return rivals.told(found)
