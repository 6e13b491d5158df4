"""Servers that are a formula: a plan's own schedule through a queue, without a clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from limbeck.loadtest import Outcome, Plan, Result, Samples, draw
from limbeck.loadtest.outcomes import IN_TIME, KINDS, LATE


def queue(service_s: float, deadline_s: float) -> Callable[[Plan], Result]:
    """One server, first come first served, always `service_s` a request: M/D/1 (Lindley)."""

    def run(plan: Plan) -> Result:
        scheduled = draw(plan).scheduled_s
        free, latency = 0.0, np.empty(scheduled.size)
        for n, at in enumerate(scheduled):
            free = max(free, at) + service_s
            latency[n] = free - at
        return result(plan, latency * 1e3, deadline_s * 1e3)

    return run


def result(
    plan: Plan,
    latency_ms: np.ndarray,
    deadline_ms: float,
    *,
    lateness_ms: float = 0.1,
    phases: dict[str, np.ndarray] | None = None,
    metrics: tuple[tuple[float, bytes], ...] = (),
) -> Result:
    """A result with these latencies, its schedule as the plan draws it, warm-up left out."""
    schedule = draw(plan)
    counted = schedule.scheduled_s >= plan.warmup_s
    kind = np.where(latency_ms <= deadline_ms, IN_TIME, LATE).astype(np.uint8)
    samples = Samples(
        scheduled_s=schedule.scheduled_s[counted],
        latency_ms=latency_ms[counted].astype(np.float32),
        lateness_ms=np.full(int(counted.sum()), lateness_ms, np.float32),
        kind=kind[counted],
        which=schedule.which[counted],
        kinds=tuple(name for name, _ in KINDS),
        phases={
            name: values[counted].astype(np.float32) for name, values in (phases or {}).items()
        },
        metrics=metrics,
    )
    return Result(plan=plan, samples=samples, planned=int(counted.sum()))


def with_kinds(made: Result, kinds: dict[int, int]) -> Result:
    """The same with other kinds at these places."""
    kind = made.samples.kind.copy()
    for place, value in kinds.items():
        kind[place] = value
    assert Outcome.UNSENT not in kinds.values()
    return replace(made, samples=replace(made.samples, kind=kind))
