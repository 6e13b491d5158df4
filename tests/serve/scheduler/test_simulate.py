"""Promises under load, by simulation: overload, bursts, noise, mixed deadlines and lengths.

Simulated time: nothing here depends on how fast the machine is. `LIMBECK_SOAK=1` (`make soak`)
runs a million requests where the routine run has a hundred thousand.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from limbeck.serve.scheduler import Scheduler, SchedulerConfig
from limbeck.serve.scheduler.simulate import (
    Arrival,
    Outcome,
    TrueCost,
    bursts,
    poisson,
    simulate,
    warmed_up,
)

# One worker on a CPU, where tokens cost and batches hardly do; and a device where batches cost.
CPU = TrueCost(c0=5e-4, c1=3e-5, c2=2e-8, noise=0.2)
DEVICE = TrueCost(c0=8e-3, c1=2e-6, c2=1e-9, noise=0.1)
ROUGH = TrueCost(c0=5e-4, c1=3e-5, c2=2e-8, noise=0.35, pauses=0.002, pause_s=0.1)
COSTS = {"cpu": CPU, "device": DEVICE, "rough": ROUGH}


def lengths(kind: str, rng: random.Random) -> tuple[int, ...]:
    if kind == "uniform":
        return (128,)
    rows = rng.choice((1, 1, 1, 1, 2, 5))
    return tuple(min(512, max(4, int(rng.lognormvariate(4, 1)))) for _ in range(rows))


def budget_s(kind: str, rng: random.Random) -> float:
    return 0.25 if kind == "uniform" else rng.choice((0.05, 0.1, 0.25, 1.0, 5.0))


def load(
    rate: float, number: int, mix: str, deadlines: str, arrive: str, lanes: int = 1
) -> Iterator[Arrival]:
    rng = random.Random(3)
    times = poisson(rate, number, rng) if arrive == "poisson" else bursts(rate, number, rng)
    for at in times:
        yield Arrival(
            at=at,
            lengths=lengths(mix, rng),
            budget_s=budget_s(deadlines, rng),
            lane=rng.randrange(lanes),
        )


def check_counts(out: Outcome) -> None:
    """Promise 1."""
    ends = out.in_time + out.late + out.refused + out.expired + out.cancelled
    assert out.arrivals == ends
    assert out.refused == sum(out.refusals.values())
    assert out.answered == len(out.latencies_s)


def capacity(cost: TrueCost, mix: str, workers: int) -> float:
    """Requests a second if every batch were full (50 ms), in the middle of the noise."""
    rng = random.Random(9)
    drawn = [lengths(mix, rng) for _ in range(3000)]
    own = sum(cost.c1 * sum(ls) + cost.c2 * sum(n * n for n in ls) for ls in drawn) / len(drawn)
    return workers * (1 - cost.c0 / 0.05) / own


@pytest.mark.parametrize("arrive", ["poisson", "bursts"])
@pytest.mark.parametrize("deadlines", ["uniform", "mixed"])
@pytest.mark.parametrize("mix", ["uniform", "mixed"])
@pytest.mark.parametrize(("machine", "workers"), [("cpu", 2), ("device", 1), ("rough", 3)])
def test_goodput_at_three_times_the_load_is_nine_tenths_of_its_peak(
    machine: str, workers: int, mix: str, deadlines: str, arrive: str
) -> None:
    """Promise 8; and of what was let in, hardly anything is late."""
    cost = COSTS[machine]
    most = capacity(cost, mix, workers)
    seconds = 2500 / most
    goodput, tokens = {}, {}
    for factor in (0.7, 0.9, 1.0, 1.2, 1.5, 3.0):
        number = int(most * factor * seconds)
        out = simulate(
            load(most * factor, number, mix, deadlines, arrive),
            workers=workers,
            true_cost=lambda lane: cost,
            seed=1,
        )
        check_counts(out)
        goodput[factor] = out.goodput
        tokens[factor] = out.in_time_tokens / out.seconds
        broken = (out.late + out.expired) / (out.answered + out.expired)
        assert broken < (0.05 if machine == "rough" else 0.03)
    assert goodput[3.0] >= 0.9 * max(goodput.values())
    assert tokens[3.0] >= 0.8 * max(tokens.values())  # not by serving short ones only
    assert max(goodput.values()) > 0.75 * most or arrive == "bursts"


def test_two_lanes_share_the_workers() -> None:
    out = simulate(
        load(600, 6000, "uniform", "mixed", "poisson", lanes=4),
        workers=1,
        true_cost=lambda lane: CPU,
    )
    check_counts(out)
    assert out.goodput > 0.75 * capacity(CPU, "uniform", 1)
    assert (out.late + out.expired) / out.answered < 0.03


def test_light_load_is_answered_at_once() -> None:
    out = simulate(
        load(20, 2000, "uniform", "uniform", "poisson"), workers=1, true_cost=lambda lane: CPU
    )
    check_counts(out)
    assert out.in_time == 2000
    assert out.latency_s(0.5) < 0.006


def test_a_burst_of_ten_times_the_load_is_gone_after_it() -> None:
    rng = random.Random(5)
    rate = 0.5 * capacity(CPU, "uniform", 1)

    def arrivals() -> Iterator[Arrival]:
        now = 0.0
        while now < 30.0:
            now += rng.expovariate(rate * (10 if 10.0 <= now < 12.0 else 1))
            yield Arrival(at=now, lengths=(128,), budget_s=0.25)

    refused_at: list[float] = []
    seen = 0

    def watch(scheduler: Scheduler, now: float) -> None:
        nonlocal seen
        if out_refused() > seen:
            seen = out_refused()
            refused_at.append(now)

    out = Outcome()

    def out_refused() -> int:
        return out.refused

    simulate(arrivals(), workers=1, true_cost=lambda lane: CPU, watch=watch, into=out)
    check_counts(out)
    assert out.refused > 500
    assert min(refused_at) >= 10.0
    assert max(refused_at) < 12.5


def test_impatient_clients_cost_nothing_that_had_not_begun() -> None:
    rng = random.Random(6)
    rate = 2 * capacity(CPU, "uniform", 1)
    arrivals = (
        Arrival(
            at=at,
            lengths=(128,),
            budget_s=0.25,
            patience_s=0.02 if rng.random() < 0.5 else None,
        )
        for at in poisson(rate, 4000, rng)
    )
    out = simulate(arrivals, workers=1, true_cost=lambda lane: CPU)
    check_counts(out)
    assert out.cancelled > 300
    assert out.goodput > 0.8 * capacity(CPU, "uniform", 1)


def test_slow_times_and_back() -> None:
    """A machine that is four times as slow for a while: no late answers for long, no lock-up."""
    rng = random.Random(7)
    slow = TrueCost(c0=2e-3, c1=12e-5, c2=8e-8, noise=0.2)
    clock = [0.0]

    def true_cost(lane: object) -> TrueCost:
        return slow if 20.0 < clock[0] < 40.0 else CPU

    def watch(scheduler: Scheduler, now: float) -> None:
        clock[0] = now

    rate = 0.6 * capacity(CPU, "uniform", 1)
    out = simulate(
        (Arrival(at=at, lengths=(128,), budget_s=0.25) for at in poisson(rate, 8000, rng)),
        workers=1,
        true_cost=true_cost,
        watch=watch,
    )
    check_counts(out)
    assert out.seconds > 50
    assert out.late + out.expired < 0.02 * out.arrivals
    # 20 s of a quarter of the speed, the rest as ever.
    assert out.in_time > rate * (out.seconds - 20) * 0.95 + 0.7 * 20 * capacity(slow, "uniform", 1)


def test_a_higher_class_is_served_before_a_lower_one_under_overload() -> None:
    rng = random.Random(8)
    most = capacity(CPU, "uniform", 1)
    served = {0: 0, 1: 0}
    arrived = {0: 0, 1: 0}
    kept: list[Arrival] = []
    for at in poisson(2 * most, 4000, rng):
        priority = 0 if rng.random() < 0.3 else 1
        arrived[priority] += 1
        kept.append(Arrival(at=at, lengths=(128,), budget_s=0.25, priority=priority))
    out = simulate(
        kept, workers=1, true_cost=lambda lane: CPU, answered=lambda a, s: _tally(served, a)
    )
    check_counts(out)
    assert served[0] > 0.97 * arrived[0]
    assert sum(served.values()) / out.seconds > 0.8 * most


def _tally(served: dict[int, int], arrival: Arrival) -> None:
    served[arrival.priority] += 1


def test_many_requests_leave_nothing_behind() -> None:
    """Memory is bounded by what is held: after 100,000 requests (or a million) all is empty."""
    number = 1_000_000 if os.environ.get("LIMBECK_SOAK") == "1" else 100_000
    schedulers: list[Scheduler] = []

    def watch(scheduler: Scheduler, now: float) -> None:
        if not schedulers:
            schedulers.append(scheduler)

    config = SchedulerConfig(queue_tokens=50_000)
    rng = random.Random(10)
    most = capacity(CPU, "uniform", 2)
    arrivals = (
        Arrival(
            at=at,
            lengths=lengths("mixed", rng),
            budget_s=budget_s("mixed", rng),
            priority=rng.choice((0, 0, 0, 1, 2)),
            lane=rng.randrange(2),
            patience_s=0.1 if rng.random() < 0.05 else None,
        )
        for at in poisson(1.5 * most, number, rng)
    )
    out = simulate(arrivals, workers=2, true_cost=lambda lane: CPU, config=config, watch=watch)
    check_counts(out)
    assert out.arrivals == number
    assert out.most_queued_tokens <= 50_000
    (scheduler,) = schedulers
    assert scheduler.empty
    assert scheduler.queued_tokens == 0
    assert scheduler.backlog_s == 0.0
    for name in ("_entries", "_batches", "_tenants", "_lanes", "_weights"):
        assert not getattr(scheduler, name), name
    assert len(scheduler._ageing) < 1000


def test_arrivals_must_come_in_order() -> None:
    arrivals = [
        Arrival(at=1.0, lengths=(1,), budget_s=1.0),
        Arrival(at=0.5, lengths=(1,), budget_s=1.0),
    ]
    with pytest.raises(ValueError, match="arrival 1 is before"):
        simulate(arrivals, workers=1, true_cost=lambda lane: CPU)


def test_no_arrivals() -> None:
    out = simulate([], workers=1, true_cost=lambda lane: CPU)
    assert (out.arrivals, out.goodput, out.seconds) == (0, 0.0, 0.0)
    assert out.latency_s(0.5) != out.latency_s(0.5)  # NaN


def test_warm_up_gives_a_model_that_predicts() -> None:
    model = warmed_up(CPU, random.Random(1))
    assert model.predict(1024, 8 * 128**2) > CPU.c0 + CPU.c1 * 1024 + CPU.c2 * 8 * 128**2
