"""Rows in flight: computed once, whoever is cancelled, refused or fails."""

from __future__ import annotations

import asyncio
import random

import pytest

from limbeck.serve.cache import Cache, Hit, Lead, Wait

KEY = b"k" * 20


class _RefusedError(Exception):
    pass


async def _answer(cache, key, compute, rounds=None):
    """What the service does for one row."""
    while True:
        claim = cache.claim(key, 0.0)
        if rounds is not None:
            rounds.append(type(claim))
        if isinstance(claim, Hit):
            return claim.value
        if isinstance(claim, Wait):
            found = await claim.result()
            if found is not None:
                return found[0]
            continue
        with claim:
            value = await compute(key)
            claim.done(value, 7)
            return value


@pytest.mark.parametrize("size_bytes", [0, 1 << 20])
def test_a_stampede_computes_once(size_bytes):
    computed = []

    async def compute(key):
        computed.append(key)
        await asyncio.sleep(0.01)
        return "value"

    async def main():
        cache = Cache(size_bytes)
        found = await asyncio.gather(*(_answer(cache, KEY, compute) for _ in range(1000)))
        assert found == ["value"] * 1000
        stats = cache.stats
        assert (stats.misses, stats.joined, stats.in_flight) == (1, 999, 0)

    asyncio.run(main())
    assert len(computed) == 1


def test_a_cancelled_waiter_leaves_the_leader_alone():
    async def main():
        cache, go = Cache(1 << 20), asyncio.Event()

        async def compute(key):
            await go.wait()
            return "value"

        leader = asyncio.create_task(_answer(cache, KEY, compute))
        await asyncio.sleep(0)
        waiters = [asyncio.create_task(_answer(cache, KEY, compute)) for _ in range(4)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        waiters[2].cancel()
        await asyncio.sleep(0)
        go.set()
        waiters[3].cancel()  # cancelled in the very turn in which the answer comes
        found = await asyncio.gather(leader, *waiters, return_exceptions=True)
        assert [isinstance(it, asyncio.CancelledError) for it in found] == [
            False, True, False, True, True,
        ]  # fmt: skip
        assert found[0] == found[2] == "value"

    asyncio.run(main())


@pytest.mark.parametrize("end", ["cancel", "raise", "failed"])
def test_a_leader_that_fails_hands_over(end):
    async def main():
        cache, computed = Cache(1 << 20), []

        async def compute(key):
            computed.append(key)
            if len(computed) == 1:
                await asyncio.sleep(0.01)
                if end == "cancel":
                    await asyncio.sleep(60)
                raise _RefusedError
            await asyncio.sleep(0.01)
            return "value"

        async def lead():
            if end != "failed":
                return await _answer(cache, KEY, compute)
            claim = cache.claim(KEY, 0.0)
            with pytest.raises(_RefusedError):
                await compute(KEY)
            claim.failed()
            claim.failed()  # without effect
            raise _RefusedError

        leader = asyncio.create_task(lead())
        await asyncio.sleep(0)
        rounds: list[type] = []
        waiters = [asyncio.create_task(_answer(cache, KEY, compute, rounds)) for _ in range(5)]
        await asyncio.sleep(0.02)
        leader.cancel()
        assert await asyncio.gather(*waiters) == ["value"] * 5
        (failed,) = await asyncio.gather(leader, return_exceptions=True)
        assert isinstance(failed, asyncio.CancelledError | _RefusedError)
        assert len(computed) == 2  # one of the waiters, for all of them
        assert rounds.count(Lead) == 1
        assert cache.stats.in_flight == 0

    asyncio.run(main())


def test_failures_are_not_stored():
    cache = Cache(1 << 20)
    with pytest.raises(_RefusedError), cache.claim(KEY, 0.0):
        raise _RefusedError
    assert cache.stats.entries == 0
    assert isinstance(cache.claim(KEY, 0.0), Lead)


def test_result_asked_for_after_the_end():
    async def main():
        cache = Cache(0)
        lead, wait = cache.claim(KEY, 0.0), cache.claim(KEY, 0.0)
        lead.done("value", 3)
        assert await wait.result() == ("value", 3)
        lead, wait = cache.claim(KEY, 0.0), cache.claim(KEY, 0.0)
        lead.failed()
        assert await wait.result() is None

    asyncio.run(main())


def test_who_needs_it_sooner_does_not_wait():
    async def main():
        cache = Cache(1 << 20)
        slow = cache.claim(KEY, 0.0, by_s=100.0)
        patient = cache.claim(KEY, 0.0, by_s=200.0)
        quick = cache.claim(KEY, 0.0, by_s=1.0)
        follows = cache.claim(KEY, 0.0, by_s=50.0)
        assert [type(it) for it in (slow, patient, quick, follows)] == [Lead, Wait, Lead, Wait]
        quick.done("quick", 1)
        assert await follows.result() == ("quick", 1)
        slow.done("slow", 1)
        assert await patient.result() == ("slow", 1)
        assert cache.stats.in_flight == 0
        # One that is overtaken and ends first does not end the other.
        first, second = cache.claim(b"n", 0.0, by_s=9.0), cache.claim(b"n", 0.0, by_s=1.0)
        first.failed()
        assert isinstance(cache.claim(b"n", 0.0, by_s=9.0), Wait)
        second.failed()
        assert isinstance(cache.claim(b"n", 0.0, by_s=9.0), Lead)

    asyncio.run(main())


def test_age_counts_from_the_claim():
    cache = Cache(1 << 20, ttl_s=10.0)
    cache.claim(KEY, 5.0).done("value", 1)
    assert isinstance(cache.claim(KEY, 14.9), Hit)
    assert isinstance(cache.claim(KEY, 15.0), Lead)


@pytest.mark.parametrize("seed", range(5))
def test_everybody_gets_the_own_answer_whatever_happens(seed):
    rng = random.Random(seed)

    async def main():
        cache = Cache(rng.choice([0, 900, 1 << 20]))

        async def compute(key):
            await asyncio.sleep(rng.random() * 0.002)
            if rng.random() < 0.2:
                raise _RefusedError
            return b"value of " + key

        async def one(number):
            key = bytes([rng.randrange(12)]) * 20
            await asyncio.sleep(rng.random() * 0.02)
            return key, await _answer(cache, key, compute)

        tasks = [asyncio.create_task(one(number)) for number in range(600)]
        for task in rng.sample(tasks, 100):
            asyncio.get_running_loop().call_later(rng.random() * 0.02, task.cancel)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        answers = [it for it in found if isinstance(it, tuple)]
        assert all(value == b"value of " + key for key, value in answers)
        others = [it for it in found if not isinstance(it, tuple)]
        assert all(isinstance(it, _RefusedError | asyncio.CancelledError) for it in others)
        assert answers
        assert cache.stats.in_flight == 0

    asyncio.run(asyncio.wait_for(main(), 120))
