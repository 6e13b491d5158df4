"""Interleaved timing: contestants take turns, so that a slow minute of the machine hits them all.

One round gives every contestant one block of calls, after a rest in which the threads of the one
before fall asleep. The first call of a block, which pays for cold caches and sleeping threads, is
dropped. Each round begins with another contestant. Ratios are taken within a round and only then
summarised: the two figures of a pair were measured within moments of each other.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from limbeck.errors import InputError

# Runs a block of n calls and returns the seconds that each call took.
Block = Callable[[int], Sequence[float]]
_AS_FAST = 1.05


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 .. 1) of the values lie, linear between neighbours.

    Raises:
        InputError: no values, or a share outside 0 .. 1.
    """
    if not values:
        raise InputError("a percentile needs at least one value")
    if not 0 <= share <= 1:
        raise InputError(f"a percentile's share must be in 0 .. 1, found {share!r}")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds per call, by round: `rounds[r]` holds the kept calls of round r."""

    rounds: tuple[tuple[float, ...], ...]

    @property
    def samples(self) -> tuple[float, ...]:
        return tuple(value for block in self.rounds for value in block)

    @property
    def calls(self) -> int:
        return len(self.samples)

    @property
    def median_ms(self) -> float:
        return percentile(self.samples, 0.5) * 1e3

    @property
    def p50_ms(self) -> float:
        return self.median_ms

    @property
    def p99_ms(self) -> float:
        """With fewer than 100 calls this lies between the two slowest: read it as such."""
        return percentile(self.samples, 0.99) * 1e3

    @property
    def low_ms(self) -> float:
        """First quartile."""
        return percentile(self.samples, 0.25) * 1e3

    @property
    def high_ms(self) -> float:
        """Third quartile."""
        return percentile(self.samples, 0.75) * 1e3

    @property
    def iqr_ms(self) -> float:
        return self.high_ms - self.low_ms

    @property
    def round_medians(self) -> tuple[float, ...]:
        return tuple(statistics.median(block) for block in self.rounds)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times faster: median over rounds, with the quartiles of the rounds' ratios."""

    median: float
    low: float
    high: float
    rounds: int


def ratio(slower: Timing, faster: Timing) -> Ratio:
    """`slower` over `faster`, paired by round.

    Raises:
        InputError: the two were not measured in the same rounds.
    """
    if len(slower.rounds) != len(faster.rounds):
        raise InputError(
            f"ratios need the same rounds on both sides, "
            f"found {len(slower.rounds)} and {len(faster.rounds)}"
        )
    pairs = [a / b for a, b in zip(slower.round_medians, faster.round_medians, strict=True)]
    return Ratio(
        median=percentile(pairs, 0.5),
        low=percentile(pairs, 0.25),
        high=percentile(pairs, 0.75),
        rounds=len(pairs),
    )


def is_as_fast(ms: float, other_ms: float) -> bool:
    """Whether something of so many milliseconds is as fast as another one, or faster: times that
    lie no further apart than a twentieth are the same."""
    return ms <= _AS_FAST * other_ms


def interleave_blocks(
    blocks: Mapping[str, Block],
    *,
    rounds: int,
    calls: int | Mapping[str, int] = 1,
    rest_s: float = 0.05,
    drop_first: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Timing]:
    """Let contestants that time themselves (a process behind a pipe, say) take turns.

    Args:
        blocks: name -> block of calls.
        rounds: how many turns each gets.
        calls: calls that count in each block, one number or one a contestant; with `drop_first`
            one more is made.
        rest_s: seconds of quiet before every block.
        drop_first: leave the first call of each block out.
        sleep: how to rest; tests pass their own.

    Raises:
        InputError: nothing to measure, no rounds, no calls, or a block that returned another
            number of timings than it was asked for.
    """
    names = list(blocks)
    wanted = {name: calls if isinstance(calls, int) else calls[name] for name in names}
    if not names or rounds < 1 or min(wanted.values()) < 1:
        raise InputError("timing needs at least one contestant, one round and one call")
    kept: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            sleep(rest_s)
            asked = wanted[name] + drop_first
            seconds = tuple(blocks[name](asked))
            if len(seconds) != asked:
                raise InputError(f"{name} was asked for {asked} calls and timed {len(seconds)}")
            kept[name].append(seconds[1:] if drop_first else seconds)
    return {name: Timing(rounds=tuple(kept[name])) for name in names}


def _stopwatch(call: Callable[[], object], clock: Callable[[], float]) -> Block:
    def block(count: int) -> list[float]:
        seconds = []
        for _ in range(count):
            start = clock()
            call()
            seconds.append(clock() - start)
        return seconds

    return block


def interleave(
    calls: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    calls_per_block: int = 1,
    rest_s: float = 0.05,
    drop_first: bool = True,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Timing]:
    """Time callables of this process in turns; arguments and errors as in `interleave_blocks`."""
    return interleave_blocks(
        {name: _stopwatch(call, clock) for name, call in calls.items()},
        rounds=rounds,
        calls=calls_per_block,
        rest_s=rest_s,
        drop_first=drop_first,
        sleep=sleep,
    )
