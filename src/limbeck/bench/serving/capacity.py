"""The largest rate in time: of each configuration, coarsely, to choose one; then of the chosen one.

A probe is one run at one rate. Bisection is `loadtest.find_rate`'s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limbeck import loadtest
from limbeck.bench.serving.asking import Asker
from limbeck.bench.serving.contestants import Config

GOAL = 0.99
# A configuration must be this much better than the best one before it, or it is dropped unseen:
# most of them cost one probe.
BETTER = 1.1
# Where nothing is known yet.
FIRST_RATE = 20.0
# What stands less stands nothing.
MIN_RATE = 4.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long is measured. `search_s`, `probe_s`: of one probe at least; it lasts until so many
    requests were sent. `curve_s`: of one point of the curve."""

    search_s: float = 2.0
    search_requests: int = 100
    search_tolerance: float = 0.25
    probe_s: float = 4.0
    requests: int = 150
    tolerance: float = 0.05
    warmup_s: float = 1.0
    curve_s: float = 4.0
    starts: int = 5
    seeds: tuple[int, ...] = (0, 1, 2)


QUICK = Effort(
    search_s=1.0,
    search_requests=50,
    search_tolerance=0.5,
    probe_s=1.5,
    requests=100,
    tolerance=0.15,
    warmup_s=0.3,
    curve_s=2.0,
    starts=2,
    seeds=(0,),
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The best configuration of a search, and its rate there: coarse. 0: none stands MIN_RATE."""

    config: Config
    rate: float


def compare(
    asker: Asker,
    config: Config,
    texts: Sequence[str],
    best: Mapping[float, Choice],
    deadlines: Sequence[float],
    effort: Effort,
    say: Say,
) -> dict[float, Choice]:
    """Deadline -> `config` or the one that was best before it, whichever stands more."""
    found = dict(best)
    for deadline_ms in deadlines:
        known = found.get(deadline_ms)
        lowest = max(known.rate * BETTER, MIN_RATE) if known else MIN_RATE
        first = max(lowest, FIRST_RATE) if known is None or known.rate == 0 else lowest
        plan = asker.plan(
            texts,
            rate=first,
            deadline_ms=deadline_ms,
            duration_s=effort.search_s,
            warmup_s=effort.warmup_s,
        )
        rate = loadtest.find_rate(
            plan,
            goal=GOAL,
            seeds=(0,),
            min_rate=lowest,
            tolerance=effort.search_tolerance,
            min_requests=effort.search_requests,
            run=asker.run,
        ).rate
        if known is None or rate >= lowest:
            found[deadline_ms] = Choice(config=config, rate=rate)
        say(
            f"    {config}: {deadline_ms:g} ms, "
            + (f"{rate:.0f}/s" if rate else f"not {lowest:.0f}/s")
        )
    return found


def measure_rate(
    asker: Asker,
    texts: Sequence[str],
    deadline_ms: float,
    *,
    start_rate: float,
    effort: Effort,
    say: Say,
) -> loadtest.RateFound:
    """The figure, one a seed."""
    plan = asker.plan(
        texts,
        rate=max(start_rate, MIN_RATE),
        deadline_ms=deadline_ms,
        duration_s=effort.probe_s,
        warmup_s=effort.warmup_s,
    )

    def tell(probe: loadtest.capacity.Probe) -> None:
        share = probe.result.counts.share_in_time
        why = f", void: {probe.result.void[0]}" if probe.result.void else ""
        say(f"    seed {probe.seed}, {probe.rate:.1f}/s: {share:.1%} in time{why}")

    return loadtest.find_rate(
        plan,
        goal=GOAL,
        seeds=effort.seeds,
        min_rate=MIN_RATE,
        tolerance=effort.tolerance,
        min_requests=effort.requests,
        run=asker.run,
        tell=tell,
    )


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """`factor` times the largest rate in time was offered, once a seed."""

    factor: float
    offered: float
    results: Sequence[loadtest.Result]

    @property
    def goodputs(self) -> list[float]:
        """Answers in time a second, one a seed."""
        return [result.goodput for result in self.results]

    @property
    def answered_ms(self) -> npt.NDArray[np.float32]:
        """Latencies of valid answers of all runs, ascending."""
        return np.sort(np.concatenate([result.answered_ms for result in self.results]))

    @property
    def refused_ms(self) -> npt.NDArray[np.float32]:
        """How long refusals of all runs took, ascending."""
        return np.sort(np.concatenate([result.refused_ms for result in self.results]))


FACTORS = (0.5, 1.0, 1.5, 2.0, 3.0)


def curve(
    asker: Asker, texts: Sequence[str], deadline_ms: float, *, rate: float, effort: Effort
) -> list[CurvePoint]:
    """Answers in time against what is offered, from half of the largest rate in time to 3 times.

    All of them once a seed, in turns: a machine that becomes slower does so for all.
    """
    plan = asker.plan(
        texts,
        rate=rate,
        deadline_ms=deadline_ms,
        duration_s=effort.curve_s,
        warmup_s=effort.warmup_s,
    )
    found: dict[float, list[loadtest.Result]] = {factor: [] for factor in FACTORS}
    for seed in effort.seeds:
        for factor, results in found.items():
            arrivals = loadtest.Poisson(rate=rate * factor)
            results.append(asker.run(dataclasses.replace(plan, arrivals=arrivals, seed=seed)))
    return [
        CurvePoint(factor=factor, offered=rate * factor, results=results)
        for factor, results in found.items()
    ]
