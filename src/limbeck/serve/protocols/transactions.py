"""Transactions that are asked for again: one answer for one id, however often it is sent.

Whoever comes while the first is still computed waits for its answer. State is of this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from cachetools import TTLCache

from limbeck.serve.refused import RefusedError

ValueT = TypeVar("ValueT")


@dataclass(slots=True, eq=False)
class _Flight(Generic[ValueT]):
    """An answer on its way, and how many wait for it."""

    task: asyncio.Task[ValueT]
    waiting: int = 0


@dataclass(slots=True, eq=False)
class _Transaction(Generic[ValueT]):
    """content: what it is about. answers, flights: by the way in which they were asked for."""

    content: bytes
    answers: dict[str, ValueT] = field(default_factory=dict)
    flights: dict[str, _Flight[ValueT]] = field(default_factory=dict)


class Transactions(Generic[ValueT]):
    """Answers by key, kept for a while. Lives in one event loop."""

    def __init__(self, *, entries: int, keep_s: float, clock_s: Callable[[], float]) -> None:
        """Args: entries: how many answered transactions are kept; keep_s: how long."""
        self._kept: TTLCache[Hashable, _Transaction[ValueT]] = TTLCache(
            maxsize=entries, ttl=keep_s, timer=clock_s
        )
        # With a flight; bounded by the requests that are let in.
        self._open: dict[Hashable, _Transaction[ValueT]] = {}

    async def once(
        self,
        key: Hashable,
        content: bytes,
        way: str,
        compute: Callable[[], Coroutine[Any, Any, ValueT]],
        *,
        wait_s: float,
    ) -> ValueT:
        """The answer of `key`: kept, on its way, or computed now. Refusals are not kept.

        Args:
            content: what is asked, or a digest of it: the same whenever the key is.
            way: what of it is asked; each has its own answer.
            wait_s: how long to wait for somebody else's computing.

        Raises:
            RefusedError: conflict where the content is another; deadline; what compute raises.
        """
        while True:
            known = self._open.get(key) or self._kept.get(key) or _Transaction(content)
            if known.content != content:
                raise RefusedError(
                    "conflict",
                    "this transaction id has been used for other content; ids are for one "
                    "transaction each",
                )
            if way in known.answers:
                return known.answers[way]
            flight = known.flights.get(way)
            if flight is None:
                return await self._wait(self._start(key, known, way, compute), key, known, way)
            try:
                async with asyncio.timeout(max(0.0, wait_s)) as limit:
                    return await self._wait(flight, key, known, way)
            except TimeoutError:
                if not limit.expired():
                    raise
                raise RefusedError("deadline", "the answer was not ready in time") from None
            except RefusedError:
                # The first may have had less time, or no share left: now it is our turn.
                continue

    def _start(
        self,
        key: Hashable,
        known: _Transaction[ValueT],
        way: str,
        compute: Callable[[], Coroutine[Any, Any, ValueT]],
    ) -> _Flight[ValueT]:
        async def fly() -> ValueT:
            try:
                value = await compute()
            except BaseException:
                self._land(key, known, way, flight)
                raise
            known.answers[way] = value
            self._kept[key] = known
            self._land(key, known, way, flight)
            return value

        # A task of its own: the first to ask may go away while others still wait.
        flight = _Flight(asyncio.create_task(fly()))
        known.flights[way] = flight
        self._open[key] = known
        # Nobody may be left to fetch what it raised.
        flight.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return flight

    def _land(
        self, key: Hashable, known: _Transaction[ValueT], way: str, flight: _Flight[ValueT]
    ) -> None:
        if known.flights.get(way) is flight:
            del known.flights[way]
        if not known.flights and self._open.get(key) is known:
            del self._open[key]

    async def _wait(
        self, flight: _Flight[ValueT], key: Hashable, known: _Transaction[ValueT], way: str
    ) -> ValueT:
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                # No work for clients that have gone. Whoever comes from now on starts anew.
                self._land(key, known, way, flight)
                flight.task.cancel()
