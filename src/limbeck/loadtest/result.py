"""What came out of a run: counts that add up, percentiles of every sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from limbeck.loadtest.outcomes import Outcome, Samples
from limbeck.loadtest.plan import LATENESS_LIMIT_MS, Plan

PERCENTS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """sent = in_time + late + refused + timed_out + errors + unfinished, always.

    unfinished: in flight when a run was cut off; 0 in every other run.
    """

    sent: int
    in_time: int
    late: int
    refused: int
    timed_out: int
    errors: int
    unfinished: int

    @property
    def share_in_time(self) -> float:
        """Of what was sent and not cut off; NaN where nothing was."""
        judged = self.sent - self.unfinished
        return self.in_time / judged if judged else float("nan")


def _count(outcome: npt.NDArray[np.uint8]) -> Counts:
    found = np.bincount(outcome, minlength=len(Outcome)).tolist()
    return Counts(
        sent=sum(found) - found[Outcome.UNSENT],
        in_time=found[Outcome.IN_TIME],
        late=found[Outcome.LATE],
        refused=found[Outcome.REFUSED],
        timed_out=found[Outcome.TIMED_OUT],
        errors=found[Outcome.ERROR],
        unfinished=found[Outcome.UNFINISHED],
    )


@dataclass(frozen=True)
class Result:
    """A run and its samples, those of the warm-up left out.

    planned: requests that the counted part was to have. interrupted: by the caller; stopped:
    because `stop_when_lost` was passed. loop: the event loop that was used.
    """

    plan: Plan
    samples: Samples = field(repr=False)
    planned: int
    interrupted: bool = False
    stopped: bool = False
    loop: str = "asyncio"

    @cached_property
    def counts(self) -> Counts:
        return _count(self.samples.outcome)

    @cached_property
    def by_group(self) -> Mapping[str, Counts]:
        """Counts for each group of requests, where there are several."""
        groups = [request.group for request in self.plan.target.requests]
        names = sorted(set(groups))
        if len(names) < 2:
            return {}
        places = np.array([names.index(group) for group in groups], np.int32)
        of_sample = places[self.samples.which]
        outcome = self.samples.outcome
        return {name: _count(outcome[of_sample == n]) for n, name in enumerate(names)}

    @cached_property
    def by_kind(self) -> Mapping[str, int]:
        """How many of what is neither in time nor late, by what it was: status 500, ..."""
        found = np.bincount(self.samples.kind, minlength=len(self.samples.kinds)).tolist()
        usual = {"not sent", "in time", "late"}
        named = zip(self.samples.kinds, found, strict=True)
        return {name: count for name, count in named if count and name not in usual}

    @cached_property
    def answered_ms(self) -> npt.NDArray[np.float32]:
        """Latencies of valid answers, in time or late, ascending; from the schedule."""
        outcome = self.samples.outcome
        valid = (outcome == Outcome.IN_TIME) | (outcome == Outcome.LATE)
        return np.sort(self.samples.latency_ms[valid])

    @cached_property
    def refused_ms(self) -> npt.NDArray[np.float32]:
        """How long a refusal took, ascending."""
        return np.sort(self.samples.latency_ms[self.samples.outcome == Outcome.REFUSED])

    @cached_property
    def lateness_ms(self) -> npt.NDArray[np.float32]:
        """The generator's own, of everything sent, ascending."""
        sent = self.samples.outcome != Outcome.UNSENT
        return np.sort(self.samples.lateness_ms[sent])

    def latency_ms(self, percent: float) -> float:
        """A percentile of valid answers; NaN without any."""
        return percentile(self.answered_ms, percent)

    @property
    def elapsed_s(self) -> float:
        """Seconds of schedule that the counts are of."""
        if not (self.interrupted or self.stopped):
            return self.plan.duration_s
        sent = self.samples.scheduled_s[self.samples.outcome != Outcome.UNSENT]
        return max(float(sent[-1]) - self.plan.warmup_s, 1e-3) if sent.size else 0.0

    @property
    def rate(self) -> float:
        """Requests sent a second."""
        return self.counts.sent / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def goodput(self) -> float:
        """Answers in time a second."""
        return self.counts.in_time / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def rows_in_time(self) -> int:
        """Texts answered in time."""
        rows = np.array([request.rows for request in self.plan.target.requests], np.int64)
        good = self.samples.outcome == Outcome.IN_TIME
        return int(rows[self.samples.which[good]].sum())

    @cached_property
    def void(self) -> Sequence[str]:
        """Why the run says nothing about the server; empty for a run that counts."""
        reasons = []
        late = percentile(self.lateness_ms, 99)
        if late > LATENESS_LIMIT_MS:
            reasons.append(
                f"the generator was {late:.1f} ms late at p99, more than {LATENESS_LIMIT_MS:g} ms: "
                "give it more processes, a quieter machine or a lower rate"
            )
        if self.by_kind.get("no connection left in the generator"):
            reasons.append(
                f"the generator ran out of connections ({self.plan.max_connections}): raise "
                "max_connections and ulimit -n, or lower the rate"
            )
        if self.counts.sent == 0:
            reasons.append("nothing was sent: the run is too short for its rate")
        return tuple(reasons)

    def meets(self, goal: float) -> bool:
        """Were at least `goal` (a share) of the requests answered in time? Never of a void run,
        nor of one that did not come to its end."""
        whole = not (self.interrupted or self.stopped)
        return whole and not self.void and self.counts.share_in_time >= goal

    @cached_property
    def phases(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """What the server said of its own time (Server-Timing), ascending, in ms."""
        return {
            name: np.sort(values[np.isfinite(values)])
            for name, values in self.samples.phases.items()
        }


def percentile(ascending: npt.NDArray[np.float32], percent: float) -> float:
    """The smallest value that so many percent do not exceed: one that was measured.

    NaN without values.
    """
    if ascending.size == 0:
        return float("nan")
    place = int(np.ceil(percent / 100 * ascending.size - 1e-9)) - 1
    return float(ascending[min(max(place, 0), ascending.size - 1)])
