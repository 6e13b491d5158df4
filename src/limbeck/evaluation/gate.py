"""Whether a model may take another's place: at most so much of the headline metric lost.

Fails closed: what cannot be told (a metric that is undefined) does not pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from limbeck.errors import InputError
from limbeck.evaluation.compare import Comparison


@dataclass(frozen=True, kw_only=True)
class Limits:
    """In points, hundredths of the metric.

    max_drop: most that may be lost on all rows; max_slice_drop: on any slice, None: slices are
    shown and do not decide. strict: the upper end of the interval decides, not the estimate.

    Raises:
        InputError: a limit is negative or no number.
    """

    max_drop: float
    max_slice_drop: float | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        for name in ("max_drop", "max_slice_drop"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise InputError(f"{name} must be a number of points from 0, found {value!r}")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the second model passes, and each limit that it broke, as a sentence."""

    passed: bool
    problems: tuple[str, ...] = ()


def judge(comparison: Comparison, limits: Limits) -> Verdict:
    """Hold a comparison against limits."""
    problems = []
    parts = [("all rows", limits.max_drop, comparison.drop)]
    if limits.max_slice_drop is not None:
        parts += [
            (name, limits.max_slice_drop, drop) for name, (_, drop) in comparison.slices.items()
        ]
    for name, limit, drop in parts:
        lost = 100 * (drop.high if limits.strict else drop.value)
        if lost <= limit:
            continue
        what = "may lose up to" if limits.strict else "loses"
        said = "an unknown number of" if math.isnan(lost) else f"{lost:.2f}"
        problems.append(
            f"{name}: {what} {said} points of {comparison.metric}, and {limit:g} are allowed"
        )
    return Verdict(passed=not problems, problems=tuple(problems))
