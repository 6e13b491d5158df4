"""One answer for one id: kept, joined while it is on its way, refused for other content."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from limbeck.serve.protocols.transactions import Transactions
from limbeck.serve.refused import RefusedError


class Work:
    """Computes when it is let; counts how often, and how often it was taken back."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = self.cancelled = 0
        self.fails: list[Exception] = []

    async def __call__(self) -> int:
        self.begun += 1
        mine = self.begun
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fails:
            raise self.fails.pop(0)
        return mine


Once = Callable[..., Awaitable[int]]
tables: list[Transactions[int]] = []


def run(body: Callable[[Work, Once, list[float]], Awaitable[None]]) -> None:
    async def whole() -> None:
        now = [0.0]
        work = Work()
        table: Transactions[int] = Transactions(entries=2, keep_s=10, clock_s=lambda: now[0])
        tables.append(table)

        def once(key: Any = "k", content: bytes = b"c", way: str = "w", **fields: Any) -> Any:
            return table.once(key, content, way, work, **{"wait_s": 30.0, **fields})

        await body(work, once, now)
        assert not table._open

    asyncio.run(whole())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_kept_for_a_while_and_not_for_ever() -> None:
    async def body(work: Work, once: Once, now: list[float]) -> None:
        work.gate.set()
        assert await once() == 1
        assert await once() == 1
        assert await once(way="another") == 2
        assert await once() == 1
        now[0] = 9.9
        assert await once() == 1
        now[0] = 30
        assert await once() == 3
        assert await once("k2") == 4
        assert await once("k3") == 5
        assert await once("k3") == 5
        assert await once() == 6  # the oldest has gone

    run(body)


def test_duplicates_join_the_first() -> None:
    async def body(work: Work, once: Once, now: list[float]) -> None:
        calls = [asyncio.ensure_future(once()) for _ in range(5)]
        await settle()
        assert work.begun == 1
        [flight] = tables[-1]._open["k"].flights.values()
        assert flight.waiting == 5
        work.gate.set()
        assert await asyncio.gather(*calls) == [1] * 5

    run(body)


def test_other_content_is_a_conflict_before_and_after() -> None:
    async def body(work: Work, once: Once, now: list[float]) -> None:
        first = asyncio.ensure_future(once())
        await settle()
        for _ in range(2):
            for way in ("w", "another"):
                with pytest.raises(RefusedError) as caught:
                    await once(content=b"other", way=way)
                assert caught.value.reason == "conflict"
            work.gate.set()
            assert await first == 1
        assert await once("k2", b"other") == 2

    run(body)


def test_the_first_may_go_while_others_wait() -> None:
    async def body(work: Work, once: Once, now: list[float]) -> None:
        first, second = (asyncio.ensure_future(once()) for _ in range(2))
        await settle()
        first.cancel()
        await settle()
        assert first.cancelled()
        work.gate.set()
        assert await second == 1
        assert (work.begun, work.cancelled) == (1, 0)

    run(body)


def test_nothing_is_computed_for_nobody() -> None:
    async def body(work: Work, once: Once, now: list[float]) -> None:
        calls = [asyncio.ensure_future(once()) for _ in range(3)]
        await settle()
        for call in calls:
            call.cancel()
        # Who comes before the old one has ended begins anew.
        late = asyncio.ensure_future(once())
        await settle()
        assert (work.begun, work.cancelled) == (2, 1)
        work.gate.set()
        assert await late == 2

    run(body)


def test_cancelled_before_it_has_begun() -> None:
    async def body(work: Work, once: Once, now: list[float]) -> None:
        call = asyncio.ensure_future(once())
        await asyncio.sleep(0)
        call.cancel()
        await settle()
        work.gate.set()
        assert await once() >= 1

    run(body)


def test_a_refusal_is_not_kept_and_is_not_for_those_who_only_waited() -> None:
    async def body(work: Work, once: Once, now: list[float]) -> None:
        work.fails = [RefusedError("deadline", "too late")]
        calls = [asyncio.ensure_future(once()) for _ in range(3)]
        await settle()
        work.gate.set()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(found[0], RefusedError)
        assert found[1:] == [2, 2]

    run(body)


def test_every_one_is_refused_by_its_own_try() -> None:
    async def body(work: Work, once: Once, now: list[float]) -> None:
        work.gate.set()
        work.fails = [RefusedError("overloaded", "later") for _ in range(3)]
        found = await asyncio.gather(*(once() for _ in range(3)), return_exceptions=True)
        assert [one.reason for one in found] == ["overloaded"] * 3
        assert work.begun == 3
        assert await once() == 4

    run(body)


def test_bugs_reach_everybody() -> None:
    async def body(work: Work, once: Once, now: list[float]) -> None:
        work.fails = [ZeroDivisionError()]
        calls = [asyncio.ensure_future(once()) for _ in range(2)]
        await settle()
        work.gate.set()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one) for one in found] == [ZeroDivisionError] * 2

    run(body)


def test_who_waits_has_a_deadline_of_its_own() -> None:
    async def body(work: Work, once: Once, now: list[float]) -> None:
        first = asyncio.ensure_future(once())
        await settle()
        with pytest.raises(RefusedError) as caught:
            await once(wait_s=0.01)
        assert caught.value.reason == "deadline"
        assert work.cancelled == 0
        work.gate.set()
        assert await first == 1

    run(body)
