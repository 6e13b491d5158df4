"""Transactions that are asked for again: one answer for one id, however often it is sent.

Whoever comes while the first is still computed waits for its answer. State is of this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import TTLCache

from limbeck.serve.refused import RefusedError

ValueT = TypeVar("ValueT")


@dataclass(slots=True)
class _Flight(Generic[ValueT]):
    """An answer on its way, and how many wait for it."""

    content: bytes
    task: asyncio.Task[ValueT]
    waiting: int = 0


class Transactions(Generic[ValueT]):
    """Answers by key, kept for a while. Lives in one event loop."""

    def __init__(self, *, entries: int, keep_s: float, clock_s: Callable[[], float]) -> None:
        """Args:
        entries: how many answers are kept; the longest unused goes first. keep_s: how long.
        """
        self._kept: TTLCache[Hashable, tuple[bytes, ValueT]] = TTLCache(
            maxsize=entries, ttl=keep_s, timer=clock_s
        )
        self._flights: dict[Hashable, _Flight[ValueT]] = {}

    async def once(
        self, key: Hashable, content: bytes, compute: Callable[[], Awaitable[ValueT]]
    ) -> ValueT:
        """The answer of `key`: kept, on its way, or computed now. Refusals are not kept.

        Args:
            content: what is asked, or a digest of it; must be the same whenever the key is.

        Raises:
            RefusedError: conflict where the content is another; what compute raises.
        """
        while True:
            kept = self._kept.get(key)
            if kept is not None:
                _check_same(kept[0], content)
                return kept[1]
            flight = self._flights.get(key)
            mine = flight is None
            if flight is None:
                flight = self._start(key, content, compute)
            _check_same(flight.content, content)
            try:
                return await self._wait(flight)
            except RefusedError:
                # Others may have had less time or another share: who only waited tries itself.
                if mine:
                    raise

    def _start(
        self, key: Hashable, content: bytes, compute: Callable[[], Awaitable[ValueT]]
    ) -> _Flight[ValueT]:
        async def fly() -> ValueT:
            try:
                value = await compute()
                self._kept[key] = (content, value)
                return value
            finally:
                del self._flights[key]

        # A task of its own: the first to ask may go away while others still wait.
        flight = _Flight[ValueT](content=content, task=asyncio.ensure_future(fly()))
        self._flights[key] = flight
        return flight

    async def _wait(self, flight: _Flight[ValueT]) -> ValueT:
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            # Nobody is left: no work for clients that have gone.
            if flight.waiting == 0 and not flight.task.done():
                flight.task.cancel()


def _check_same(known: bytes, content: bytes) -> None:
    if known != content:
        raise RefusedError(
            "conflict",
            "this transaction id has been used for other content; ids are for one transaction each",
        )
