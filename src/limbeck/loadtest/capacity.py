"""The largest Poisson rate that a server answers in time: doubled until it fails, then bisected."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from limbeck.errors import InputError
from limbeck.loadtest.arrivals import Poisson, check_rate
from limbeck.loadtest.plan import Plan
from limbeck.loadtest.result import Result
from limbeck.loadtest.run import run

# A run that is void is made again so often before its rate counts as beyond the generator.
_TRIES = 3
# The first seed looks for its bracket in steps of two, later ones begin beside what it found.
_FIRST_STEP, _LATER_STEP = 2.0, 1.25


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One run of the search. met: enough was in time; void runs never are."""

    rate: float
    seed: int
    met: bool
    result: Result = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class RateFound:
    """The largest rate at which `goal` (a share) of the requests were answered in time.

    rates: one a seed, 0 where even the lowest rate failed. limited: the search ended because
    the generator could not send faster, or at `max_rate`: the server may stand more. knee: the
    run at the highest rate that was met, if any was.
    """

    goal: float
    tolerance: float
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    probes: tuple[Probe, ...] = field(repr=False)
    limited: bool = False
    interrupted: bool = False

    @property
    def rate(self) -> float:
        """The median over seeds; 0 where none was finished."""
        return statistics.median(self.rates) if self.rates else 0.0

    @property
    def low(self) -> float:
        return min(self.rates, default=0.0)

    @property
    def high(self) -> float:
        return max(self.rates, default=0.0)

    @property
    def spread(self) -> float:
        """Of the seeds, relative to the median."""
        return (self.high - self.low) / self.rate if self.rate else 0.0

    @property
    def knee(self) -> Result | None:
        met = [probe for probe in self.probes if probe.met]
        return max(met, key=lambda probe: probe.rate).result if met else None


def find_rate(
    plan: Plan,
    *,
    goal: float = 0.99,
    seeds: Sequence[int] = (0, 1, 2),
    start_rate: float | None = None,
    min_rate: float = 0.1,
    max_rate: float = 100_000.0,
    tolerance: float = 0.05,
    min_requests: int = 300,
    run: Callable[[Plan], Result] = run,
    tell: Callable[[Probe], None] | None = None,
) -> RateFound:
    """Search the largest rate at which at least `goal` of the requests are answered in time.

    Args:
        plan: what is sent and for how long; its arrivals and seed are replaced.
        seeds: one search each; the median counts.
        start_rate: where the first begins; default: the rate of the plan's arrivals.
        tolerance: a search ends when its bracket is relatively narrower than this.
        min_requests: slow probes last longer, so that each counts so many requests.
        run: how a probe is run; tests give a server that is a formula.
        tell: called with every probe as it ends.

    Raises:
        InputError: figures out of range.
        TargetError: the server cannot be reached.
    """
    if not 0 < goal <= 1:
        raise InputError(f"the goal must be a share in 0 .. 1, such as 0.99, found {goal}")
    if not seeds:
        raise InputError("a search needs at least one seed")
    if not 0 < tolerance < 1:
        raise InputError(f"the tolerance must be a share in 0 .. 1, found {tolerance}")
    first = plan.arrivals.rate if start_rate is None else start_rate
    for rate in (first, min_rate, max_rate):
        check_rate(rate)
    if not min_rate <= first <= max_rate:
        raise InputError(f"the first rate, {first:g}, must be in {min_rate:g} .. {max_rate:g}")
    search = _Search(plan, goal, min_rate, max_rate, tolerance, min_requests, run, tell)
    rates: list[float] = []
    for number, seed in enumerate(seeds):
        found = search.one(first, seed, _LATER_STEP if number else _FIRST_STEP)
        if found is None:
            break
        rates.append(found)
        first = max(min_rate, statistics.median(rates))
    return RateFound(
        goal=goal,
        tolerance=tolerance,
        rates=tuple(rates),
        seeds=tuple(seeds[: len(rates)]),
        probes=tuple(search.probes),
        limited=search.limited,
        interrupted=len(rates) < len(seeds),
    )


@dataclass
class _Search:
    plan: Plan
    goal: float
    min_rate: float
    max_rate: float
    tolerance: float
    min_requests: int
    run: Callable[[Plan], Result]
    tell: Callable[[Probe], None] | None
    probes: list[Probe] = field(default_factory=list)
    limited: bool = False

    def one(self, first: float, seed: int, step: float) -> float | None:
        """The rate for one seed; None when the search was interrupted."""
        low, high = 0.0, math.inf
        rate = first
        while high > low * (1 + self.tolerance):
            met = self.met(rate, seed)
            if met is None:
                return None
            if met:
                low = rate
                if rate >= self.max_rate:
                    self.limited = True
                    return low
            else:
                high = rate
                if rate <= self.min_rate:
                    return 0.0
            if high == math.inf:
                rate = min(low * step, self.max_rate)
            elif low == 0.0:
                rate = max(high / step, self.min_rate)
            else:
                rate = math.sqrt(low * high)
        return low

    def met(self, rate: float, seed: int) -> bool | None:
        """Probe one rate; a void run is made again, and then counts as failed."""
        duration_s = max(self.plan.duration_s, self.min_requests / rate)
        plan = replace(
            self.plan,
            arrivals=Poisson(rate=rate),
            seed=seed,
            duration_s=duration_s,
            stop_when_lost=1 - self.goal,
        )
        for _ in range(_TRIES):
            result = self.run(plan)
            met = result.meets(self.goal)
            probe = Probe(rate=rate, seed=seed, met=met, result=result)
            self.probes.append(probe)
            if self.tell is not None:
                self.tell(probe)
            if result.interrupted:
                return None
            if not result.void:
                return met
        self.limited = True
        return False
