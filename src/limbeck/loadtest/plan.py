"""What a run shall do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from limbeck.errors import InputError
from limbeck.loadtest.arrivals import Arrivals
from limbeck.loadtest.target import Target

# Later than this at the 99th percentile, a generator measures itself and not the server.
LATENESS_LIMIT_MS = 5.0
_MOST_REQUESTS = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run: `warmup_s` that are not counted, then `duration_s` that are.

    seed: of arrivals and of the order of requests. in_order: requests are sent in the target's
    order, over and over (a replay); else they are drawn. timeout_s: the client's patience, from
    the schedule; None: four times the longest deadline and at least 1 s, or 30 s without one.
    check_every: of answers with status 200 one in so many is looked at, where a request has a
    check. stop_when_lost: end as soon as a larger share than this of all planned requests got no
    answer in time. watch: path of the server's metrics, fetched once a second.

    Raises:
        InputError: figures out of range.
    """

    target: Target
    arrivals: Arrivals
    duration_s: float
    warmup_s: float = 0.0
    seed: int = 0
    in_order: bool = False
    timeout_s: float | None = None
    processes: int = 1
    max_connections: int = 10_000
    check_every: int = 16
    stop_when_lost: float | None = None
    watch: str | None = None

    def __post_init__(self) -> None:
        for name, value, lowest in (
            ("duration", self.duration_s, 0.01),
            ("warm-up", self.warmup_s, 0.0),
            ("timeout", 1.0 if self.timeout_s is None else self.timeout_s, 0.001),
        ):
            if not (math.isfinite(value) and value >= lowest):
                raise InputError(f"the {name} must be at least {lowest} s, found {value}")
        if self.processes < 1 or self.max_connections < self.processes or self.check_every < 1:
            raise InputError("processes, connections and check_every must be positive")
        if self.seed < 0:
            raise InputError(f"a seed must not be negative, found {self.seed}")
        if self.arrivals.rate * self.span_s > _MOST_REQUESTS:
            raise InputError(
                f"{self.arrivals.rate:g} requests a second for {self.span_s:g} s are more than "
                f"{_MOST_REQUESTS:,}; make the run shorter"
            )

    @property
    def span_s(self) -> float:
        return self.warmup_s + self.duration_s

    @property
    def patience_s(self) -> float:
        """How long the client waits for an answer."""
        if self.timeout_s is not None:
            return self.timeout_s
        deadlines = [request.deadline_ms for request in self.target.requests]
        if any(each is None for each in deadlines):
            return 30.0
        return max(1.0, 4e-3 * max(each for each in deadlines if each is not None))
