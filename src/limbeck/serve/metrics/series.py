"""Counts that cost next to nothing to add to; the library's own lock each and walk its buckets."""

from __future__ import annotations

from bisect import bisect_left
from functools import cache
from itertools import accumulate

from prometheus_client.utils import floatToGoString


@cache
def _names(bounds: tuple[float, ...]) -> tuple[str, ...]:
    """Bounds as Prometheus writes them; few sets of bounds, and many scrapes."""
    return (*map(floatToGoString, bounds), "+Inf")


class Histogram:
    """Counts by bucket. bounds: upper, inclusive, ascending, without infinity."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def used(self) -> bool:
        """Whether anything was counted."""
        return any(self._counts)

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """(bound, count up to it) pairs as Prometheus has them, and the sum of all values."""
        return list(zip(_names(self._bounds), map(float, accumulate(self._counts)))), self._sum


class Saturation:
    """Busy share since somebody asked, at least `window_s` ago, from a total of busy seconds.

    Several may ask at once: whoever asks often does not shorten the window of others.
    """

    __slots__ = ("_samples", "_window_s")

    def __init__(self, *, window_s: float, now_s: float) -> None:
        self._window_s = window_s
        self._samples: list[tuple[float, float]] = [(now_s, 0.0)]

    def ratio(self, busy_s: float, workers: int, now_s: float) -> float:
        """Between 0 and 1.

        busy_s: of all workers since the start, with what runs now.
        """
        samples = self._samples
        if now_s - samples[-1][0] >= self._window_s / 20:
            samples.append((now_s, busy_s))
        # The oldest is the last one that lies at or before the beginning of the window.
        while len(samples) > 1 and samples[1][0] <= now_s - self._window_s:
            del samples[0]
        then_s, then_busy_s = samples[0]
        if now_s <= then_s:
            return 0.0
        return min(1.0, max(0.0, (busy_s - then_busy_s) / ((now_s - then_s) * max(1, workers))))
