"""Timing against a clock of our own and against numpy's statistics."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from limbeck import measure
from limbeck.errors import InputError


class World:
    """A clock that only work and rest move forward, and a diary of both."""

    def __init__(self) -> None:
        self.now = 100.0
        self.diary: list[str] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.diary.append("rest")

    def work(self, name: str, durations: Sequence[float]) -> Callable[[], None]:
        left = iter(durations)

        def call() -> None:
            self.now += next(left)
            self.diary.append(name)

        return call


@pytest.mark.parametrize("count", [1, 2, 3, 10, 101])
def test_percentile_is_numpys(count: int) -> None:
    draw = random.Random(count)
    values = [draw.lognormvariate(0, 1) for _ in range(count)]
    for share in (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0):
        assert measure.percentile(values, share) == pytest.approx(np.quantile(values, share))


def test_percentile_refuses_nothing_and_nonsense() -> None:
    with pytest.raises(InputError, match="at least one"):
        measure.percentile([], 0.5)
    with pytest.raises(InputError, match=r"0 \.\. 1"):
        measure.percentile([1.0], 50)


def test_rounds_are_interleaved_rested_and_rotated() -> None:
    world = World()
    measure.interleave(
        {name: world.work(name, [1.0] * 99) for name in "abc"},
        rounds=3,
        calls_per_block=2,
        clock=world.clock,
        sleep=world.sleep,
    )
    blocks = " ".join(world.diary).split("rest")[1:]
    assert [block.split() for block in blocks] == [[name] * 3 for name in "abcbcacab"]


def test_first_call_of_each_block_does_not_count() -> None:
    world = World()
    cold_then_warm = [9.0, 1.0, 2.0] * 4
    timing = measure.interleave(
        {"a": world.work("a", cold_then_warm)},
        rounds=4,
        calls_per_block=2,
        clock=world.clock,
        sleep=world.sleep,
    )["a"]
    assert [[round(s, 9) for s in block] for block in timing.rounds] == [[1.0, 2.0]] * 4
    kept = measure.interleave(
        {"a": world.work("a", cold_then_warm)},
        rounds=4,
        calls_per_block=3,
        drop_first=False,
        clock=world.clock,
        sleep=world.sleep,
    )["a"]
    assert [[round(s, 9) for s in block] for block in kept.rounds] == [[9.0, 1.0, 2.0]] * 4


def test_rest_is_not_measured() -> None:
    world = World()
    timing = measure.interleave(
        {"a": world.work("a", [0.25] * 9)},
        rounds=3,
        rest_s=50.0,
        clock=world.clock,
        sleep=world.sleep,
    )["a"]
    assert timing.samples == (0.25,) * 3


def test_summary_is_that_of_all_kept_calls() -> None:
    draw = random.Random(7)
    rounds = tuple(tuple(draw.uniform(1, 2) for _ in range(5)) for _ in range(9))
    timing = measure.Timing(rounds=rounds)
    everything = np.array(rounds).ravel() * 1e3
    assert timing.calls == 45
    assert timing.median_ms == timing.p50_ms == pytest.approx(np.median(everything))
    assert timing.p99_ms == pytest.approx(np.quantile(everything, 0.99))
    low, high = np.quantile(everything, [0.25, 0.75])
    assert (timing.low_ms, timing.high_ms) == (pytest.approx(low), pytest.approx(high))
    assert timing.iqr_ms == pytest.approx(high - low)


def test_paired_ratio_survives_a_machine_that_slows_down() -> None:
    # Both contestants get five times slower half way; unpaired medians would still agree, but
    # the spread of the ratio shows that within each round it was always 2.
    slow = measure.Timing(rounds=((2.0,), (2.0,), (10.0,), (10.0,)))
    fast = measure.Timing(rounds=((1.0,), (1.0,), (5.0,), (5.0,)))
    found = measure.ratio(slow, fast)
    assert (found.median, found.low, found.high, found.rounds) == (2.0, 2.0, 2.0, 4)


def test_ratio_is_the_naive_one() -> None:
    draw = random.Random(3)
    one = tuple(tuple(draw.uniform(1, 2) for _ in range(3)) for _ in range(8))
    two = tuple(tuple(draw.uniform(1, 2) for _ in range(3)) for _ in range(8))
    pairs = [np.median(a) / np.median(b) for a, b in zip(one, two, strict=True)]
    found = measure.ratio(measure.Timing(rounds=one), measure.Timing(rounds=two))
    assert found.median == pytest.approx(np.median(pairs))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(pairs, [0.25, 0.75])))
    with pytest.raises(InputError, match="same rounds"):
        measure.ratio(measure.Timing(rounds=one), measure.Timing(rounds=two[:-1]))


def test_calls_may_differ_by_contestant() -> None:
    asked: list[tuple[str, int]] = []

    def block(name: str) -> Callable[[int], list[float]]:
        def run(count: int) -> list[float]:
            asked.append((name, count))
            return [1.0] * count

        return run

    found = measure.interleave_blocks(
        {"a": block("a"), "b": block("b")},
        rounds=1,
        calls={"a": 3, "b": 1},
        sleep=lambda _: None,
    )
    assert asked == [("a", 4), ("b", 2)]
    assert (found["a"].calls, found["b"].calls) == (3, 1)


def test_bad_requests_are_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        measure.interleave({}, rounds=1)
    with pytest.raises(InputError, match="at least one"):
        measure.interleave({"a": lambda: None}, rounds=0)
    with pytest.raises(InputError, match="asked for 2 calls and timed 1"):
        measure.interleave_blocks({"a": lambda _: [1.0]}, rounds=1, sleep=lambda _: None)
