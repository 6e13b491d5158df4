"""Rows on their way: the first who asks computes, the others wait for what comes.

The two sides are independent. A waiter that is cancelled leaves the leader alone; a leader that is
refused, cancelled or fails wakes its waiters with nothing, and they claim again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

from limbeck.serve.cache.sizes import frozen


class Lead:
    """The claim of whoever computes a row. It ends in `done`, or else in `failed`:

        with claim:
            ...
            claim.done(value, tokens)

    Leaving the block without `done`, in whatever way, is `failed`.
    """

    __slots__ = ("_ended", "_outcome", "_over", "_waiting", "by_s")

    def __init__(self, by_s: float, ended: Callable[[Lead, Any, int | None], None]) -> None:
        self.by_s = by_s
        self._ended = ended
        self._over = False
        self._outcome: tuple[Any, int] | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def done(self, value: Any, tokens: int) -> None:
        """The answer: it goes to all that wait, and is stored."""
        assert not self._over, "a row is answered once"
        value = frozen(value)
        self._outcome = value, tokens
        self._end(value, tokens)

    def failed(self) -> None:
        """No answer: those who wait claim again. Without effect after `done`."""
        if not self._over:
            self._end(None, None)

    def _end(self, value: Any, tokens: int | None) -> None:
        self._over = True
        self._ended(self, value, tokens)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():  # a waiter that was cancelled in this turn of the loop
                one.set_result(None)

    async def outcome(self) -> tuple[Any, int] | None:
        """For `Wait`: what became of it."""
        if not self._over:
            # A future for each waiter: cancelling a task cancels the future that it waits for.
            mine = asyncio.get_running_loop().create_future()
            self._waiting.append(mine)
            try:
                await mine
            except asyncio.CancelledError:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                raise
        return self._outcome

    def __enter__(self) -> Lead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.failed()


class Wait:
    """The claim of whoever waits for a row that another request computes."""

    __slots__ = ("_lead",)

    def __init__(self, lead: Lead) -> None:
        self._lead = lead

    async def result(self) -> tuple[Any, int] | None:
        """(value, tokens), or None where the leader failed: claim again."""
        return await self._lead.outcome()
