"""Pruned models beside dense students that are as fast: which of those counts, and who is ahead."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from limbeck.measure import is_as_fast
from limbeck.tasks.bootstrap import Interval


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A pruned model and the dense student that it has to be better than (`rival_of`).

    behind: points of the metric that the student has more, by rows that both answer.
    """

    name: str
    ms: float
    rival: str
    rival_ms: float
    behind: Interval

    def __str__(self) -> str:
        value, low, high = (
            0.0 - end for end in (self.behind.value, self.behind.high, self.behind.low)
        )
        return f"{self.name} ({self.rival}: {value:+.2f} ({low:+.2f} to {high:+.2f}))"


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
        return max(as_fast, key=lambda name: _known(dense[name][1]))
    return min(dense, key=lambda name: dense[name][0], default=None)


def told(found: Sequence[Beside]) -> list[str]:
    """Sentences, one for each way in which a model and its rival can stand to one another."""
    groups: dict[str, list[str]] = {}
    for one in found:
        head = f"{_standing(one.behind)} the best dense student that is as fast"
        if not is_as_fast(one.rival_ms, one.ms):
            head = f"Faster than every dense student; {_standing(one.behind).lower()} the fastest"
        groups.setdefault(head, []).append(str(one))
    return [f"{head}: {', '.join(named)}." for head, named in groups.items()]


def _standing(behind: Interval) -> str:
    if behind.high < 0:
        return "More accurate than"
    if behind.low > 0:
        return "Less accurate than"
    return "Not to be told from"


def _known(value: float) -> float:
    """What is undefined comes behind everything."""
    return -math.inf if math.isnan(value) else value
