"""The store against a naive one, its bound, its estimate of memory, and memory over time."""

from __future__ import annotations

import gc
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from limbeck.serve.cache import Cache, Hit, Lead
from limbeck.serve.cache.sizes import ENTRY_BYTES, frozen, size_bytes
from limbeck.serve.cache.store import Store

KEYS = st.sampled_from([bytes([number]) * 20 for number in range(8)])


class Naive(RuleBasedStateMachine):
    """A list in the order of use, searched from end to end."""

    @initialize(bound=st.integers(0, 4000), ttl_s=st.none() | st.floats(0.5, 5))
    def begin(self, bound, ttl_s):
        self.store = Store(bound, ttl_s)
        self.bound, self.ttl_s = bound, ttl_s
        self.entries: list[tuple[bytes, str, float]] = []
        self.now = 0.0

    def _size(self):
        return sum(ENTRY_BYTES + len(key) + size_bytes(value) for key, value, _ in self.entries)

    def _fit(self):
        while self._size() > self.bound:
            self.entries.pop(0)

    @rule(by=st.floats(0, 3))
    def wait(self, by):
        self.now += by

    @rule(key=KEYS, length=st.integers(0, 1500))
    def put(self, key, length):
        value = f"{key[0]}" * length
        self.store.put(key, value, length, self.now)
        self.entries = [one for one in self.entries if one[0] != key]
        if ENTRY_BYTES + len(key) + size_bytes(value) <= self.bound:
            self.entries.append((key, value, self.now))
            self._fit()

    @rule(key=KEYS)
    def get(self, key):
        found = self.store.get(key, self.now)
        known = [one for one in self.entries if one[0] == key]
        self.entries = [one for one in self.entries if one[0] != key]
        ttl_s = float("inf") if self.ttl_s is None else self.ttl_s
        if known and self.now < known[0][2] + ttl_s:
            self.entries += known
            assert (found.value, found.tokens) == (known[0][1], len(known[0][1]))
        else:
            assert found is None

    @rule(bound=st.integers(0, 4000))
    def resize(self, bound):
        self.store.resize(bound)
        self.bound = bound
        self._fit()

    @invariant()
    def agrees(self):
        if hasattr(self, "store"):
            assert self.store.size_bytes == self._size() <= self.bound
            assert len(self.store) == len(self.entries)


TestNaive = Naive.TestCase
TestNaive.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def _label(rng, number):
    return {"label": f"label {number % 7}", "score": rng.random()}


def _labels(rng, number):
    return [_label(rng, number + place) for place in range(3)]


def _entities(rng, number):
    return [
        {
            "entity": "B-PER",
            "score": np.float32(rng.random()),
            "index": place + 300,
            "word": f"word{number}{place}",
            "start": number + 300,
            "end": number + 400,
        }
        for place in range(5)
    ]


def _vector(rng, number):
    return frozen(np.full((4, 384), number, dtype=np.float32)[1])


def _nothing(rng, number):
    return []


@pytest.mark.parametrize("make", [_label, _labels, _entities, _vector, _nothing])
def test_the_estimate_is_honest(make):
    rng = random.Random(5)
    count = 3000
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        store = Store(1 << 30, ttl_s=60.0)
        for number in range(count):
            store.put(rng.randbytes(20), make(rng, number), number, float(number))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(store) == count
    assert taken / 2 < store.size_bytes < taken * 2


def test_a_row_of_a_batch_does_not_keep_the_batch():
    batch = np.arange(12, dtype=np.float32).reshape(3, 4)
    row = frozen(batch[1])
    assert row.base is None
    assert not row.flags.writeable
    np.testing.assert_array_equal(row, [4, 5, 6, 7])
    batch[1] = 0  # whoever has the batch may go on with it
    np.testing.assert_array_equal(row, [4, 5, 6, 7])


def test_stored_answers_cannot_be_changed():
    cache = Cache(1 << 20)
    mine = {"label": "a", "parts": [np.ones(3, dtype=np.float32)]}
    claim = cache.claim(b"k", 0.0)
    assert isinstance(claim, Lead)
    claim.done(mine, 1)
    mine["label"] = "b"
    mine["parts"].append(1)
    found = cache.claim(b"k", 0.0)
    assert isinstance(found, Hit)
    assert found.value["label"] == "a"
    assert len(found.value["parts"]) == 1
    with pytest.raises(ValueError, match="read-only"):
        found.value["parts"][0][0] = 2


def test_shrinking_gives_memory_back_and_restoring_the_bound():
    cache = Cache(1 << 20)
    for number in range(1000):
        cache.claim(number.to_bytes(20, "big"), 0.0).done("x" * 100, 1)
    full = cache.stats
    cache.shrink(full.size_bytes // 4)
    small = cache.stats
    assert small.size_bytes <= full.size_bytes // 4
    assert small.evictions == full.entries - small.entries > 0
    assert isinstance(cache.claim((999).to_bytes(20, "big"), 0.0), Hit)  # the last used stays
    assert isinstance(cache.claim((0).to_bytes(20, "big"), 0.0), Lead)
    cache.shrink(1 << 30)  # never grows
    assert cache.stats.bound_bytes == full.size_bytes // 4
    cache.shrink(-1)
    assert (cache.stats.bound_bytes, cache.stats.entries) == (0, 0)
    cache.restore()
    assert cache.stats.bound_bytes == 1 << 20


def test_nothing_is_stored_without_room():
    cache = Cache(0)
    cache.claim(b"k", 0.0).done("v", 1)
    assert isinstance(cache.claim(b"k", 0.0), Lead)
    assert cache.stats.size_bytes == 0


def test_what_is_larger_than_the_bound_pushes_nothing_out():
    store = Store(1000)
    store.put(b"small", "x", 1, 0.0)
    store.put(b"large", "x" * 1000, 1, 0.0)
    assert store.get(b"small", 0.0) is not None
    assert store.get(b"large", 0.0) is None


@given(st.lists(st.integers(0, 30), max_size=60))
def test_a_key_has_its_own_value(order):
    store = Store(5000)
    for number in order:
        key = number.to_bytes(20, "big")
        found = store.get(key, 0.0)
        assert found is None or (found.value, found.tokens) == (f"value of {number}", number)
        store.put(key, f"value of {number}", number, 0.0)


def test_memory_stays_flat():
    rng = random.Random(3)
    cache = Cache(200_000, ttl_s=50.0)
    taken = []
    tracemalloc.start()
    try:
        for step in range(200_000):
            key = rng.randrange(5000).to_bytes(20, "big")
            claim = cache.claim(key, step / 100)
            if isinstance(claim, Lead):
                if rng.random() < 0.1:
                    claim.failed()
                else:
                    claim.done({"label": "x" * rng.randrange(60), "score": rng.random()}, 3)
            if step % 20_000 == 19_999:
                taken.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    slope = np.polyfit(range(1, len(taken)), taken[1:], 1)[0]  # bytes in 20,000 operations
    assert slope < 5000
    assert max(taken) < 2 * 200_000
    stats = cache.stats
    assert stats.hits + stats.misses == 200_000
    assert stats.evictions > 0
    assert stats.in_flight == 0
