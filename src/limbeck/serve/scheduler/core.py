"""The scheduler: one queue in front of several workers, without clocks or threads of its own.

Not safe for threads: the caller holds a lock around each call. `now` is seconds on one monotonic
clock; one that jumps makes predictions wrong for a while, and never loses or doubles a job.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import TypeVar

from limbeck.serve.scheduler.admission import level_s, weigh
from limbeck.serve.scheduler.batching import Chosen, fill
from limbeck.serve.scheduler.cost import CostModel
from limbeck.serve.scheduler.job import Batch, Job, Part, Refusal, SchedulerConfig
from limbeck.serve.scheduler.order import DeadlineOrder, Entry

# Predictions that moved by more are written anew into what waits.
_DRIFT = 1.2
# Of the last so many arrivals, the share that found something running or waiting, above which
# threads are worth more apart.
_ARRIVALS = 16
_CROWDED = 0.5
_QS = tuple[float, float, float]
_Key = TypeVar("_Key", bound=Hashable)


class Scheduler:
    """Earliest deadline first inside classes that age; see `SchedulerConfig` and docs/decisions.

    Every job that `submit` lets in leaves exactly once: completed (`finished`), expired (`take`,
    `expire`), failed (`failed`) or cancelled (`cancel`).
    """

    def __init__(
        self,
        config: SchedulerConfig,
        workers: int,
        cost: Callable[[Hashable], CostModel],
        alone: Callable[[Hashable], CostModel | None] = lambda lane: None,
    ) -> None:
        """Args:
            workers: batches that run at once.
            cost: the model of a lane's cost.
            alone: of its batches that have all workers' threads; None: there are no such.

        Raises:
            ValueError: no worker.
        """
        if workers < 1:
            raise ValueError(f"a scheduler needs at least 1 worker, not {workers}")
        self.config = config
        self.workers = workers
        self._cost = cost
        self._alone = alone
        self._orders = [DeadlineOrder() for _ in range(config.classes)]
        self._entries: dict[int, Entry] = {}
        self._batches: dict[int, tuple[Batch, Chosen]] = {}
        self._batch_number = 0
        self._ageing: list[tuple[float, int, Entry]] = []
        self._ages = 0
        self._tokens = 0
        self._jobs = 0
        self._tenants: dict[str, int] = {}
        self._lanes: dict[Hashable, int] = {}
        # Jobs that wait by cost model, and the coefficients that their weights were made with.
        self._weights: dict[CostModel, tuple[int, _QS]] = {}
        self._draining = False
        self._crowd = 0.0

    # What waits and what runs.

    @property
    def queued_tokens(self) -> int:
        """Tokens of rows that wait."""
        return self._tokens

    @property
    def queued_jobs(self) -> int:
        """Jobs with rows that wait."""
        return self._jobs

    @property
    def held_jobs(self) -> int:
        """Jobs that were let in and have not left yet."""
        return len(self._entries)

    @property
    def in_flight(self) -> int:
        """Batches that run."""
        return len(self._batches)

    @property
    def backlog_s(self) -> float:
        """Predicted seconds of one worker for all that waits."""
        return sum(order.work_s for order in self._orders)

    @property
    def draining(self) -> bool:
        """Whether new jobs are refused for good."""
        return self._draining

    @property
    def empty(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self._entries and not self._batches

    def oldest_wait_s(self, now: float) -> float:
        """Seconds since the submission of the oldest job with rows that wait; 0 if none."""
        return max(
            (now - entry.submitted for entry in self._entries.values() if entry.tokens),
            default=0.0,
        )

    def wait_s(self, now: float) -> float:
        """Predicted seconds until a job that comes last of all would begin."""
        return level_s(self._free_in_s(now), self.backlog_s)

    # Jobs come and go.

    def submit(self, now: float, job: Job, *, admitted: bool = False) -> Refusal | None:
        """Let a job in, or say why not.

        admitted: a further round of a request that was let in before: never refused for load, nor
            while draining.

        Raises:
            ValueError: a job of this number is held already.
        """
        if job.number in self._entries:
            raise ValueError(f"job {job.number} is held already")
        entry = self._weighed(now, job)
        self._arrived()
        if not admitted:
            refusal = self._refuse(now, entry)
            if refusal is not None:
                return refusal
        self._entries[job.number] = entry
        self._count(entry, entry.tokens, 1)
        self._orders[entry.place].put(entry)
        if entry.place:
            self._age(now, entry)
        return None

    def foresee(self, now: float, job: Job) -> Refusal | None:
        """Why a job would be refused for load now, without letting it in; None if it would not.

        For jobs whose lengths are at least these, before more is spent on them.
        """
        left_s = job.deadline - now
        if left_s <= 0 or self._draining:
            return None  # `submit` has the words for it
        refusal = self._refuse_for_load(now, self._weighed(now, job), left_s)
        if refusal is not None:
            self._arrived()
        return refusal

    def _weighed(self, now: float, job: Job) -> Entry:
        place = min(job.priority, self.config.classes - 1)
        entry = Entry(job, place, self._cost(job.lane), now)
        weigh(entry, self.config, self.workers)
        return entry

    def take(self, now: float) -> tuple[Batch | None, list[int], float | None]:
        """What a worker that is idle should run.

        Returns: a batch, or None if nothing waits or no worker has threads left; numbers of jobs
            which can no longer be in time: they have left; when to ask again (or call `expire`)
            though nothing arrives or ends, None for never.
        """
        expired = self._overdue(now)
        self._rise(now)
        if self._full:
            return None, expired, min(self._deadlines(), default=None)
        for place, order in enumerate(self._orders):
            while order:
                entry = order.first
                if now + entry.service_s <= entry.job.deadline or self._may_probe(now, entry):
                    return self._start(now, place), expired, None
                self._leave(entry)
                expired.append(entry.job.number)
        return None, expired, None

    def finished(self, now: float, batch: Batch) -> list[int]:
        """A batch's rows are there.

        Returns: numbers of the jobs that are complete with it: they have left. Rows of jobs that
            left before belong to nobody.

        Raises:
            ValueError: the batch does not run.
        """
        chosen = self._return(batch)
        completed = []
        for entry, count in chosen:
            entry.out -= count
            if not entry.gone and not entry.out and entry.next_row == entry.rows:
                entry.gone = True
                del self._entries[entry.job.number]
                completed.append(entry.job.number)
        cost = chosen[0][0].cost
        if batch.alone:
            cost = self._alone(batch.lane) or cost
        cost.learn(batch.tokens, batch.squares, now - batch.started)
        cost.updated = now
        self._reweigh(cost, batch)
        return completed

    def failed(self, now: float, batch: Batch) -> list[int]:
        """The engine raised: the worker is free again, and nothing is learnt.

        Returns: numbers of the jobs that had rows in it: they have left, with all of their rows.
            What of them is to be tried again is a new job, submitted with admitted=True.

        Raises:
            ValueError: the batch does not run.
        """
        numbers = []
        for entry, _ in self._return(batch):
            if not entry.gone:
                self._leave(entry)
                numbers.append(entry.job.number)
        return numbers

    def cancel(self, now: float, number: int) -> bool:
        """Nobody waits for a job any more: rows that wait never start, rows in flight are dropped.

        Returns: False if no such job is held.
        """
        entry = self._entries.get(number)
        if entry is None:
            return False
        self._leave(entry)
        return True

    def expire(self, now: float) -> tuple[list[int], float | None]:
        """Let go what is past its deadline, waiting or in flight: for when all workers hang.

        Returns: numbers of the jobs, which have left; when to call again, None if nothing is held.
        """
        expired = self._overdue(now)
        for batch, chosen in self._batches.values():
            if batch.earliest <= now:
                for entry, _ in chosen:
                    if not entry.gone and entry.job.deadline <= now:
                        self._leave(entry)
                        expired.append(entry.job.number)
        return expired, self._wake_at()

    def drain(self) -> None:
        """Let no more jobs in, but further rounds of requests that were let in."""
        self._draining = True

    # Admission.

    def _refuse(self, now: float, entry: Entry) -> Refusal | None:
        config, job = self.config, entry.job
        if self._draining:
            return Refusal(
                reason="draining", retry_after_s=1.0, message="the server is shutting down"
            )
        tokens = entry.tokens
        bound = config.queue_tokens
        if entry.place:
            bound = int(bound * (1 - config.reserved))
        share = int(config.queue_tokens * config.tenant_share)
        if tokens > min(bound, share):
            return Refusal(
                reason="never",
                retry_after_s=None,
                message=f"{tokens} tokens are more than the {min(bound, share)} that may wait at "
                "once; send fewer rows",
            )
        left_s = job.deadline - now
        if left_s <= 0:
            return Refusal(
                reason="passed", retry_after_s=None, message="the deadline has passed already"
            )
        excess = max(
            self._tokens + tokens - bound, self._tenants.get(job.tenant, 0) + tokens - share
        )
        if excess > 0:
            pace_s = self.wait_s(now) / max(self._tokens, 1)
            return Refusal(
                reason="queue_full",
                retry_after_s=excess * pace_s,
                message=f"{self._tokens} tokens wait already",
            )
        if entry.service_s > left_s:
            if self._may_probe(now, entry):
                entry.cost.updated = now
                entry.probe = True
                return None
            return Refusal(
                reason="too_late",
                retry_after_s=None,
                message=f"it takes about {entry.service_s:.3g} s, and the deadline leaves "
                f"{left_s:.3g} s; send fewer or shorter rows, or allow more time",
            )
        return self._refuse_for_load(now, entry, left_s)

    def _refuse_for_load(self, now: float, entry: Entry, left_s: float) -> Refusal | None:
        order = self._orders[entry.place]
        before_s = 0.0
        for place in range(entry.place):
            before_s += self._orders[place].work_s
        # Lanes share no batch: each other one that waits has a fixed part of its own.
        others = len(self._lanes) - (entry.job.lane in self._lanes)
        before_s += entry.cost.q0 * others
        free_in_s = self._free_in_s(now)
        level = level_s(free_in_s, before_s + order.ahead_s(entry.key))
        late_s = level + entry.service_s - left_s
        if self._jobs:
            late_s += entry.mates_s
        if late_s > 0:
            return Refusal(
                reason="too_late",
                retry_after_s=late_s,
                message=f"by prediction it would be {late_s:.3g} s late: too much waits",
            )
        all_s = before_s + order.work_s + entry.work_s
        busy_s = self.workers * level_s(free_in_s, all_s) - all_s
        much_s = order.broken_by(entry.key, entry.work_s, self.workers * now + busy_s + before_s)
        if much_s is not None:
            return Refusal(
                reason="too_late",
                retry_after_s=much_s / self.workers,
                message="by prediction it would make another late that was let in before",
            )
        return None

    def _may_probe(self, now: float, entry: Entry) -> bool:
        """Whether a job that seems too slow for its deadline should show that it is."""
        if entry.job.deadline <= now:
            return False
        if entry.probe:
            return True
        updated = entry.cost.updated
        return updated is None or not 0 <= now - updated < self.config.probe_s

    def _free_in_s(self, now: float) -> list[float]:
        """Predicted seconds until each worker is free, ascending.

        A batch that is overdue is expected to take as long again as it is overdue.
        """
        free = [0.0] * (self.workers - len(self._batches))
        for batch, _ in self._batches.values():
            left_s = batch.started + batch.predicted_s - now
            left_s = min(abs(left_s), batch.predicted_s) if left_s > 0 else -left_s
            if batch.alone:
                return [left_s] * self.workers
            free.append(left_s)
        if len(free) > 1:
            free.sort()
        return free

    # Batches that run alone.

    @property
    def _full(self) -> bool:
        return len(self._batches) >= self.workers or any(
            batch.alone for batch, _ in self._batches.values()
        )

    def _arrived(self) -> None:
        """Whoever comes finds somebody there, or nobody."""
        busy = bool(self._batches or self._jobs)
        self._crowd += (busy - self._crowd) / _ARRIVALS

    def _with_all_threads(self, now: float, batch: Batch, first: Entry) -> Batch:
        """What is about to start, alone where that is worth while: nothing else runs or waits, few
        that came of late met another, and it is faster so.

        A prediction that speaks against it is tried now and then, or it could never change.

        first: the most urgent entry of the batch.
        """
        if self.workers == 1 or self._batches or self._jobs or self._crowd > _CROWDED:
            return batch
        cost = None if first.probe else self._alone(batch.lane)
        if cost is None:
            return batch
        alone_s = cost.predict(batch.tokens, batch.squares)
        if alone_s > batch.predicted_s:
            known = cost.updated is not None and 0 <= now - cost.updated < self.config.probe_s
            if known or batch.rows > 1 or now + alone_s > batch.earliest:
                return batch
        return replace(batch, predicted_s=alone_s, alone=True)

    # Batches.

    def _start(self, now: float, place: int) -> Batch:
        waiting: Iterator[Entry] = (
            iter(self._orders[place])
            if place == len(self._orders) - 1
            else chain.from_iterable(self._orders[place:])
        )
        # The worker that asks is one of the idle ones.
        chosen, predicted_s = fill(
            now, waiting, self.config, self.backlog_s, self._free_in_s(now)[1:]
        )
        first = chosen[0][0]
        parts = []
        tokens = squares = 0
        earliest = first.job.deadline
        for entry, count in chosen:
            job = entry.job
            start, stop = entry.next_row, entry.next_row + count
            parts.append(Part(number=job.number, rows=range(start, stop)))
            earliest = min(earliest, job.deadline)
            order = self._orders[entry.place]
            order.take(entry)
            entry.next_row = stop
            entry.out += count
            if stop == entry.rows:
                took, took_squares = entry.tokens, entry.squares
                self._count(entry, -took, -1)
            else:
                took = sum(job.lengths[start:stop])
                took_squares = sum(length * length for length in job.lengths[start:stop])
                self._count(entry, -took, 0)
            entry.tokens -= took
            entry.squares -= took_squares
            if stop < entry.rows:
                weigh(entry, self.config, self.workers)
                order.put(entry)
            tokens += took
            squares += took_squares
        self._batch_number += 1
        batch = Batch(
            number=self._batch_number,
            lane=first.job.lane,
            parts=tuple(parts),
            tokens=tokens,
            squares=squares,
            predicted_s=predicted_s,
            started=now,
            earliest=earliest,
        )
        batch = self._with_all_threads(now, batch, first)
        self._batches[batch.number] = (batch, chosen)
        return batch

    def _return(self, batch: Batch) -> Chosen:
        held = self._batches.get(batch.number)
        if held is None or held[0] is not batch:
            raise ValueError(f"batch {batch.number} does not run here")
        del self._batches[batch.number]
        return held[1]

    # Book-keeping.

    def _count(self, entry: Entry, tokens: int, jobs: int) -> None:
        self._tokens += tokens
        job = entry.job
        _add(self._tenants, job.tenant, tokens)
        if not jobs:
            return
        self._jobs += jobs
        _add(self._lanes, job.lane, jobs)
        cost = entry.cost
        count, qs = self._weights.get(cost, (0, (cost.q0, cost.q1, cost.q2)))
        if count + jobs:
            self._weights[cost] = (count + jobs, qs)
        else:
            del self._weights[cost]

    def _leave(self, entry: Entry) -> None:
        """A job leaves before it is complete."""
        entry.gone = True
        del self._entries[entry.job.number]
        if entry.next_row < entry.rows:
            self._orders[entry.place].take(entry)
            self._count(entry, -entry.tokens, -1)
            entry.tokens = entry.squares = 0
            entry.next_row = entry.rows

    def _overdue(self, now: float) -> list[int]:
        expired = []
        for order in self._orders:
            while order and order.first.job.deadline <= now:
                entry = order.first
                self._leave(entry)
                expired.append(entry.job.number)
        return expired

    def _deadlines(self) -> list[float]:
        """The earliest of what waits, of each class."""
        return [order.first.job.deadline for order in self._orders if order]

    def _wake_at(self) -> float | None:
        at = self._deadlines()
        for batch, chosen in self._batches.values():
            if not chosen[0][0].gone and chosen[0][0].job.deadline == batch.earliest:
                at.append(batch.earliest)
            else:
                at.extend(entry.job.deadline for entry, _ in chosen if not entry.gone)
        return min(at, default=None)

    def _age(self, now: float, entry: Entry) -> None:
        self._ages += 1
        heappush(self._ageing, (now + self.config.ageing_s, self._ages, entry))
        if len(self._ageing) > 2 * self._jobs + 64:
            self._ageing = [item for item in self._ageing if _waits(item[2])]
            heapify(self._ageing)

    def _rise(self, now: float) -> None:
        """Those that waited long enough join the class above."""
        ageing = self._ageing
        while ageing and ageing[0][0] <= now:
            due, _, entry = heappop(ageing)
            if not _waits(entry):
                continue
            self._orders[entry.place].take(entry)
            entry.place -= 1
            self._orders[entry.place].put(entry)
            if entry.place:
                self._age(due, entry)

    def _reweigh(self, cost: CostModel, batch: Batch) -> None:
        """What waits was weighed by predictions of its time; renew them when they have moved."""
        held = self._weights.get(cost)
        if held is None:
            return
        count, (q0, q1, q2) = held
        before = q0 + q1 * batch.tokens + q2 * batch.squares
        ratio = cost.predict(batch.tokens, batch.squares) / before
        if 1 / _DRIFT < ratio < _DRIFT:
            return
        self._weights[cost] = (count, (cost.q0, cost.q1, cost.q2))
        for place, order in enumerate(self._orders):
            entries = list(order)
            renewed = DeadlineOrder()
            for entry in entries:
                if entry.cost is cost:
                    weigh(entry, self.config, self.workers)
                renewed.put(entry)
            self._orders[place] = renewed


def _waits(entry: Entry) -> bool:
    return not entry.gone and entry.next_row < entry.rows


def _add(counts: dict[_Key, int], key: _Key, change: int) -> None:
    value = counts.get(key, 0) + change
    if value:
        counts[key] = value
    else:
        del counts[key]
