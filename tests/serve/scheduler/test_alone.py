"""Batches with the threads of all workers: when, for what, and what is known of them."""

from __future__ import annotations

import random

import pytest

from limbeck.serve.scheduler import Batch, CostModel, Job, Scheduler, SchedulerConfig
from limbeck.serve.scheduler.simulate import Arrival, TrueCost, poisson, simulate

# A row of 100 tokens takes 2 ms with the threads of one worker, and 1 ms with those of both.
ONE = (1e-3, 1e-5, 0.0)
ALL = (5e-4, 5e-6, 0.0)


def scheduler(workers: int = 2, **config: object) -> Scheduler:
    cost, alone = CostModel(ONE, factor=1.0), CostModel(ALL, factor=1.0)
    return Scheduler(SchedulerConfig(**config), workers, lambda lane: cost, lambda lane: alone)


def job(number: int, deadline: float = 1.0, *lengths: int, lane: str = "a") -> Job:
    return Job(number=number, lane=lane, lengths=lengths or (100,), deadline=deadline)


def start(s: Scheduler, now: float = 0.0) -> Batch:
    batch, expired, _ = s.take(now)
    assert not expired
    assert batch is not None
    return batch


def test_what_comes_alone_has_all_threads_and_what_comes_meanwhile_waits_for_them() -> None:
    s = scheduler()
    assert s.submit(0.0, job(0)) is None
    first = start(s)
    assert first.alone
    assert first.predicted_s == pytest.approx(1e-3)
    assert s.submit(0.0, job(1)) is None
    assert s.submit(0.0, job(2)) is None
    assert s.take(0.0)[0] is None
    assert s.wait_s(0.0) == pytest.approx(1e-3 + s.backlog_s / 2)
    s.finished(1e-3, first)
    batches = start(s, 1e-3), start(s, 1e-3)
    assert not any(batch.alone for batch in batches)


def test_while_another_runs_nothing_is_alone() -> None:
    s = scheduler()
    for number in (0, 1):
        assert s.submit(0.0, job(number)) is None
    first, second = start(s), start(s)
    s.finished(2e-3, first)
    assert s.submit(2e-3, job(2)) is None
    third = start(s, 2e-3)
    assert not third.alone
    for batch in (second, third):
        s.finished(4e-3, batch)
    assert s.submit(4e-3, job(3)) is None
    assert start(s, 4e-3).alone


def test_many_rows_of_one_job_are_shared_out() -> None:
    s = scheduler()
    assert s.submit(0.0, job(0, 1.0, *[100] * 20)) is None
    first, second = start(s), start(s)
    assert not first.alone
    assert not second.alone
    assert first.rows + second.rows == 20


@pytest.mark.parametrize("workers", [1, 2])
def test_without_a_cost_or_with_one_worker_nothing_is_alone(workers: int) -> None:
    cost = CostModel(ONE)
    one = Scheduler(SchedulerConfig(), workers, lambda lane: cost)
    for s in (one, scheduler(1)):
        assert s.submit(0.0, job(0)) is None
        assert not start(s).alone


def test_each_kind_of_batch_teaches_its_own_cost() -> None:
    cost, alone = CostModel(ONE), CostModel(ALL)
    s = Scheduler(SchedulerConfig(), 2, lambda lane: cost, lambda lane: alone)
    assert s.submit(0.0, job(0)) is None
    s.finished(1e-3, start(s))
    assert (cost.batches, alone.batches) == (0, 1)
    for number in (1, 2):
        assert s.submit(0.0, job(number)) is None
    s.finished(2e-3, start(s))
    assert (cost.batches, alone.batches) == (1, 1)


def test_a_worker_that_finds_a_late_batch_alone_sleeps_on() -> None:
    """What it is told to wait for lies ahead, or it would ask without end."""
    s = scheduler()
    assert s.submit(0.0, job(0, 0.005)) is None
    assert start(s).alone
    assert s.take(0.01) == (None, [], None)
    assert s.submit(0.01, job(1, 0.5)) is None
    assert s.take(0.01) == (None, [], 0.5)


