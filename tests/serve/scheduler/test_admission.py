"""The door: the fast sums against the written-out formula, and each reason for a refusal."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admission_reference import Waiting, pour, verdict
from limbeck.serve.scheduler import CostModel, Job, Scheduler, SchedulerConfig
from limbeck.serve.scheduler.admission import level_s, service_s, weigh, work_of
from limbeck.serve.scheduler.order import DeadlineOrder, Entry

COST = CostModel((2e-3, 5e-5, 1e-8), factor=1.0)


def scheduler(workers: int = 1, **config: object) -> Scheduler:
    return Scheduler(SchedulerConfig(**config), workers, lambda lane: COST)


def job(number: int, deadline: float, *lengths: int, **more: object) -> Job:
    return Job(number=number, lane="a", lengths=lengths or (100,), deadline=deadline, **more)


@given(
    st.lists(st.floats(0, 5), min_size=1, max_size=6).map(sorted),
    st.floats(0, 20),
)
def test_level_is_where_the_poured_work_stands(free: list[float], work: float) -> None:
    assert level_s(free, work) == pytest.approx(pour(free, work), abs=1e-9)


def waiting_of(s: Scheduler) -> list[Waiting]:
    return [
        Waiting(
            place=entry.place,
            key=entry.key,
            work_s=entry.work_s,
            service_s=entry.service_s,
            mates_s=entry.mates_s,
        )
        for order in s._orders
        for entry in order
    ]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**9), st.integers(1, 4), st.booleans())
def test_fast_admission_is_the_written_out_one(seed: int, workers: int, lanes: bool) -> None:
    rng = random.Random(seed)
    config = SchedulerConfig(queue_tokens=10**9, classes=3, reserved=0.0)
    cost = CostModel((rng.choice((1e-4, 5e-3)), 5e-5, 1e-8), factor=1.0)
    s = Scheduler(config, workers, lambda lane: cost)
    now, running, verdicts = 0.0, [], set()
    for number in range(400):
        now += rng.expovariate(300)
        if rng.random() < 0.1:
            batch, _, _ = s.take(now)
            if batch is not None:
                running.append(batch)
            elif running:
                s.failed(now, running.pop(rng.randrange(len(running))))
        new = Job(
            number=number,
            lane=rng.randrange(3) if lanes else 0,
            lengths=tuple(rng.randint(1, 300) for _ in range(rng.choice((1, 1, 1, 3, 40)))),
            deadline=now + rng.choice((0.05, 0.2, 1.0, 3.0)) * (0.5 + rng.random()),
            priority=rng.choice((0, 0, 1, 2)),
        )
        entry = Entry(new, new.priority, cost, now)
        weigh(entry, config, workers)
        waiting = waiting_of(s)
        others = {e.job.lane for o in s._orders for e in o} - {new.lane}
        expected = verdict(
            now,
            Waiting(
                place=entry.place,
                key=entry.key,
                work_s=entry.work_s,
                service_s=entry.service_s,
                mates_s=entry.mates_s,
            ),
            waiting,
            s._free_in_s(now),
            cost.q0 * len(others),
        )
        if entry.service_s > new.deadline - now:
            expected = None  # probing decides, not the load
        refusal = s.submit(now, new)
        if expected is not None:
            assert (refusal is None) == expected, refusal
            verdicts.add(expected)
    assert verdicts == {True, False}


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 10**9))
def test_order_keeps_its_sums(seed: int) -> None:
    rng = random.Random(seed)
    order, held = DeadlineOrder(), []
    for number in range(rng.choice((5, 700))):
        if held and rng.random() < 0.35:
            entry = held.pop(rng.choice((0, rng.randrange(len(held)))))
            order.take(entry)
        else:
            entry = Entry(job(number, rng.choice((rng.random(), 0.5, number))), 0, COST, 0.0)
            weigh(entry, SchedulerConfig(), 1)
            order.put(entry)
            held.append(entry)
            held.sort(key=lambda e: e.key)
    assert list(order) == held
    assert len(order) == len(held)
    assert bool(order) == bool(held)
    assert order.work_s == pytest.approx(sum(e.work_s for e in held), abs=1e-9)
    for key in ((rng.random(), 0), (0.5, 350), (2e9, 0)):
        ahead = sum(e.work_s for e in held if e.key < key)
        assert order.ahead_s(key) == pytest.approx(ahead, abs=1e-9)


def test_too_late_by_what_is_ahead_says_when_to_come_again() -> None:
    s = scheduler()
    number = 0
    while (refusal := s.submit(0.0, job(number, 0.25))) is None:
        number += 1
    assert 10 < number < 50
    assert refusal.reason == "too_late"
    assert refusal.retry_after_s is not None
    assert 0 < refusal.retry_after_s < 0.05
    batch, expired, _ = s.take(0.0)
    assert batch is not None
    assert not expired
    # With as much less time ahead and the same budget it fits, or nearly so.
    later = refusal.retry_after_s + 1e-3
    assert s.submit(later, job(number, 0.25)) is not None
    assert s.submit(later, job(number, later + 0.25)) is None


def test_what_would_break_an_accepted_one_is_refused() -> None:
    s = scheduler(max_batch_s=10.0)
    assert s.submit(0.0, job(0, 0.06, 500)) is None  # about 30 ms
    assert s.submit(0.0, job(1, 0.05, 800)) is not None  # in time itself, at the other's cost
    assert s.submit(0.0, job(2, 0.05, 100)) is None
    assert s.submit(0.0, job(3, 0.5, 1000)) is None  # comes after both


def test_a_higher_class_does_not_wait_for_a_lower_one() -> None:
    s = scheduler(ageing_s=100.0)
    number = 0
    while s.submit(0.0, job(number, 0.25, priority=1)) is None:
        number += 1
    assert s.submit(0.0, job(1000, 0.25, priority=0)) is None
    batch, _, _ = s.take(0.0)
    assert batch is not None
    assert batch.parts[0].number == 1000


def test_a_job_over_the_bound_never_fits_and_a_full_queue_says_when() -> None:
    s = scheduler(queue_tokens=1000, reserved=0.2)
    refusal = s.submit(0.0, job(0, 100.0, *[100] * 11))
    assert refusal is not None
    assert (refusal.reason, refusal.retry_after_s) == ("never", None)
    refusal = s.submit(0.0, job(0, 100.0, *[100] * 9, priority=1))
    assert refusal is not None
    assert refusal.reason == "never"
    assert s.submit(0.0, job(1, 100.0, *[100] * 8, priority=1)) is None
    refusal = s.submit(0.0, job(2, 100.0, 100, priority=1))
    assert refusal is not None
    assert refusal.reason == "queue_full"
    assert refusal.retry_after_s is not None
    assert 0 < refusal.retry_after_s < 1
    assert s.submit(0.0, job(3, 100.0, 200)) is None  # class 0 may fill the rest
    assert s.submit(0.0, job(4, 100.0, 1)) is not None
    assert s.queued_tokens == 1000


def test_a_tenant_has_its_share_of_the_queue_only() -> None:
    s = scheduler(queue_tokens=1000, tenant_share=0.5)
    assert s.submit(0.0, job(0, 100.0, 400, tenant="x")) is None
    refusal = s.submit(0.0, job(1, 100.0, 200, tenant="x"))
    assert refusal is not None
    assert refusal.reason == "queue_full"
    assert s.submit(0.0, job(1, 100.0, 200, tenant="y")) is None
    assert s.cancel(0.0, 0)
    assert s.submit(0.0, job(2, 100.0, 400, tenant="x")) is None


def test_a_deadline_in_the_past_is_refused() -> None:
    refusal = scheduler().submit(5.0, job(0, 5.0))
    assert refusal is not None
    assert (refusal.reason, refusal.retry_after_s) == ("passed", None)


def test_a_prediction_that_refuses_everything_is_put_to_the_test() -> None:
    wrong = CostModel((10.0, 0.0, 0.0), factor=1.0)
    s = Scheduler(SchedulerConfig(probe_s=1.0), 1, lambda lane: wrong)
    accepted = 0
    for number in range(2000):
        now = number * 0.1
        if s.submit(now, job(number, now + 0.25)) is None:
            accepted += 1
            batch, expired, _ = s.take(now + 1e-3)
            assert batch is not None
            assert not expired
            s.finished(now + 6e-3, batch)
    assert accepted > 1500
    assert wrong.predict(100, 10_000) < 0.25


def test_a_probe_is_one_at_a_time() -> None:
    s = Scheduler(SchedulerConfig(probe_s=1.0), 1, lambda lane: wrong)
    wrong = CostModel((10.0, 0.0, 0.0), factor=1.0)
    assert s.submit(0.0, job(0, 0.25)) is None
    refusal = s.submit(0.0, job(1, 0.25))
    assert refusal is not None
    assert (refusal.reason, refusal.retry_after_s) == ("too_late", None)


def test_an_overdue_worker_is_expected_to_take_as_long_again() -> None:
    s = scheduler()
    assert s.submit(0.0, job(0, 100.0)) is None
    assert s.take(0.0)[0] is not None
    assert s.submit(5.0, job(1, 5.25)) is not None
    two = scheduler(workers=2)
    assert two.submit(0.0, job(0, 100.0)) is None
    assert two.take(0.0)[0] is not None
    assert two.submit(5.0, job(1, 5.25)) is None  # the other worker is there


def test_further_rounds_are_let_in_whatever_waits() -> None:
    s = scheduler(queue_tokens=100)
    assert s.submit(0.0, job(0, 1.0, 100)) is None
    assert s.submit(0.0, job(1, 1.0, 100)) is not None
    s.drain()
    refusal = s.submit(0.0, job(1, 1.0, 1))
    assert refusal is not None
    assert refusal.reason == "draining"
    assert s.submit(0.0, job(1, 1.0, 100), admitted=True) is None
    assert s.submit(0.0, job(2, 1.0, *[100] * 3), admitted=True) is None
    with pytest.raises(ValueError, match="held already"):
        s.submit(0.0, job(1, 1.0, 100), admitted=True)


@pytest.mark.parametrize(
    "bad",
    [
        {"lengths": ()},
        {"lengths": (3, 0)},
        {"deadline": float("nan")},
        {"deadline": float("inf")},
        {"priority": -1},
    ],
)
def test_jobs_that_make_no_sense(bad: dict[str, object]) -> None:
    good: dict[str, object] = {"number": 0, "lane": 0, "lengths": (1,), "deadline": 1.0}
    with pytest.raises(ValueError, match=r"job needs|deadline|priority"):
        Job(**(good | bad))


@pytest.mark.parametrize(
    "bad",
    [
        {"queue_tokens": 0},
        {"max_batch_rows": 0},
        {"max_batch_s": 0.0},
        {"ageing_s": float("nan")},
        {"reserved": 1.0},
        {"tenant_share": 0.0},
        {"classes": 0},
    ],
)
def test_configurations_that_make_no_sense(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        SchedulerConfig(**bad)


def test_a_scheduler_needs_a_worker() -> None:
    with pytest.raises(ValueError, match="worker"):
        scheduler(workers=0)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_job_of_many_batches_is_shared_by_the_workers(workers: int) -> None:
    """Worked by hand: 30 rows of 100 tokens, 1 ms a row and 2 ms a batch, of at most 10 ms.

    A batch has room for 8 ms, so the fixed part adds a quarter: 37.5 ms of work in all, poured over
    the workers, with one more fixed part in front.
    """
    config = SchedulerConfig(max_batch_s=0.010, max_batch_tokens=10_000)
    cost = CostModel((0.002, 0.00001, 0.0), factor=1.0)
    work_s = work_of(cost, config, 3000, 30 * 100**2, 30)
    assert work_s == pytest.approx(0.0375)
    found = service_s(cost, config, 3000, 30 * 100**2, 30, workers, work_s)
    assert found == pytest.approx(0.002 + 0.0375 / workers)
    # What one batch takes runs on one worker, however many there are.
    alone = service_s(cost, config, 500, 5 * 100**2, 5, workers, 0.00625)
    assert alone == pytest.approx(0.002 + 0.005)
