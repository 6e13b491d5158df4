"""What an int8 layer takes on this machine: shape, block pattern, sparsity -> microseconds.

In: the measured speed of the dense kernel and the table of costs of the sparse ones (`tuning`).
Out: an estimate for pruning and planning, by the rule with which the native library chooses
between dense and blocks. It leaves out what does not depend on the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from limbeck.engine import library, tuning
from limbeck.engine.tuning import HEIGHTS, SparseCosts
from limbeck.errors import InputError

Shape = tuple[int, int]  # output rows, inputs
Pattern = tuple[int, int]

_QUAD = 4  # inputs that one instruction multiplies: every kernel's blocks are so wide
_ROW_GROUP = 8  # layers are padded to so many rows
# As `Slices` in native/ops/block_sparse.cc: low blocks of a layer with many inputs.
_SLICE_QUADS = 128


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """A machine's figures for some shapes, as a value: the same table gives the same answers.

    dense_us: microseconds of the dense int8 kernel on one thread, by (rows, inputs).
    """

    isa: str
    tokens: int
    threads: int
    costs: SparseCosts
    dense_us: Mapping[Shape, float]

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.threads < 1:
            raise InputError("a table of latencies is for at least one token and one thread")
        if not all(value > 0 for value in self.dense_us.values()):
            raise InputError("the dense kernel takes more than 0 microseconds")

    def latency_us(self, shape: Shape, pattern: Pattern | None, sparsity: float) -> float:
        """Microseconds of a layer that lacks a share of its blocks, dense where that is faster.

        Blocks are taken to be gone at random, and threads to share the work evenly.

        Args:
            pattern: rows x inputs of a block; None: dense. Blocks one input wide run as blocks of
                four inputs with holes.

        Raises:
            InputError: a shape that was not measured, or a sparsity outside 0 .. 1.
        """
        if not 0 <= sparsity <= 1:
            raise InputError(f"sparsity must be in 0 .. 1, found {sparsity!r}")
        if shape not in self.dense_us:
            raise InputError(f"a layer of {shape[0]}x{shape[1]} is not in this table of latencies")
        dense_us = self.dense_us[shape] / self.threads
        if pattern is None:
            return dense_us
        rows = -(-shape[0] // _ROW_GROUP) * _ROW_GROUP
        quads = -(-shape[1] // _QUAD)
        quad_us = dense_us / (rows * quads * self.costs.dense) if self.costs.dense else 0.0
        best = rows * quads * self.costs.dense
        for height, cost in zip(HEIGHTS, self.costs.blocks, strict=True):
            kept = kept_share(pattern, sparsity, height)
            slices = _slices(quads, height)
            best = min(
                best,
                kept * rows * quads * cost + slices * rows / height * self.costs.row_of_blocks,
            )
        return best * quad_us

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        shapes = [[*shape, value] for shape, value in sorted(self.dense_us.items())]
        return asdict(self) | {"costs": asdict(self.costs), "dense_us": shapes}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> LatencyTable:
        """The table that `as_dict` gave.

        Raises:
            InputError: it is none.
        """
        try:
            costs = found["costs"]
            first, second, third, fourth = (float(cost) for cost in costs["blocks"])
            return cls(
                isa=str(found["isa"]),
                tokens=int(found["tokens"]),
                threads=int(found["threads"]),
                costs=SparseCosts(
                    dense=float(costs["dense"]),
                    blocks=(first, second, third, fourth),
                    row_of_blocks=float(costs["row_of_blocks"]),
                ),
                dense_us={
                    (int(rows), int(cols)): float(us) for rows, cols, us in found["dense_us"]
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no table of latencies ({error})") from None


def kept_share(pattern: Pattern, sparsity: float, height: int) -> float:
    """Expected share of blocks of `height` x 4 that hold something, where blocks of `pattern` are
    gone at random: one is empty only if all the smaller ones in it are gone."""
    inside = max(1, height // pattern[0]) * max(1, _QUAD // pattern[1])
    return float(1.0 - sparsity**inside)


def _slices(quads: int, height: int) -> int:
    if height >= 4 or quads <= _SLICE_QUADS * 3 // 2:
        return 1
    return -(-quads // _SLICE_QUADS)


def measure_latency(
    shapes: Iterable[Shape],
    *,
    tokens: int = 128,
    threads: int = 1,
    isa: str | None = None,
    seconds: float = 0.05,
) -> LatencyTable:
    """Time the dense kernel on these shapes; the sparse costs are those that `limbeck tune` kept,
    or measured now.

    Raises:
        EngineError: an instruction set that this CPU lacks, or a damaged table of costs.
    """
    chosen = library.choose_isa(isa)
    costs = tuning.saved(chosen) or tuning.measure(chosen, seconds=seconds)
    dense_us = {}
    for rows, cols in sorted(set(shapes)):
        run = tuning.time_linear(chosen, "int8", rows, cols, tokens, seconds=seconds)
        dense_us[rows, cols] = 2.0 * rows * cols * tokens / run.median * 1e6
    return LatencyTable(isa=chosen, tokens=tokens, threads=threads, costs=costs, dense_us=dense_us)


def latency_us(
    op_shape: Shape, pattern: Pattern | None, sparsity: float, tokens: int, threads: int
) -> float:
    """Microseconds of one int8 layer on this machine; see `LatencyTable.latency_us`. A shape is
    measured once a process."""
    return _table(op_shape, tokens, threads).latency_us(op_shape, pattern, sparsity)


@lru_cache(maxsize=256)
def _table(shape: Shape, tokens: int, threads: int) -> LatencyTable:
    return measure_latency([shape], tokens=tokens, threads=threads)
