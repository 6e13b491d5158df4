"""The search for the largest rate, on servers whose largest rate is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("httptools")

import limbeck.loadtest
import simulated_load as simulated
from limbeck.errors import InputError, MeasureError
from limbeck.loadtest import Plan, Poisson, Request, Result, Target, find_rate

PLAN = Plan(
    target=Target(url="http://x", requests=[Request(deadline_ms=100)]),
    arrivals=Poisson(rate=10),
    duration_s=5.0,
)


def steep(capacity: float, *, void_above: float = math.inf):
    """In time up to a rate, not beyond; and a generator that cannot send faster than another."""

    def run(plan: Plan) -> Result:
        rate = plan.arrivals.rate
        count = limbeck.loadtest.draw(plan).scheduled_s.size
        latency_ms = np.full(count, 1.0 if rate <= capacity else 1000.0)
        late_ms = 50.0 if rate > void_above else 0.1
        return simulated.result(plan, latency_ms, 100.0, lateness_ms=late_ms)

    return run


@pytest.mark.parametrize("capacity", [0.9, 7.3, 137.0, 4321.0])
@pytest.mark.parametrize("tolerance", [0.2, 0.02])
def test_bisection_finds_a_known_capacity(capacity: float, tolerance: float) -> None:
    plan = replace(PLAN, duration_s=0.05)
    found = find_rate(
        plan, run=steep(capacity), tolerance=tolerance, seeds=(0, 1, 2), min_requests=20
    )
    assert len(found.rates) == 3
    for rate in found.rates:
        assert rate <= capacity < rate * (1 + tolerance) * (1 + 1e-9)
    assert found.low <= found.rate <= found.high
    assert not found.limited
    assert found.knee is not None
    assert found.knee.plan.arrivals.rate == max(found.rates)
    # Doubling or halving to the bracket, then bisection: no more probes than that takes.
    first = [probe for probe in found.probes if probe.seed == 0]
    steps = abs(math.log2(capacity / 10)) + math.log2(math.log(2) / math.log(1 + tolerance)) + 4
    assert len(first) <= steps
    later = [probe for probe in found.probes if probe.seed == 1]
    assert len(later) < len(first) or len(first) <= 6


def test_the_largest_rate_of_an_m_d_1_queue() -> None:
    """10 ms of service, 50 ms allowed. Wanted: P(wait <= 40 ms) = 99 %.

    With Crommelin's formula for the M/D/1 wait, P(W <= t) = (1 - r) sum_k e^-x x^k / k! with
    x = -r (t/D - k) ... over k <= t/D, the load r for t = 4 D and 99 % is found here, apart
    from the search.
    """

    def met_share(load: float, services: float) -> float:
        total = 0.0
        for k in range(int(services) + 1):
            x = load * (k - services)
            total += math.exp(-x) * x**k / math.factorial(k)
        return (1 - load) * total

    low, high = 0.1, 0.99
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if met_share(middle, 4.0) >= 0.99 else (low, middle)
    expected = low / 0.010
    plan = replace(PLAN, duration_s=300.0)
    found = find_rate(
        plan, run=simulated.queue(0.010, 0.050), seeds=(0, 1, 2), tolerance=0.01, start_rate=20
    )
    assert found.rate == pytest.approx(expected, rel=0.05)
    assert found.spread < 0.15


def test_a_void_run_is_made_again_and_never_a_success() -> None:
    calls = []

    def run(plan: Plan) -> Result:
        calls.append(plan.arrivals.rate)
        late = 9.0 if len(calls) in (1, 2) else 0.1  # a noisy moment of the machine
        made = steep(50)(plan)
        lateness = np.full_like(made.samples.lateness_ms, late)
        return replace(made, samples=replace(made.samples, lateness_ms=lateness))

    found = find_rate(PLAN, run=run, seeds=(0,), tolerance=0.1)
    assert calls[:3] == [10, 10, 10]
    assert [probe.met for probe in found.probes[:3]] == [False, False, True]
    assert found.rate == pytest.approx(50, rel=0.1)
    assert not found.limited


def test_where_the_generator_is_the_limit_the_figure_says_so() -> None:
    found = find_rate(PLAN, run=steep(1e9, void_above=300), seeds=(0,), tolerance=0.1)
    assert found.limited
    assert 300 / 1.1 <= found.rate <= 300
    assert all(not probe.met for probe in found.probes if probe.result.void)


def test_a_generator_that_is_late_at_every_rate_ends_the_search() -> None:
    with pytest.raises(MeasureError, match=r"late at p99.*--nice"):
        find_rate(PLAN, run=steep(1e9, void_above=0.0), seeds=(0,))


def test_the_highest_rate_that_is_allowed_ends_a_search() -> None:
    found = find_rate(PLAN, run=steep(1e9), seeds=(0, 1), max_rate=100)
    assert found.rates == (100, 100)
    assert found.limited


def test_a_server_that_can_do_nothing() -> None:
    found = find_rate(PLAN, run=steep(0.0), seeds=(0,), min_rate=1)
    assert found.rate == 0
    assert found.knee is None
    assert not found.limited


def test_slow_probes_last_until_they_have_counted_enough() -> None:
    seen = []

    def run(plan: Plan) -> Result:
        seen.append(plan)
        return steep(3.0)(plan)

    find_rate(PLAN, run=run, seeds=(0,), min_requests=300)
    assert all(plan.duration_s * plan.arrivals.rate >= 300 - 1e-6 for plan in seen)
    assert all(plan.duration_s >= PLAN.duration_s for plan in seen)
    assert all(plan.stop_when_lost == pytest.approx(0.01) for plan in seen)


def test_an_interrupted_search_keeps_what_it_has() -> None:
    def run(plan: Plan) -> Result:
        made = steep(50)(plan)
        return replace(made, interrupted=plan.seed == 1)

    found = find_rate(PLAN, run=run, seeds=(0, 1, 2))
    assert found.interrupted
    assert found.seeds == (0,)
    assert found.rate == pytest.approx(50, rel=0.05)


def test_searches_that_make_no_sense() -> None:
    for options, message in (
        ({"goal": 99}, "such as 0.99"),
        ({"goal": 0.0}, "such as 0.99"),
        ({"seeds": ()}, "at least one seed"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"start_rate": -1}, "positive number"),
        ({"start_rate": 1e6}, "first rate"),
    ):
        with pytest.raises(InputError, match=message):
            find_rate(PLAN, run=steep(1), **options)
