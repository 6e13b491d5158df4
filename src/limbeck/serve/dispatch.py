"""Threads around the scheduler: jobs in from the event loop, batches through the engine, rows back.

One lock guards the scheduler. Workers take their next batch themselves: no round through the event
loop lies between two batches. All that touches futures happens in the loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from limbeck.errors import EngineError, LimbeckError
from limbeck.pipeline import Asked, together
from limbeck.runtimes import Output
from limbeck.serve.models import Hosted
from limbeck.serve.refused import Reason, RefusedError
from limbeck.serve.scheduler import Batch, Job, Refusal, Scheduler
from limbeck.serve.yielding import give_way

F32 = npt.NDArray[np.float32]

_log = logging.getLogger("limbeck.serve.dispatch")
# What says by its message what is wrong with a row. Of other errors nobody knows what they quote.
_PLAIN = (LimbeckError, MemoryError, ValueError, ArithmeticError)


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """A job on its way: the rows that are there, and the future that gets all of them.

    submitted_s, started_s: when it was let in, and when its first rows were taken; inference_s:
    time in the engine, of all batches that had rows of it.
    """

    number: int
    hosted: Hosted
    asked: Asked
    future: asyncio.Future[list[F32]]
    submitted_s: float
    started_s: float | None = None
    inference_s: float = 0.0
    rows: list[F32 | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDone:
    """What metrics want to know of a batch."""

    hosted: Hosted
    rows: int
    tokens: int
    seconds: float


_Result = tuple[Ticket, list[F32] | RefusedError]


class Dispatcher:
    """Workers that run what the scheduler says. Made and closed in the event loop."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        workers: int,
        on_batch: Callable[[BatchDone], None] = lambda done: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: workers: batches that run at once. on_batch: called by them, for each that ran."""
        self.workers = workers
        self._scheduler = scheduler
        self._on_batch = on_batch
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._wake = threading.Condition()
        self._tickets: dict[int, Ticket] = {}
        self._number = 0
        self._closed = False
        # Seconds that workers have spent in the engine; of those that run when they began, and
        # for how many they count.
        self._busy_s = 0.0
        self._running: dict[int, tuple[float, int]] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"limbeck-engine-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    # The event loop's side.

    def submit(
        self,
        hosted: Hosted,
        asked: Asked,
        *,
        deadline_s: float,
        priority: int,
        tenant: str = "",
        admitted: bool = False,
    ) -> Ticket:
        """Put sequences into the queue; `Ticket.future` gets their rows.

        Raises:
            RefusedError: they would not be computed in time, or will not fit.
        """
        lengths = tuple(len(one) for one in asked.encoded)
        now = self._clock()
        self._number += 1
        job = Job(
            number=self._number,
            lane=(hosted, asked.output),
            lengths=lengths,
            deadline=deadline_s,
            priority=priority,
            tenant=tenant,
        )
        ticket = Ticket(
            number=job.number,
            hosted=hosted,
            asked=asked,
            future=self._loop.create_future(),
            submitted_s=now,
            rows=[None] * len(lengths),
        )
        with self._wake:
            refusal = self._scheduler.submit(now, job, admitted=admitted)
            if refusal is None:
                self._tickets[job.number] = ticket
                self._wake.notify()
        if refusal is not None:
            raise _refused(refusal)
        return ticket

    def foresee(
        self, hosted: Hosted, lengths: tuple[int, ...], *, deadline_s: float, priority: int
    ) -> None:
        """Refuse what would be too late even if its rows were only so long.

        Raises:
            RefusedError: overloaded.
        """
        job = Job(
            number=0,
            lane=(hosted, hosted.output),
            lengths=lengths,
            deadline=deadline_s,
            priority=priority,
        )
        with self._wake:
            refusal = self._scheduler.foresee(self._clock(), job)
        if refusal is not None:
            raise _refused(refusal)

    def withdraw(self, ticket: Ticket) -> None:
        """Nobody waits any more: what has not been started never will be."""
        with self._wake:
            if self._tickets.pop(ticket.number, None) is not None:
                self._scheduler.cancel(self._clock(), ticket.number)

    def busy_s(self) -> float:
        """Seconds that all workers together have spent in the engine until now."""
        with self._wake:
            now = self._clock()
            running = self._running.values()
            return self._busy_s + sum(count * (now - began) for began, count in running)

    def look(self) -> dict[str, float]:
        """What waits and runs, for metrics and the admin's port."""
        with self._wake:
            scheduler, now = self._scheduler, self._clock()
            return {
                "queued_tokens": scheduler.queued_tokens,
                "queued_jobs": scheduler.queued_jobs,
                "held_jobs": scheduler.held_jobs,
                "in_flight": scheduler.in_flight,
                "backlog_s": scheduler.backlog_s,
                "wait_s": scheduler.wait_s(now),
                "oldest_wait_s": scheduler.oldest_wait_s(now),
            }

    def drain(self) -> None:
        """Take no more jobs, but further rounds of those that were let in."""
        with self._wake:
            self._scheduler.drain()

    def close(self, timeout_s: float = 5.0) -> bool:
        """Stop the workers once their batches are done; what waits is refused.

        Returns:
            False where a worker has not come back in time.
        """
        with self._wake:
            self._closed = True
            self._wake.notify_all()
            left = list(self._tickets.values())
            self._tickets.clear()
        gone = RefusedError("unavailable", "the server is shutting down")
        self._deliver([(ticket, gone) for ticket in left])
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _deliver(self, results: Sequence[_Result]) -> None:
        for ticket, result in results:
            if ticket.future.done():
                continue
            if isinstance(result, RefusedError):
                ticket.future.set_exception(result)
            else:
                ticket.future.set_result(result)

    # The workers' side.

    def _work(self) -> None:
        give_way()
        me = threading.get_ident()
        done: Batch | None = None
        while True:
            with self._wake:
                if done is not None:
                    self._scheduler.finished(self._clock(), done)
                    began, count = self._running.pop(me)
                    self._busy_s += count * (self._clock() - began)
                batch = self._next()
                if batch is None:
                    return
                self._running[me] = (batch.started, self.workers if batch.alone else 1)
                parts = [
                    (self._tickets[part.number], part.rows)
                    for part in batch.parts
                    if part.number in self._tickets
                ]
            try:
                results = self._compute(batch, parts)
            except Exception as error:  # our own: a worker that dies of it would be missed by all
                results = self._give_up(parts, error)
            done = batch
            if results:
                self._post(results)

    def _next(self) -> Batch | None:
        """The next batch; waits for it, with the lock in hand. None: the end."""
        while not self._closed:
            now = self._clock()
            batch, expired, wake_at = self._scheduler.take(now)
            late = [self._tickets.pop(number) for number in expired if number in self._tickets]
            if late:
                reason = RefusedError("deadline", "the answer would not be ready in time")
                self._post([(ticket, reason) for ticket in late])
            if batch is not None:
                if self._scheduler.queued_jobs:
                    # It left rows for the others, who sleep: a job wakes one worker when it comes.
                    self._wake.notify()
                return batch
            self._wake.wait(None if wake_at is None else max(0.0, wake_at - now))
        return None

    def _post(self, results: list[_Result]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, results)
        except RuntimeError:  # the loop is closed: nobody waits any more
            if not self._closed:
                raise

    def _compute(self, batch: Batch, parts: Sequence[tuple[Ticket, range]]) -> list[_Result]:
        """Run a batch; what is complete or has failed with it."""
        for ticket, _ in parts:
            if ticket.started_s is None:
                ticket.started_s = batch.started
        began = self._clock()
        failed: dict[int, RefusedError] = {}
        if parts:
            self._fill(parts, failed, alone=batch.alone)
        seconds = self._clock() - began
        results: list[_Result] = []
        with self._wake:
            for ticket, _ in parts:
                ticket.inference_s += seconds
                # A job has one part in a batch, but may be in the batches of several workers.
                if ticket.number not in self._tickets:
                    continue
                error = failed.get(ticket.number)
                if error is not None:
                    del self._tickets[ticket.number]
                    self._scheduler.cancel(self._clock(), ticket.number)
                    results.append((ticket, error))
                elif all(row is not None for row in ticket.rows):
                    del self._tickets[ticket.number]
                    results.append((ticket, [row for row in ticket.rows if row is not None]))
        if parts:
            hosted = parts[0][0].hosted
            done = BatchDone(hosted=hosted, rows=batch.rows, tokens=batch.tokens, seconds=seconds)
            try:
                self._on_batch(done)
            except Exception:  # whoever only watches takes no answer along
                _log.exception("a batch could not be counted")
        return results

    def _give_up(self, parts: Sequence[tuple[Ticket, range]], error: Exception) -> list[_Result]:
        failure = _failure(error)
        results: list[_Result] = []
        with self._wake:
            for ticket, _ in parts:
                if self._tickets.pop(ticket.number, None) is not None:
                    self._scheduler.cancel(self._clock(), ticket.number)
                    results.append((ticket, failure))
        return results

    def _fill(
        self,
        parts: Sequence[tuple[Ticket, range]],
        failed: dict[int, RefusedError],
        *,
        alone: bool,
    ) -> None:
        """Compute the rows of all parts; what cannot be is noted, and takes no other along."""
        places = [(ticket, row) for ticket, rows in parts for row in rows]
        hosted, output = parts[0][0].hosted, parts[0][0].asked.output
        try:
            self._fill_rows(hosted, output, places, failed, alone=alone)
        except Exception as error:  # whatever a runtime may raise
            if len(places) == 1:
                failed[places[0][0].number] = _failure(error)
                return
            # One row can spoil a batch, and a smaller batch can fit where a large one does not.
            for place in places:
                if place[0].number in failed:
                    continue
                try:
                    self._fill_rows(hosted, output, [place], failed, alone=alone)
                except Exception as own:
                    failed[place[0].number] = _failure(own)

    @staticmethod
    def _fill_rows(
        hosted: Hosted,
        output: Output,
        places: Sequence[tuple[Ticket, int]],
        failed: dict[int, RefusedError],
        *,
        alone: bool,
    ) -> None:
        model = hosted.pipeline.model
        encoded = [ticket.asked.encoded[row] for ticket, row in places]
        rows = together(model, encoded, output, alone=alone)
        for (ticket, place), row in zip(places, rows, strict=True):
            if np.isfinite(row).all():
                ticket.rows[place] = row
            else:
                failed[ticket.number] = RefusedError(
                    "failed", "the model's scores for this input are no finite numbers"
                )


def _refused(refusal: Refusal) -> RefusedError:
    reasons: dict[str, Reason] = {
        "queue_full": "overloaded",
        "too_late": "overloaded",
        "passed": "deadline",
        "never": "too_large",
        "draining": "unavailable",
    }
    return RefusedError(
        reasons[refusal.reason], refusal.message, retry_after_s=refusal.retry_after_s
    )


def _failure(error: Exception) -> RefusedError:
    if isinstance(error, MemoryError | EngineError):
        return RefusedError(
            "unavailable", f"the engine could not compute this: {error}", retry_after_s=1.0
        )
    if isinstance(error, _PLAIN):
        return RefusedError("failed", f"the model could not compute this: {error}")
    _log.error("the model could not compute a batch", exc_info=error)
    return RefusedError("failed", "the model could not compute this; the server's log tells more")
