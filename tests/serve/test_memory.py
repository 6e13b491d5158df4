"""The memory guard: mild steps first, never too often, and nothing while all is well."""

from __future__ import annotations

import asyncio
import mmap
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from limbeck.serve.memory import (
    CALM,
    Decision,
    Guard,
    container_limit_bytes,
    own_bytes,
    resident_bytes,
    soft_limit_bytes,
    trim_allocator,
)
from waiting import comes

LIMIT = 1_000_000


def actions(decision: Decision, memory: list[int], cache_bytes: int = 1000) -> list[Any]:
    return [decision.next(5.0 * i, size, cache_bytes) for i, size in enumerate(memory)]


def test_nothing_happens_below_the_limit() -> None:
    assert actions(Decision(LIMIT), [0, LIMIT // 2, LIMIT]) == [None] * 3


def test_the_mildest_step_comes_first() -> None:
    decision = Decision(LIMIT)
    assert actions(decision, [LIMIT + 1] * 3) == ["shrink_cache", "trim", "reload"]


def test_an_empty_cache_is_not_shrunk() -> None:
    decision = Decision(LIMIT)
    assert actions(decision, [LIMIT + 1] * 2, cache_bytes=0) == ["trim", "reload"]


def test_what_helped_is_enough() -> None:
    decision = Decision(LIMIT)
    between = int(LIMIT * (CALM + 1) / 2)
    calm = int(LIMIT * CALM)
    assert actions(decision, [LIMIT + 1, between, between, calm, calm]) == [
        "shrink_cache",
        None,
        None,
        "restore_cache",
        None,
    ]


def test_memory_that_hovers_at_the_limit_goes_on_where_it_was() -> None:
    decision = Decision(LIMIT)
    hovering = [LIMIT + 1, LIMIT - 1, LIMIT + 1, LIMIT - 1, LIMIT + 1]
    assert actions(decision, hovering) == ["shrink_cache", None, "trim", None, "reload"]


def test_models_are_loaded_anew_once_in_a_while_at_most() -> None:
    decision = Decision(LIMIT, reload_every_s=600)
    luck = random.Random(3)
    reloads = []
    for step in range(20_000):
        now_s = 5.0 * step
        memory = luck.choice([LIMIT * 2, LIMIT * 2, LIMIT * 2, LIMIT - 1, 0])
        if decision.next(now_s, memory, 1000) == "reload":
            reloads.append(now_s)
    assert len(reloads) > 10
    assert min(b - a for a, b in pairwise(reloads)) >= 600


def test_how_small_the_cache_is_to_be() -> None:
    decision = Decision(LIMIT)
    assert decision.cache_target_bytes(LIMIT + 1, 800_000) == 400_000
    assert decision.cache_target_bytes(LIMIT + 400_000, 800_000) == 250_000
    assert decision.cache_target_bytes(LIMIT * 9, 800_000) == 0


class FakeCache:
    """A cache that has a size."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.restored = 0

    def shrink(self, to_bytes: int) -> None:
        self.size_bytes = to_bytes

    def restore(self) -> None:
        self.restored += 1


class Process:
    """Memory made of what is cached, what the allocator keeps, and what models leaked."""

    def __init__(self) -> None:
        self.cache = FakeCache(200_000)
        self.kept = 100_000
        self.leaked = 0
        self.trims = self.reloads = 0
        self.fails = False
        self.told: list[str] = []

    def memory(self) -> int:
        return 500_000 + self.cache.size_bytes + self.kept + self.leaked

    def trim(self) -> None:
        self.trims += 1
        self.kept = 0

    async def reload(self) -> None:
        self.reloads += 1
        if self.fails:
            raise RuntimeError("no such file")
        self.leaked = 0

    def guard(self, **changes: Any) -> Guard:
        values: dict[str, Any] = {
            "check_s": 0.001,
            "cache": self.cache,
            "reload": self.reload,
            "on_action": self.told.append,
            "memory": self.memory,
            "trim": self.trim,
        }
        return Guard(LIMIT, **(values | changes))


def test_each_step_is_taken_and_told() -> None:
    process = Process()
    process.leaked = 600_000

    async def run() -> list[Any]:
        guard = process.guard()
        return [await guard.look() for _ in range(5)]

    assert asyncio.run(run()) == ["shrink_cache", "trim", "reload", "restore_cache", None]
    assert process.told == ["shrink_cache", "trim", "reload"]
    assert process.cache.restored == 1
    assert process.memory() < LIMIT


def test_a_reload_that_fails_is_not_the_end_of_the_guard() -> None:
    process = Process()
    process.leaked, process.fails = 10_000_000, True

    async def run() -> None:
        task = asyncio.create_task(process.guard(reload_every_s=0.0).run())
        await comes(lambda: process.reloads >= 3, "three reloads")
        assert not task.done()
        task.cancel()

    asyncio.run(run())


def test_mapped_files_are_nobodys_own_memory(tmp_path: Path) -> None:
    file = tmp_path / "vectors"
    file.write_bytes(b"x" * (64 << 20))
    resident, own = resident_bytes(), own_bytes()
    assert 1 << 20 < own < resident
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) > 0
        assert resident_bytes() > resident + (32 << 20)
        assert own_bytes() < own + (32 << 20)
    block = bytearray(b"x" * (64 << 20))
    assert own_bytes() > own + (32 << 20)
    del block


def test_the_process_has_memory() -> None:
    before = resident_bytes()
    assert before > 1 << 20
    block = bytearray(b"x" * (64 << 20))
    assert resident_bytes() > before + (32 << 20)
    del block
    trim_allocator()
    assert resident_bytes() < before + (32 << 20)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, None),
        ({"a/b": "max", "a": "max"}, None),
        ({"a/b": "1000", "a": "max"}, 1000),
        ({"a/b": "1000", "a": "500"}, 500),
        ({"a/b": "nonsense", "a": ""}, None),
    ],
)
def test_limits_of_containers(tmp_path: Path, limits: dict[str, str], expected: int | None) -> None:
    for place, text in limits.items():
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "memory.max").write_text(text + "\n")
    assert container_limit_bytes(tmp_path, "/a/b") == expected


def test_the_limit_at_the_root_of_a_container(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("2000\n")
    assert container_limit_bytes(tmp_path, "/") == 2000
    assert container_limit_bytes(tmp_path, "/../../elsewhere") == 2000


def test_the_soft_limit() -> None:
    assert soft_limit_bytes(None, None) is None
    assert soft_limit_bytes(123, 1000) == 123
    assert soft_limit_bytes(None, 1000) == 900
    assert soft_limit_bytes(None, 1000, processes=2) == 450
