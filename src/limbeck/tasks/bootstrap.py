"""How far a metric would move on other rows of the same kind: percentile bootstrap.

Efron and Tibshirani 1993, chapter 13: draw as many rows as there are, with replacement, and look at
the metric again; the middle 95 % of what is found is the interval. Two models are compared on the
same draws, so that rows that are hard for both count for neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError

# A metric of the rows at these places, which may repeat.
Metric = Callable[[npt.NDArray[np.intp]], float]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A metric on all rows, and where the middle of its resamples begins and ends."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def interval(
    metric: Metric, rows: int, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """The metric with its interval.

    Args:
        metric: may be NaN on a draw, where it is undefined there; such draws are left out.
        level: share of the resamples between low and high.

    Raises:
        InputError: no rows, or a level outside 0 .. 1.
    """
    return difference(metric, None, rows, resamples=resamples, level=level, seed=seed)


def difference(
    first: Metric,
    second: Metric | None,
    rows: int,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """`first` minus `second`, both on the same draws; None: `first` alone.

    Raises:
        InputError: as `interval`.
    """
    if rows < 1 or resamples < 1:
        raise InputError("an interval needs rows and resamples")
    if not 0 < level < 1:
        raise InputError(f"the level of an interval must be between 0 and 1, found {level!r}")

    def at(places: npt.NDArray[np.intp]) -> float:
        return first(places) - (0.0 if second is None else second(places))

    generator = np.random.default_rng(seed)
    found = np.array([at(generator.integers(0, rows, rows)) for _ in range(resamples)])
    found = found[~np.isnan(found)]
    value = at(np.arange(rows))
    if not found.size:
        return Interval(value=value, low=float("nan"), high=float("nan"))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=float(low), high=float(high))
