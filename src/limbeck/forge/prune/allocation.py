"""How many blocks each layer loses: evenly, by score over all layers, or where it saves time.

In: a layer's blocks as `Blocks`, cheapest first. Out: a count a layer, which add up to the target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from limbeck.errors import TrainingError

Allocation = Literal["uniform", "global", "latency"]
ALLOCATIONS: tuple[Allocation, ...] = get_args(Allocation)
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """One layer's blocks: scores [n] in rising order, of which the first `gone` are zero already
    and stay so. unit: layers of one unit run as one matrix."""

    name: str
    unit: str
    scores: F64
    gone: int

    @property
    def count(self) -> int:
        return len(self.scores)

    def most(self, cap: float) -> int:
        """How many may go in all: what is gone stays gone, even above the cap."""
        return max(self.gone, math.floor(cap * self.count + 1e-9))


def target_of(layers: Sequence[Blocks], sparsity: float) -> int:
    """Blocks that are to be gone of all, rounded to the nearest; or those that are gone already, if
    they are a thousandth more at most, which the rounding of another pattern may leave.

    Raises:
        TrainingError: more are gone already.
    """
    total, gone = sum(one.count for one in layers), sum(one.gone for one in layers)
    target = round(sparsity * total)
    if target < gone <= target + total // 1000:
        return gone
    if target < gone:
        raise TrainingError(
            f"the model lacks {gone / total:.2%} of its blocks already, which stay zero: a "
            f"sparsity of {sparsity:.2%} is below that"
        )
    return target


def uniform(layers: Sequence[Blocks], target: int, cap: float) -> list[int]:
    """The same share of every layer; what does not divide goes to those with the largest rest.

    Raises:
        TrainingError: a layer lacks more than its share already, or the cap is below the share.
    """
    total = sum(one.count for one in layers)
    exact = [target * one.count / total for one in layers]
    counts = [math.floor(value + 1e-9) for value in exact]
    rests = sorted(range(len(layers)), key=lambda i: (counts[i] - exact[i], i))
    for index in rests[: target - sum(counts)]:
        counts[index] += 1
    for one, count in zip(layers, counts, strict=True):
        if one.gone > count:
            raise TrainingError(
                f"{one.name} lacks {one.gone / one.count:.2%} of its blocks already, more than the "
                f"{count / one.count:.2%} that every layer is to lose; allocate globally"
            )
        if count > math.ceil(cap * one.count):
            raise TrainingError(
                f"{count / one.count:.2%} of every layer is above the cap of {cap:.2%} a layer"
            )
    return counts


def globally(layers: Sequence[Blocks], target: int, cap: float) -> list[int]:
    """The lowest scores of all layers together, but of no layer more than its cap.

    Raises:
        TrainingError: the caps do not leave so many.
    """
    _check_possible(sum(one.most(cap) for one in layers), layers, target, cap)
    # what is gone comes first whatever its score
    scores = [
        np.concatenate([np.full(one.gone, -np.inf), one.scores[one.gone :]]) for one in layers
    ]
    allowed = [values[: one.most(cap)] for values, one in zip(scores, layers, strict=True)]
    owners = np.repeat(np.arange(len(layers)), [len(values) for values in allowed])
    chosen = owners[np.argsort(np.concatenate(allowed), kind="stable")[:target]]
    return [int(count) for count in np.bincount(chosen, minlength=len(layers))]


def by_latency(
    layers: Sequence[Blocks],
    target: int,
    cap: float,
    cost: Callable[[str, float], float],
) -> list[int]:
    """Of all ways to lose `target` blocks one that saves most time for the scores that go.

    For every unit it takes the sparsity with the least loss + price * time, where loss is the sum
    of the scores that go and the price of a microsecond is the one at which the target is met (a
    Lagrangian over measured latencies, as in ZipLM, Kurtic et al. 2023, arXiv 2302.04089). A unit
    stays dense where sparse is not faster.

    Args:
        cost: (unit, sparsity) -> microseconds.

    Raises:
        TrainingError: units that get faster cannot lose so many.
    """
    found = _Units(layers, cap, cost)
    _check_possible(found.possible(), layers, target, cap, faster=True)
    low, high = 0.0, 1.0
    while sum(found.at(high)) < target:
        low, high = high, high * 4.0
        if high > 1e30:
            break
    for _ in range(100):
        middle = math.sqrt(low * high) if low else high / 4.0
        if sum(found.at(middle)) < target:
            low = middle
        else:
            high = middle
    counts = found.exactly(found.at(high), target) or found.exactly(found.at(low), target)
    if counts is None:
        near = sum(found.at(low)), sum(found.at(high))
        total = sum(one.count for one in layers)
        raise TrainingError(
            f"no choice of layers that get faster loses exactly {target / total:.2%} of the "
            f"blocks; near it are {near[0] / total:.2%} and {near[1] / total:.2%}"
        )
    return found.by_layer(counts)


class _Units:
    """Units with what each sparsity of them costs and takes."""

    LEVELS = 100

    def __init__(
        self, layers: Sequence[Blocks], cap: float, cost: Callable[[str, float], float]
    ) -> None:
        self._layers, self._cap = layers, cap
        self._names = list(dict.fromkeys(one.unit for one in layers))
        self._members = [
            [i for i, one in enumerate(layers) if one.unit == name] for name in self._names
        ]
        least = min(
            (float(one.scores[one.gone]) for one in layers if one.gone < one.count), default=0.0
        )
        self._counts: list[npt.NDArray[np.int64]] = []
        self._losses: list[F64] = []
        self._times: list[F64] = []
        self._scores: list[F64] = []
        for name, members in zip(self._names, self._members, strict=True):
            own = [layers[i] for i in members]
            gone, size = sum(one.gone for one in own), sum(one.count for one in own)
            most = sum(one.most(cap) for one in own)
            # what movement pushes to 0 has negative scores: from the least one up nothing is free
            left = np.concatenate([one.scores[one.gone : one.most(cap)] - least for one in own])
            loss = np.concatenate([[0.0], np.cumsum(np.sort(left, kind="stable"))])
            counts = np.unique(np.linspace(gone, most, self.LEVELS).round().astype(np.int64))
            times = np.array([cost(name, count / size) for count in counts.tolist()])
            # a sparsity that saves nothing is not worth a block
            worth = (times < times[0] * (1 - 1e-9)) | (counts == gone)
            self._counts.append(counts[worth])
            self._losses.append(loss[counts[worth] - gone])
            self._times.append(times[worth])
            self._scores.append(loss)

    def possible(self) -> int:
        """The most that can go."""
        return int(sum(counts[-1] for counts in self._counts))

    def at(self, price: float) -> list[int]:
        """Each unit's blocks at a price of a microsecond."""
        parts = zip(self._counts, self._losses, self._times, strict=True)
        return [int(counts[np.argmin(loss + price * time)]) for counts, loss, time in parts]

    def exactly(self, counts: Sequence[int], target: int) -> list[int] | None:
        """Move sparse units within what is faster and allowed until the sum is the target; blocks
        that cost least go first. None: they cannot."""
        found = list(counts)
        while (rest := target - sum(found)) != 0:
            step = 1 if rest > 0 else -1
            best: tuple[float, int, int] | None = None
            for index, levels in enumerate(self._counts):
                if len(levels) < 2 or found[index] < int(levels[1]):
                    continue  # dense, and stays so
                room = int(levels[-1]) - found[index] if step > 0 else found[index] - int(levels[1])
                if room < 1:
                    continue
                many = min(room, abs(rest), max(1, self._size(index) // 200))
                gone = int(levels[0])
                loss = self._scores[index]
                at = found[index] - gone
                change = float(loss[at + step * many] - loss[at]) / many
                if best is None or change < best[0]:
                    best = (change, index, many)
            if best is None:
                return None
            found[best[1]] += step * best[2]
        return found

    def _size(self, index: int) -> int:
        return sum(self._layers[i].count for i in self._members[index])

    def by_layer(self, counts: Sequence[int]) -> list[int]:
        """Inside of a unit the lowest scores go."""
        found = [0] * len(self._layers)
        for members, count in zip(self._members, counts, strict=True):
            inside = globally([self._layers[i] for i in members], count, self._cap)
            for index, own in zip(members, inside, strict=True):
                found[index] = own
        return found


def _check_possible(
    possible: int, layers: Sequence[Blocks], target: int, cap: float, faster: bool = False
) -> None:
    total = sum(one.count for one in layers)
    if target > possible:
        which = "layers that get faster" if faster else "all layers"
        raise TrainingError(
            f"a sparsity of {target / total:.2%} is impossible: with a cap of {cap:.2%} a layer, "
            f"{which} can lose at most {possible / total:.2%} of all blocks"
        )


def check_dense(counts: Sequence[int], sparsity: float, allocation: Allocation, cap: float) -> None:
    """Whether dense layers of so many blocks each can lose as much, before there are scores.

    Raises:
        TrainingError: the cap makes it impossible.
    """
    nothing = np.float64(0.0)
    layers = [
        Blocks(name="a layer", unit="", scores=np.broadcast_to(nothing, (count,)), gone=0)
        for count in counts
    ]
    target = target_of(layers, sparsity)
    if allocation == "uniform":
        uniform(layers, target, cap)
    else:
        _check_possible(sum(one.most(cap) for one in layers), layers, target, cap)


def thinned(layers: Sequence[Blocks], counts: Sequence[int], target: int) -> list[int]:
    """Counts for a smaller target in the proportions of those for the last one."""
    gone, last = sum(one.gone for one in layers), sum(counts)
    share = 0.0 if last == gone else (target - gone) / (last - gone)
    return [
        one.gone + round(share * (count - one.gone))
        for one, count in zip(layers, counts, strict=True)
    ]
