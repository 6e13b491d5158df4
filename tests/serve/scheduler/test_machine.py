"""Anything may happen in any order, and the counts add up: a state machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from limbeck.serve.scheduler import Batch, CostModel, Job, Scheduler, SchedulerConfig

CONFIG = SchedulerConfig(
    queue_tokens=3000,
    max_batch_tokens=400,
    max_batch_rows=8,
    max_batch_s=0.06,
    classes=3,
    ageing_s=0.5,
    tenant_share=0.8,
)


class Machine(RuleBasedStateMachine):
    """Promises 1, 4 and 5: each arrival ends once; the queue is bounded; the gone never start."""

    workers = 2
    together = False  # whether a batch may have the threads of all workers

    def __init__(self) -> None:
        super().__init__()
        self.costs: dict[Hashable, CostModel] = {}
        self.alone: dict[Hashable, CostModel] = {}
        self.scheduler = Scheduler(
            CONFIG,
            self.workers,
            lambda lane: self.costs.setdefault(lane, CostModel((2e-3, 5e-5, 1e-8))),
            self.cost_alone,
        )
        self.now = 1000.0
        self.number = 0
        self.arrivals = 0
        self.ends: Counter[str] = Counter()
        self.held: dict[int, Job] = {}
        self.started: dict[int, int] = {}
        self.back: Counter[int] = Counter()
        self.running: list[Batch] = []
        self.admitted_tokens = 0

    def cost_alone(self, lane: Hashable) -> CostModel | None:
        if not self.together:
            return None
        return self.alone.setdefault(lane, CostModel((2e-3, 3e-5, 5e-9)))

    def end(self, number: int, how: str) -> None:
        del self.held[number]  # KeyError: ended twice, or never came
        self.ends[how] += 1

    @rule(
        lengths=st.lists(st.integers(1, 500), min_size=1, max_size=12),
        budget=st.sampled_from([-0.1, 0.01, 0.05, 0.25, 1.0, 10.0]),
        priority=st.integers(0, 4),
        lane=st.sampled_from("ab"),
        tenant=st.sampled_from(["", "x"]),
        admitted=st.integers(0, 9).map(lambda n: n == 0),
    )
    def submit(
        self,
        lengths: list[int],
        budget: float,
        priority: int,
        lane: str,
        tenant: str,
        admitted: bool,
    ) -> None:
        self.number += 1
        self.arrivals += 1
        job = Job(
            number=self.number,
            lane=lane,
            lengths=tuple(lengths),
            deadline=self.now + budget,
            priority=priority,
            tenant=tenant,
        )
        before = self.scheduler.queued_tokens
        refusal = self.scheduler.submit(self.now, job, admitted=admitted)
        if refusal is not None:
            assert not admitted
            assert refusal.retry_after_s is None or refusal.retry_after_s >= 0
            assert self.scheduler.queued_tokens == before
            self.ends["refused"] += 1
            return
        assert admitted or (not self.scheduler.draining and budget > 0)
        if not admitted:
            assert self.scheduler.queued_tokens <= CONFIG.queue_tokens  # promise 4
        self.held[job.number] = job
        self.started[job.number] = 0

    @rule()
    def take(self) -> None:
        batch, expired, wake_at = self.scheduler.take(self.now)
        for number in expired:
            self.end(number, "expired")
        if batch is None:
            if len(self.running) < self.workers and not any(one.alone for one in self.running):
                # nothing waits while a worker is idle
                assert self.scheduler.queued_jobs == 0
                assert wake_at is None
            return
        assert len(self.running) < self.workers
        assert not any(one.alone for one in self.running)
        assert not (batch.alone and (self.running or not self.together))
        self.running.append(batch)
        rows = tokens = squares = 0
        for part in batch.parts:
            job = self.held[part.number]  # KeyError: started for one that has gone (promise 5)
            assert job.lane == batch.lane
            assert job.deadline > self.now
            assert part.rows.start == self.started[part.number]  # each row once, in order
            assert len(part.rows) > 0
            assert part.rows.stop <= len(job.lengths)
            self.started[part.number] = part.rows.stop
            for row in part.rows:
                rows += 1
                tokens += job.lengths[row]
                squares += job.lengths[row] ** 2
        assert (batch.rows, batch.tokens, batch.squares) == (rows, tokens, squares)
        assert rows <= CONFIG.max_batch_rows
        assert rows == 1 or tokens <= CONFIG.max_batch_tokens
        assert rows == 1 or batch.predicted_s <= CONFIG.max_batch_s
        earliest = min(self.held[part.number].deadline for part in batch.parts)
        assert batch.earliest == earliest
        if rows > 1:
            assert self.now + batch.predicted_s <= earliest + 1e-9

    def give_back(self, index: int) -> Batch:
        batch = self.running.pop(index % len(self.running))
        for part in batch.parts:
            self.back[part.number] += len(part.rows)
        return batch

    @precondition(lambda self: self.running)
    @rule(index=st.integers(0, 9))
    def finished(self, index: int) -> None:
        batch = self.give_back(index)
        completed = self.scheduler.finished(self.now, batch)
        for part in batch.parts:
            job = self.held.get(part.number)
            whole = job is not None and self.back[part.number] == len(job.lengths)
            assert (part.number in completed) == whole
        for number in completed:
            self.end(number, "completed")

    @precondition(lambda self: self.running)
    @rule(index=st.integers(0, 9))
    def failed(self, index: int) -> None:
        batch = self.give_back(index)
        expected = {part.number for part in batch.parts} & self.held.keys()
        numbers = self.scheduler.failed(self.now, batch)
        assert set(numbers) == expected
        for number in numbers:
            self.end(number, "failed")

    @rule(index=st.integers(0, 9), unknown=st.booleans())
    def cancel(self, index: int, unknown: bool) -> None:
        held = list(self.held)
        number = self.number - index if unknown or not held else held[index % len(held)]
        known = number in self.held
        assert self.scheduler.cancel(self.now, number) == known
        if known:
            self.end(number, "cancelled")

    @rule()
    def expire(self) -> None:
        expired, wake_at = self.scheduler.expire(self.now)
        for number in expired:
            assert self.held[number].deadline <= self.now
            self.end(number, "expired")
        soonest = min((job.deadline for job in self.held.values()), default=None)
        assert wake_at == soonest

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.1, 1.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from([3600.0, -3600.0, -0.5]))
    def jump(self, seconds: float) -> None:
        self.now += seconds

    @rule(often=st.integers(0, 9))
    def drain(self, often: int) -> None:
        if often == 0:
            self.scheduler.drain()

    @invariant()
    def counts_add_up(self) -> None:
        assert self.arrivals == sum(self.ends.values()) + len(self.held)
        assert self.scheduler.held_jobs == len(self.held)
        assert self.scheduler.in_flight == len(self.running)
        waiting = {number: job.lengths[self.started[number] :] for number, job in self.held.items()}
        assert self.scheduler.queued_tokens == sum(map(sum, waiting.values()))
        assert self.scheduler.queued_jobs == sum(map(bool, waiting.values()))
        assert self.scheduler.backlog_s >= 0
        assert self.scheduler.wait_s(self.now) >= 0

    def teardown(self) -> None:
        self.scheduler.drain()
        while self.running:
            self.finished(0)
        while True:
            self.take()
            if not self.running:
                break
            self.finished(0)
        assert not self.held
        assert self.scheduler.empty
        assert_nothing_left(self.scheduler)


def assert_nothing_left(scheduler: Scheduler) -> None:
    """An empty scheduler remembers nobody."""
    assert (scheduler.queued_tokens, scheduler.queued_jobs, scheduler.backlog_s) == (0, 0, 0.0)
    for name in ("_entries", "_batches", "_tenants", "_lanes", "_weights"):
        assert not getattr(scheduler, name), name
    assert not any(map(bool, scheduler._orders))
    assert len(scheduler._ageing) <= 64 + 2


TestMachine = Machine.TestCase
TestMachine.settings = settings(deadline=None, max_examples=120, stateful_step_count=80)


class TogetherMachine(Machine):
    """The same promises where a batch that is alone has all threads."""

    workers = 3
    together = True


TestTogether = TogetherMachine.TestCase
TestTogether.settings = settings(deadline=None, max_examples=120, stateful_step_count=80)
