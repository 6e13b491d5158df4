"""Which static range fits the activations that were seen: observers of a layer's inputs.

Each sees the inputs of one linear layer, batch by batch, and then names a low and a high end. Both
ends include zero, which must be exact. Formulas: Krishnamoorthi 2018 (arXiv:1806.08342), section
3.1.1, and Nagel et al. 2021 (arXiv:2106.08295), section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from limbeck.engine.quantization import FLAT_RANGE, quantize_activations, token_extent
from limbeck.errors import InputError

F32 = npt.NDArray[np.float32]
ObserverName = Literal["minmax", "percentile", "mse"]
OBSERVERS: tuple[ObserverName, ...] = get_args(ObserverName)

# Of all values this share lies within the range of "percentile": half of the rest is cut at each
# end, as calibration tools of the field have it.
PERCENTILE_SHARE = 0.9999
# Fewest bins of a histogram that has seen more than one value: 16 to a step of 8-bit rounding.
_BINS = 4096
# "mse" tries so many places for each end, evenly from the end itself to a twenty-fifth of it.
_CLIPS = 25


class RangeObserver(Protocol):
    """What sees the inputs of one layer."""

    def see(self, x: F32) -> None:
        """Look at [T, K] values."""

    def ends(self) -> tuple[float, float]:
        """Low and high end of the range, low <= 0 <= high."""


class MinMax:
    """The lowest and the highest value: nothing is cut off."""

    def __init__(self) -> None:
        self._low = self._high = 0.0

    def see(self, x: F32) -> None:
        lows, highs = token_extent(x)
        self._low = min(self._low, float(lows.min()))
        self._high = max(self._high, float(highs.max()))

    def ends(self) -> tuple[float, float]:
        return self._low, self._high


class Histogram:
    """How many values fell where: bins [n w, (n + 1) w), w a power of two.

    The first values that are not zero set w, _BINS bins or more to their spread. Where later ones
    lie too far out, w doubles and bins join in pairs: nothing is counted twice, or forgotten.
    """

    def __init__(self) -> None:
        self._exponent: int | None = None
        self._zeros = 0  # seen before anything else was
        self._first = 0
        self._counts = np.zeros(0, dtype=np.int64)

    @property
    def width(self) -> float:
        """w."""
        return 0.0 if self._exponent is None else math.ldexp(1.0, self._exponent)

    def add(self, x: F32) -> None:
        """Count values."""
        lowest, highest = float(x.min()), float(x.max())
        if self._exponent is None:
            size = max(abs(lowest), abs(highest))
            if not size > FLAT_RANGE:
                self._zeros += x.size
                return
            self._exponent = math.frexp(size / _BINS)[1] - 1
            self._first, self._counts = 0, np.array([self._zeros], dtype=np.int64)
        self._grow(lowest, highest)
        bins = np.floor(np.ldexp(x.ravel().astype(np.float64), -self._exponent)).astype(np.int64)
        low, high = int(bins.min()), int(bins.max())
        self._extend(low, high)
        self._counts += np.bincount(bins - self._first, minlength=len(self._counts))

    def _grow(self, low: float, high: float) -> None:
        """Double w until old and new values fit."""
        assert self._exponent is not None
        while True:
            first = math.floor(math.ldexp(low, -self._exponent))
            last = math.floor(math.ldexp(high, -self._exponent))
            first = min(first, self._first)
            last = max(last, self._first + len(self._counts) - 1)
            if last - first < 4 * _BINS:
                return
            self._exponent += 1
            places = (np.arange(len(self._counts)) + self._first) >> 1
            self._first = int(places[0])
            joined = np.zeros(int(places[-1]) - self._first + 1, dtype=np.int64)
            np.add.at(joined, places - self._first, self._counts)
            self._counts = joined

    def _extend(self, low: int, high: int) -> None:
        before = max(0, self._first - low)
        after = max(0, high - (self._first + len(self._counts) - 1))
        self._counts = np.pad(self._counts, (before, after))
        self._first -= before

    def edges(self) -> npt.NDArray[np.float64]:
        """[n + 1] ends of the n bins."""
        places = np.arange(len(self._counts) + 1) + self._first
        return places.astype(np.float64) * np.float64(self.width)

    def counts(self) -> npt.NDArray[np.int64]:
        """[n]."""
        return self._counts

    def quantile(self, share: float) -> float:
        """The value below which this share of all lies, within a bin's width; linear within it."""
        reached = np.concatenate([[0], np.cumsum(self._counts)])
        return float(np.interp(share * reached[-1], reached, self.edges()))


