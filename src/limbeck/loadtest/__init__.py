"""Load for a server, and what it stood: an open-loop generator.

In: a `Plan` (a target's prepared requests, arrivals, a duration). Out: a `Result` (counts that
add up, exact percentiles from the scheduled times, the generator's own lateness).

    plan = Plan(
        target=Target(url="http://127.0.0.1:8080", requests=[
            Request(path="/classify", body=b'{"text": "a flat"}', deadline_ms=250, check=valid),
        ]),
        arrivals=Poisson(rate=100), duration_s=10, warmup_s=2,
    )
    result = run(plan)              # result.counts, result.latency_ms(99), result.void
    found = find_rate(plan, goal=0.99, seeds=(0, 1, 2))        # found.rate, found.rates

A request is any method, path, headers and body, so that every server can be driven; `check` says
whether a body with status 200 is an answer. Arrival times are drawn from the seed before the run;
each request is sent at its time whether or not the server is slow, and its latency counts from
then. A run whose generator was itself late (p99 above 5 ms) is void and never a success.

Neighbours: `limbeck.data` for texts, `limbeck.report` for the page. Nothing here knows our own
server.
"""

from __future__ import annotations

from limbeck.loadtest.arrivals import Arrivals, Burst, Even, Poisson, Replay
from limbeck.loadtest.capacity import RateFound, find_rate
from limbeck.loadtest.generator import Progress
from limbeck.loadtest.outcomes import Outcome, Samples
from limbeck.loadtest.plan import LATENESS_LIMIT_MS, Plan
from limbeck.loadtest.result import Counts, Result, percentile
from limbeck.loadtest.run import draw, run
from limbeck.loadtest.target import UNIQUE, Check, Request, Target

__all__ = [
    "LATENESS_LIMIT_MS",
    "UNIQUE",
    "Arrivals",
    "Burst",
    "Check",
    "Counts",
    "Even",
    "Outcome",
    "Plan",
    "Poisson",
    "Progress",
    "RateFound",
    "Replay",
    "Request",
    "Result",
    "Samples",
    "Target",
    "draw",
    "find_rate",
    "percentile",
    "run",
]
