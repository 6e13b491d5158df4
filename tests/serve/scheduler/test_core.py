"""What starts when: order, classes, ageing, shares of workers, big jobs, what is let go."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.serve.scheduler import Batch, CostModel, Job, Scheduler, SchedulerConfig

# 1 ms and 10 us a token: a row of 100 tokens takes 2 ms alone.
COEFFICIENTS = (1e-3, 1e-5, 0.0)


def scheduler(workers: int = 1, **config: object) -> Scheduler:
    cost = CostModel(COEFFICIENTS, factor=1.0)
    return Scheduler(SchedulerConfig(**config), workers, lambda lane: cost)


def job(number: int, deadline: float, *lengths: int, lane: str = "a", priority: int = 0) -> Job:
    return Job(
        number=number,
        lane=lane,
        lengths=lengths or (100,),
        deadline=deadline,
        priority=priority,
    )


def start(s: Scheduler, now: float = 0.0) -> Batch:
    batch, expired, _ = s.take(now)
    assert not expired
    assert batch is not None
    return batch


def numbers(batch: Batch) -> list[int]:
    return [part.number for part in batch.parts]


def finish(s: Scheduler, batch: Batch) -> float:
    """End a batch after its true time."""
    now = batch.started + COEFFICIENTS[0] + COEFFICIENTS[1] * batch.tokens
    s.finished(now, batch)
    return now


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(1.0, 100.0), st.integers(0, 3), st.integers(1, 200)),
        min_size=1,
        max_size=300,
    ),
    st.integers(1, 6),
)
def test_earliest_deadline_first_inside_classes(
    jobs: list[tuple[float, int, int]], rows: int
) -> None:
    s = scheduler(max_batch_rows=rows, ageing_s=1e6)
    for number, (deadline, priority, length) in enumerate(jobs):
        s.submit(0.0, job(number, deadline, length, priority=priority), admitted=True)
    order = []
    now = 0.0
    while s.queued_jobs:
        batch, expired, _ = s.take(0.0)
        assert not expired
        assert batch is not None
        order += numbers(batch)
        s.failed(now, batch)
    expected = sorted(range(len(jobs)), key=lambda n: (jobs[n][1], jobs[n][0], n))
    assert order == expected


def test_what_arrives_alone_starts_at_once() -> None:
    s = scheduler(workers=2)
    assert s.submit(0.0, job(0, 1.0)) is None
    assert numbers(start(s)) == [0]
    assert s.submit(0.0, job(1, 1.0)) is None
    assert numbers(start(s)) == [1]
    assert s.submit(0.0, job(2, 1.0)) is None
    batch, expired, wake_at = s.take(0.0)
    assert (batch, expired, wake_at) == (None, [], 1.0)  # both work
    assert s.queued_jobs == 1


def test_workers_share_what_waits() -> None:
    s = scheduler(workers=2, max_batch_s=1.0)
    for number in range(20):
        assert s.submit(0.0, job(number, 10.0)) is None
    assert 9 <= start(s).rows <= 11
    assert 9 <= start(s).rows <= 11


def test_a_batch_ends_before_its_earliest_deadline() -> None:
    s = scheduler(max_batch_s=1.0)
    assert s.submit(0.0, job(0, 0.0055)) is None
    for number in range(1, 20):
        assert s.submit(0.0, job(number, 10.0), admitted=True) is None
    batch = start(s)
    assert batch.predicted_s <= 0.0055
    assert numbers(batch) == [0, 1, 2, 3]


def test_a_batch_leaves_time_for_the_next_deadline_of_another_lane() -> None:
    s = scheduler(max_batch_s=1.0)
    assert s.submit(0.0, job(0, 0.0095)) is None
    assert s.submit(0.0, job(1, 0.010, lane="b")) is None  # needs 2 ms
    for number in range(2, 30):
        assert s.submit(0.0, job(number, 10.0), admitted=True) is None
    batch = start(s)
    assert batch.lane == "a"
    assert batch.predicted_s <= 0.008 + 1e-9
    assert batch.rows > 1
    now = finish(s, batch)
    batch = start(s, now)
    assert numbers(batch) == [1]
    assert finish(s, batch) <= 0.010 + 1e-9


def test_another_worker_may_save_the_next_deadline() -> None:
    s = scheduler(workers=2, max_batch_s=1.0)
    assert s.submit(0.0, job(0, 0.5, lane="b")) is None
    assert numbers(start(s)) == [0]  # free again at 2 ms
    assert s.submit(0.0, job(1, 0.010)) is None
    assert s.submit(0.0, job(2, 0.010, lane="b")) is None
    for number in range(3, 40):
        assert s.submit(0.0, job(number, 0.011), admitted=True) is None
    batch = start(s)
    assert batch.predicted_s > 0.0085  # b's job is served by the other one


def test_a_big_job_is_served_in_pieces_and_blocks_nobody() -> None:
    s = scheduler(max_batch_s=0.02, queue_tokens=200_000)
    assert s.submit(0.0, job(0, 10.0, *[100] * 1000)) is None
    batch = start(s)
    assert 1 < batch.rows < 25
    taken = batch.rows
    assert s.submit(0.001, job(1, 0.06)) is None
    now = finish(s, batch)
    batch = start(s, now)
    assert numbers(batch)[0] == 1
    assert batch.parts[1].rows.start == taken
    completed: list[int] = []
    while True:
        now = batch.started + COEFFICIENTS[0] + COEFFICIENTS[1] * batch.tokens
        completed += s.finished(now, batch)
        if s.empty:
            break
        batch = start(s, now)
    assert completed == [1, 0]
    assert now < 1.3


def test_an_urgent_class_waits_for_one_batch_at_most() -> None:
    s = scheduler(max_batch_s=0.02)
    for number in range(100):
        assert s.submit(0.0, job(number, 10.0, priority=2)) is None
    batch = start(s)
    assert s.submit(0.0, job(1000, 9.0, priority=0)) is None
    assert numbers(start(s, finish(s, batch)))[0] == 1000


def test_who_waits_rises_and_is_not_starved() -> None:
    """After priority * ageing_s a job stands among class 0 by its deadline.

    Class 0 has more than the worker can do, with deadlines that are later: without ageing the
    job of class 2 would never start.
    """
    s = scheduler(ageing_s=0.5, max_batch_rows=1, queue_tokens=10**6)
    assert s.submit(0.0, job(0, 30.0, priority=2)) is None
    now, number, started_at = 0.0, 0, None
    while started_at is None and now < 20.0:
        for _ in range(2):
            number += 1
            s.submit(now, job(number, now + 60.0), admitted=True)
        batch = start(s, now)
        if numbers(batch) == [0]:
            started_at = now
        now = finish(s, batch)
    assert started_at is not None
    assert 1.0 <= started_at <= 1.0 + 0.005


def test_ageing_is_by_one_class_a_step() -> None:
    s = scheduler(ageing_s=1.0, max_batch_rows=1)
    s.submit(0.0, job(0, 100.0, priority=3))
    for number in range(1, 4):
        s.submit(0.0, job(number, 200.0, priority=number), admitted=True)
    s.submit(1.5, job(4, 300.0, priority=2))
    # 0 has risen to class 2, 1 to class 0, 2 to class 1, 3 to class 2.
    order = []
    while s.queued_jobs:
        batch = start(s, 1.5)
        order += numbers(batch)
        s.failed(1.5, batch)
    assert order == [1, 2, 0, 3, 4]


def test_what_can_no_longer_be_in_time_is_not_started() -> None:
    s = scheduler()
    assert s.submit(0.0, job(0, 1.0)) is None
    s.finished(0.5, start(s, 0.49))  # the cost model is fresh: no probe
    assert s.submit(0.5, job(1, 0.6)) is None
    assert s.submit(0.5, job(2, 0.7)) is None
    batch, expired, _ = s.take(0.5995)
    assert expired == [1]
    assert batch is not None
    assert numbers(batch) == [2]
    assert not s.cancel(0.6, 1)


def test_a_hanging_worker_keeps_nobody_waiting_past_the_deadline() -> None:
    s = scheduler()
    assert s.submit(0.0, job(0, 0.3)) is None
    batch = start(s)
    s.submit(0.0, job(1, 0.2), admitted=True)
    assert s.expire(0.1) == ([], 0.2)
    assert s.expire(0.25) == ([1], 0.3)
    assert s.expire(0.3) == ([0], None)
    assert s.finished(10.0, batch) == []
    assert s.empty


def test_rows_of_a_cancelled_job_never_start() -> None:
    s = scheduler(max_batch_rows=2)
    assert s.submit(0.0, job(0, 1.0, *[100] * 6)) is None
    batch = start(s)
    assert s.cancel(0.0, 0)
    assert not s.cancel(0.0, 0)
    assert s.queued_tokens == 0
    assert s.take(0.0)[0] is None
    assert s.finished(0.003, batch) == []
    assert s.empty


def test_a_lower_class_with_an_earlier_deadline_joins_only_if_it_is_in_time() -> None:
    s = scheduler(max_batch_s=1.0)
    for number in range(10):
        assert s.submit(0.0, job(number, 10.0)) is None
    assert s.submit(0.0, job(10, 0.006, priority=1), admitted=True) is None
    batch = start(s)
    assert batch.rows == 10  # 11 ms
    assert batch.earliest == 10.0


def test_a_batch_keeps_to_its_tokens() -> None:
    s = scheduler(max_batch_s=1.0, max_batch_tokens=250)
    for number in range(4):
        assert s.submit(0.0, job(number, 10.0)) is None
    assert start(s).rows == 2


def test_a_failed_batch_takes_its_jobs_along_and_no_other() -> None:
    s = scheduler(max_batch_rows=3)
    cost = s._cost("a")
    assert s.submit(0.0, job(0, 1.0)) is None
    assert s.submit(0.0, job(1, 1.1, *[100] * 5)) is None
    assert s.submit(0.0, job(2, 1.2)) is None
    batch = start(s)
    assert s.failed(5.0, batch) == [0, 1]
    assert cost.batches == 0
    assert s.queued_jobs == 1
    with pytest.raises(ValueError, match="does not run"):
        s.finished(5.0, batch)
    # The rest of 1 is tried again as a job of its own.
    assert s.submit(0.1, job(3, 1.1, 100), admitted=True) is None
    assert numbers(start(s, 0.1)) == [3, 2]


def test_a_batch_of_another_scheduler_is_told_apart() -> None:
    one, two = scheduler(), scheduler()
    for s in (one, two):
        assert s.submit(0.0, job(0, 1.0)) is None
    batch = start(one)
    start(two)
    with pytest.raises(ValueError, match="does not run"):
        two.finished(0.1, batch)


def test_waiting_times_and_backlog_are_shown() -> None:
    s = scheduler(max_batch_rows=1)
    assert s.oldest_wait_s(5.0) == 0.0
    assert s.submit(1.0, job(0, 100.0)) is None
    assert s.submit(2.0, job(1, 100.0)) is None
    assert s.oldest_wait_s(5.0) == 4.0
    assert s.backlog_s == pytest.approx(0.004, rel=0.1)
    start(s, 5.0)
    assert s.oldest_wait_s(5.0) == 3.0
    assert s.wait_s(5.0) == pytest.approx(0.004, rel=0.1)


def test_predictions_that_move_reach_what_waits() -> None:
    s = scheduler(queue_tokens=10**7, max_batch_rows=4)
    for number in range(500):
        assert s.submit(0.0, job(number, 1000.0)) is None
    before = s.backlog_s
    now = 0.0
    for _ in range(60):
        batch = start(s, now)
        now += 4 * batch.predicted_s  # four times as slow as anything before, again and again
        s.finished(now, batch)
    assert s.queued_jobs > 250
    assert s.backlog_s / s.queued_jobs > 10 * before / 500


def test_memory_does_not_grow_with_what_went_by() -> None:
    rng = random.Random(1)
    s = scheduler(queue_tokens=2000, ageing_s=1000.0)
    for number in range(5000):
        now = number * 1e-4
        s.submit(
            now,
            Job(
                number=number,
                lane=number // 100,
                lengths=(rng.randint(1, 50),),
                deadline=now + 10,
                priority=rng.randrange(4),
                tenant=str(number),
            ),
        )
        s.cancel(now, number - rng.randrange(30))
        s.cancel(now, number - 40)
    assert s.held_jobs <= 40
    assert len(s._ageing) <= 2 * s.queued_jobs + 130
    assert len(s._tenants) <= 40
    assert len(s._lanes) <= 3