def test_where_many_meet_others_nobody_is_alone_until_they_have_gone() -> None:
    s = scheduler()
    number, now = 0, 0.0
    running: list[Batch] = []
    for _ in range(40):  # two clients that ask again as soon as they are answered
        while len(running) < 2 and s.submit(now, job(number, now + 1.0)) is None:
            number += 1
            batch, _, _ = s.take(now)
            if batch is None:
                break
            running.append(batch)
        now += 2e-3
        s.finished(now, running.pop(0))
    assert not any(batch.alone for batch in running)
    while running or s.queued_jobs:
        now += 2e-3
        if running:
            s.finished(now, running.pop(0))
        batch, _, _ = s.take(now)
        if batch is not None:
            running.append(batch)
    kinds = []
    for _ in range(40):  # one client
        assert s.submit(now, job(number, now + 1.0)) is None
        number += 1
        batch = start(s, now)
        kinds.append(batch.alone)
        now += 1e-3
        s.finished(now, batch)
    assert not kinds[0]
    assert kinds[-1]
    assert kinds == sorted(kinds)  # without going back and forth


def test_those_who_are_refused_count_as_well() -> None:
    s = scheduler()
    assert s.submit(0.0, job(0, 1.0)) is None
    batch = start(s)
    for number in range(1, 30):
        assert s.foresee(0.0, job(number, 1e-4)) is not None
    s.finished(1e-3, batch)
    assert s.submit(1e-3, job(99, 1.0)) is None
    assert not start(s, 1e-3).alone


def test_slower_together_is_left_alone_and_tried_again() -> None:
    cost, alone = CostModel(ONE, factor=1.0), CostModel(ALL, factor=1.0)
    s = Scheduler(SchedulerConfig(probe_s=1.0), 2, lambda lane: cost, lambda lane: alone)
    now, kinds = 0.0, []
    for number in range(300):
        assert s.submit(now, job(number, now + 1.0)) is None
        batch = start(s, now)
        kinds.append(batch.alone)
        now += 8e-3 if batch.alone else 2e-3  # another program has one of the processors
        s.finished(now, batch)
        now += 8e-3
    assert kinds[0]
    tries = kinds[100:].count(True)
    assert 1 <= tries <= 4  # of two seconds and some, once in each
    for number in range(300, 900):  # it has gone
        assert s.submit(now, job(number, now + 1.0)) is None
        batch = start(s, now)
        kinds.append(batch.alone)
        now += 1e-3 if batch.alone else 2e-3
        s.finished(now, batch)
        now += 0.1
    assert kinds[-1]


CPU = TrueCost(c0=5e-4, c1=3e-5, c2=2e-8, noise=0.2)
# Two threads that wait for one another at the end of each layer.
BOTH = TrueCost(c0=5e-4, c1=3e-5 / 1.7, c2=2e-8 / 1.7, noise=0.2)


def test_light_load_is_answered_sooner_and_heavy_load_no_worse() -> None:
    def at(rate: float, *, alone: bool) -> tuple[float, float]:
        arrivals = (
            Arrival(at=now, lengths=(128,), budget_s=0.25)
            for now in poisson(rate, 8000, random.Random(3))
        )
        out = simulate(
            arrivals,
            workers=2,
            true_cost=lambda lane: CPU,
            alone=(lambda lane: BOTH) if alone else None,
            seed=1,
        )
        assert (out.late + out.expired) / out.answered < 0.03
        return out.latency_s(0.5), out.goodput

    (shared, _), (sooner, _) = (at(20, alone=alone) for alone in (False, True))
    assert sooner < 0.7 * shared
    for rate in (400, 1500):
        (_, goodput), (_, found) = (at(rate, alone=alone) for alone in (False, True))
        assert found > 0.98 * goodput
