"""The curve of a server: every load once a seed, in turns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from limbeck import loadtest
from limbeck.bench.serving import capacity
from limbeck.bench.serving.asking import Asker


def test_loads_take_turns() -> None:
    runs: list[tuple[float, int]] = []

    def plan(texts: list[str], *, rate: float, deadline_ms: float, **times: float) -> loadtest.Plan:
        target = loadtest.Target(url="http://127.0.0.1:1", requests=[loadtest.Request()])
        return loadtest.Plan(target=target, arrivals=loadtest.Poisson(rate=rate), **times)

    def run(one: loadtest.Plan) -> tuple[float, int]:
        assert isinstance(one.arrivals, loadtest.Poisson)
        runs.append((one.arrivals.rate, one.seed))
        return runs[-1]

    asker = cast(Asker, SimpleNamespace(plan=plan, run=run))
    effort = capacity.Effort(seeds=(4, 7))
    points = capacity.curve(asker, ["a"], 250.0, rate=10.0, effort=effort)

    offered = [5.0, 10.0, 15.0, 20.0, 30.0]
    assert runs == [(rate, seed) for seed in (4, 7) for rate in offered]
    assert [point.offered for point in points] == offered
    assert [point.factor for point in points] == list(capacity.FACTORS)
    assert [point.results for point in points] == [[(rate, 4), (rate, 7)] for rate in offered]
