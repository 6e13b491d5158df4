"""Texts of unequal length: whoever pads works for nothing, so each peer pads as suits it best.

Only the lengths of the texts are used; token ids are random, and nothing of a text is kept.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from limbeck import measure
from limbeck.bench.compare import Running
from limbeck.bench.contestants import Contestant
from limbeck.bench.models import token_ids
from limbeck.bench.protocol import Rows
from limbeck.bench.workloads import Batch
from limbeck.errors import InputError

# "as given": batches are filled in order of arrival. "sorted": the whole set may be sorted first.
# "uniform": as many rows, all of the mean length; what mixed lengths are held against.
Order = Literal["as given", "sorted", "uniform"]
ORDERS: tuple[Order, ...] = get_args(Order)
Strategy = Literal["whole batches", "one by one", "fours", "fours in buckets", "ones in buckets"]
# Lengths to which bucketed rows are padded, for graphs compiled for one shape.
BUCKETS = (16, 32, 64, 96, 128, 192, 256, 384, 512)
_FOUR = 4


def text_lengths(
    texts: Path, tokenizer: Path, *, count: int, max_tokens: int, seed: int = 0
) -> list[int]:
    """Lengths in tokens of `count` texts drawn from a file, in the file's order, cut at max_tokens.

    Raises:
        InputError: the file cannot be read, or has fewer texts.
        ModelError: no tokenizer file.
    """
    from limbeck.data import read_rows
    from limbeck.text import Tokenizer

    everything = [row.text for row in read_rows(texts)]
    if len(everything) < count:
        raise InputError(f"{texts} has {len(everything)} texts; {count} were asked for")
    drawn = sorted(random.Random(seed).sample(range(len(everything)), count))
    encoded = Tokenizer.from_file(tokenizer).encode(
        [everything[number] for number in drawn], max_tokens=max_tokens
    )
    return [len(each.ids) for each in encoded]


def rows_of(lengths: Sequence[int], order: Order, *, vocab: int) -> Rows:
    """Random token ids of those lengths, in that order."""
    if order == "uniform":
        mean = round(sum(lengths) / len(lengths))
        lengths = [mean] * len(lengths)
    if order == "sorted":
        lengths = sorted(lengths)
    full = token_ids(len(lengths), max(lengths), vocab=vocab)
    return [row[:length] for row, length in zip(full, lengths, strict=True)]


def strategies(contestant: Contestant) -> tuple[Strategy, ...]:
    """The ways of padding that make sense for it; the best one counts."""
    if contestant.packs:
        return ("whole batches",)
    if contestant.static:
        return ("ones in buckets", "fours in buckets")
    if contestant.runtime == "openvino":
        return ("whole batches", "one by one", "fours", "fours in buckets")
    return ("whole batches", "one by one", "fours")


def _bucket(length: int) -> int:
    return next((size for size in BUCKETS if size >= length), length)


def batches(rows: Rows, strategy: Strategy, *, batch: int) -> list[Batch]:
    """Rows that arrive `batch` at a time, cut into calls; every row is in exactly one."""

    def chunks(values: Rows, size: int) -> Iterator[Rows]:
        for start in range(0, len(values), size):
            yield values[start : start + size]

    uniform = len({len(row) for row in rows}) == 1
    made = []
    for arrived in chunks(rows, batch):
        if strategy == "whole batches":
            made.append(Batch(ids=arrived, static=uniform))
            continue
        size = _FOUR if strategy.startswith("fours") else 1
        bucketed = strategy.endswith("buckets")
        for group in chunks(sorted(arrived, key=len), size):
            longest = max(map(len, group))
            made.append(
                Batch(ids=group, pad_to=_bucket(longest) if bucketed else None, static=bucketed)
            )
    return made


def best_strategy(running: Running, rows: Rows, *, batch: int, key: str) -> tuple[Strategy, str]:
    """The fastest way of padding, each tried once warm, and the key of its prepared work."""
    ways = strategies(running.entry.contestant)
    seconds = {}
    for way in ways if len(ways) > 1 else ():
        cut = batches(rows, way, batch=batch)
        # Only one way's graphs at a time: compiled shapes take memory.
        seconds[way] = running.worker.time_batches(f"{key} {way}", cut, "logits", calls=2)[-1]
        running.worker.forget()
    best = min(seconds, key=lambda way: seconds[way]) if seconds else ways[0]
    return best, f"{key} {best}"


def time_order(
    everybody: Sequence[Running],
    lengths: Sequence[int],
    order: Order,
    *,
    vocab: int,
    batch: int,
    rounds: int,
    rest: measure.Rest,
) -> tuple[dict[str, measure.Timing], dict[str, Strategy], int]:
    """Interleaved timings of the whole set, each in its best way; the ways; tokens in all.

    A call runs the whole set, so that its first batch alone is cold: no call is dropped, and one
    is made beforehand.
    """
    rows = rows_of(lengths, order, vocab=vocab)
    ways: dict[str, Strategy] = {}
    blocks: dict[str, measure.Block] = {}
    for each in everybody:
        way, key = best_strategy(each, rows, batch=batch, key=order)
        ways[each.entry.subject] = way
        cut = batches(rows, way, batch=batch)

        def block(
            count: int, each: Running = each, key: str = key, cut: Sequence[Batch] = cut
        ) -> list[float]:
            return each.worker.time_batches(key, cut, "logits", calls=count)

        block(1)
        blocks[each.entry.subject] = block
    timings = measure.interleave_blocks(blocks, rounds=rounds, drop_first=False, sleep=rest)
    for each in everybody:
        each.worker.forget()
    return timings, ways, sum(map(len, rows))