class Percentile:
    """The range that holds PERCENTILE_SHARE of all values; as much is cut off at either end.

    low = quantile((1 - share) / 2), high = quantile((1 + share) / 2), each within a bin's width, at
    most 1/4096 of the largest value.
    """

    def __init__(self, share: float = PERCENTILE_SHARE) -> None:
        if not 0 < share <= 1:
            raise InputError(f"a percentile keeps a share in (0, 1] of all values, found {share!r}")
        self._share = share
        self._seen, self._whole = Histogram(), MinMax()

    def see(self, x: F32) -> None:
        self._seen.add(x)
        self._whole.see(x)

    def ends(self) -> tuple[float, float]:
        lowest, highest = self._whole.ends()
        low = self._seen.quantile((1 - self._share) / 2)
        high = self._seen.quantile((1 + self._share) / 2)
        # a bin may begin before the lowest value
        return max(lowest, min(0.0, low)), min(highest, max(0.0, high))


class SquaredError:
    """The range that rounds and clips with the least squared error:
    argmin over (low, high) of sum_x (x - Q(clip(x, low, high)))**2, Q as the engine rounds.

    Both ends are tried at i / 25 of the lowest and highest value, i = 1 .. 25, with every other
    end; values stand at the centres of their bins.
    """

    def __init__(self) -> None:
        self._seen, self._whole = Histogram(), MinMax()

    def see(self, x: F32) -> None:
        self._seen.add(x)
        self._whole.see(x)

    def ends(self) -> tuple[float, float]:
        lowest, highest = self._whole.ends()
        if not highest - lowest > FLAT_RANGE:
            return lowest, highest
        counts, edges = self._seen.counts(), self._seen.edges()
        there = counts > 0
        centres = ((edges[:-1] + edges[1:]) / 2)[there].astype(np.float32)
        shares = counts[there].astype(np.float64)
        tried = np.arange(1, _CLIPS + 1, dtype=np.float32) / np.float32(_CLIPS)
        lows = np.unique(np.float32(lowest) * tried)
        highs = np.unique(np.float32(highest) * tried)
        best = (math.inf, lowest, highest)
        for low in lows:
            # all highs at once: [highs, bins]
            errors = squared_errors(centres, shares, np.full_like(highs, low), highs)
            at = int(errors.argmin())
            if errors[at] < best[0]:
                best = (float(errors[at]), float(low), float(highs[at]))
        return best[1], best[2]


def squared_errors(
    values: F32, counts: npt.NDArray[np.float64], lows: F32, highs: F32
) -> npt.NDArray[np.float64]:
    """sum_x count(x) * (x - Q(clip(x)))**2 of values [n] in each of the ranges [r] -> [r]."""
    clipped = np.clip(values[None, :], lows[:, None], highs[:, None])
    q, scale, zero = quantize_activations(clipped, (lows, highs))
    rounded = (q.astype(np.float32) - zero[:, None].astype(np.float32)) * scale[:, None]
    errors: npt.NDArray[np.float64] = np.square((values[None, :] - rounded).astype(np.float64)) @ (
        counts
    )
    return errors


_MADE: dict[ObserverName, Callable[[], RangeObserver]] = {
    "minmax": MinMax,
    "percentile": Percentile,
    "mse": SquaredError,
}


def observer(name: str) -> RangeObserver:
    """A fresh observer.

    Raises:
        InputError: there is none of this name.
    """
    if name not in _MADE:
        raise InputError(f"observer {name!r} is not one of {', '.join(OBSERVERS)}")
    return _MADE[name]()
