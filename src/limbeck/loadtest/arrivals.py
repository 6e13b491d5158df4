"""When requests are sent: times drawn before the run, so that no answer can move them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError

Times = npt.NDArray[np.float64]


class Arrivals(Protocol):
    """A process of arrivals. `rate` is its mean, in requests a second."""

    @property
    def rate(self) -> float: ...

    def times(self, seconds: float, generator: np.random.Generator) -> Times:
        """Ascending times in [0, seconds), in seconds from the start."""
        ...


def check_rate(rate: float) -> None:
    """Raises:
    InputError: a rate that is no positive, finite number.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise InputError(f"a rate must be a positive number of requests a second, found {rate}")


def _poisson(rate: float, seconds: float, generator: np.random.Generator) -> Times:
    """A Poisson process given its count is so many uniform points: no gap is summed up."""
    count = generator.poisson(rate * seconds)
    return np.sort(generator.random(count)) * seconds


@dataclass(frozen=True, kw_only=True)
class Poisson:
    """Independent arrivals: what many users who do not know of one another send."""

    rate: float

    def __post_init__(self) -> None:
        check_rate(self.rate)

    def times(self, seconds: float, generator: np.random.Generator) -> Times:
        return _poisson(self.rate, seconds, generator)


@dataclass(frozen=True, kw_only=True)
class Burst:
    """Poisson arrivals at `base_rate`, and `factor` times that for `length_s` in every `every_s`.

    A period begins with its quiet part. `base_rate` 0 with `burst_rate` is on and off.

    Raises:
        InputError: rates, lengths or a factor that make no bursts.
    """

    base_rate: float
    burst_rate: float
    length_s: float = 1.0
    every_s: float = 10.0

    def __post_init__(self) -> None:
        check_rate(self.burst_rate)
        if not (math.isfinite(self.base_rate) and 0 <= self.base_rate <= self.burst_rate):
            raise InputError(
                f"the rate between bursts must be in 0 .. {self.burst_rate}, found {self.base_rate}"
            )
        if not 0 < self.length_s < self.every_s < math.inf:
            raise InputError(
                f"a burst must be shorter than its period: {self.length_s} s in {self.every_s} s"
            )

    @property
    def rate(self) -> float:
        quiet_s = self.every_s - self.length_s
        return (self.base_rate * quiet_s + self.burst_rate * self.length_s) / self.every_s

    def times(self, seconds: float, generator: np.random.Generator) -> Times:
        parts = []
        quiet_s = self.every_s - self.length_s
        for number in range(math.ceil(seconds / self.every_s)):
            begin = number * self.every_s
            parts.append(begin + _poisson(self.base_rate, quiet_s, generator))
            parts.append(begin + quiet_s + _poisson(self.burst_rate, self.length_s, generator))
        joined: Times = np.concatenate(parts) if parts else np.empty(0)
        return joined[joined < seconds]


@dataclass(frozen=True, kw_only=True)
class Even:
    """One request every 1 / rate seconds: no luck in it, for a look at the server alone."""

    rate: float

    def __post_init__(self) -> None:
        check_rate(self.rate)

    def times(self, seconds: float, generator: np.random.Generator) -> Times:
        return np.arange(math.ceil(seconds * self.rate - 1e-9), dtype=np.float64) / self.rate


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Recorded arrivals, `speed` times as fast as they were. The seed changes nothing.

    recorded_s: times in any unit of seconds; they are sorted, and the first becomes 0.

    Raises:
        InputError: no times, one that is not finite, or a speed that is not positive.
    """

    recorded_s: Times = field(repr=False)
    speed: float = 1.0

    def __post_init__(self) -> None:
        if self.recorded_s.size == 0:
            raise InputError("there are no recorded times to replay")
        if not np.isfinite(self.recorded_s).all():
            raise InputError("a recorded time is not a finite number")
        if not (math.isfinite(self.speed) and self.speed > 0):
            raise InputError(f"the speed of a replay must be positive, found {self.speed}")

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """Which recorded row each arrival is."""
        return np.argsort(self.recorded_s, kind="stable")

    @property
    def length_s(self) -> float:
        """From the first arrival to the last."""
        return float(np.ptp(self.recorded_s)) / self.speed

    @property
    def rate(self) -> float:
        return self.recorded_s.size / max(self.length_s, 1e-9)

    def times(self, seconds: float, generator: np.random.Generator) -> Times:
        ordered = np.sort(self.recorded_s, kind="stable")
        moved: Times = (ordered - ordered[0]) / self.speed
        return moved[moved < seconds]
