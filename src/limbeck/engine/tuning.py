"""What each kernel costs on this machine: measured here, kept per CPU model, used at load.

The native library decides by such a table which int8 layers run by blocks. It has one of its own;
`limbeck tune` measures the one of this CPU, and every engine takes it from then on.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from limbeck.engine import library
from limbeck.errors import EngineError, InputError
from limbeck.whole_files import whole_file

HEIGHTS = (1, 2, 4, 8)
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class SparseCosts:
    """Time of four inputs of one row for a panel of 16 tokens, relative to the dense kernel.

    blocks: in blocks of 1, 2, 4 and 8 rows x 4 inputs. row_of_blocks: what a row of blocks costs
    beside its blocks.
    """

    dense: float
    blocks: tuple[float, float, float, float]
    row_of_blocks: float

    def __post_init__(self) -> None:
        values = self.values()
        if len(values) != 6 or not all(np.isfinite(value) and value >= 0 for value in values):
            raise InputError(f"costs must be six numbers of at least 0, found {list(values)}")
        if not any(values):
            raise InputError("costs must not all be 0")

    def values(self) -> tuple[float, ...]:
        """In the order of LimbeckModelSpec::sparse_costs."""
        return (self.dense, *self.blocks, self.row_of_blocks)


@dataclass(frozen=True, kw_only=True)
class LinearRun:
    """One kernel on one layer: operations a second (multiplications and additions)."""

    median: float
    best: float


def time_linear(
    isa: str,
    precision: str,
    rows: int,
    cols: int,
    tokens: int,
    *,
    block_rows: int = 0,
    density: float = 1.0,
    seconds: float = 0.1,
) -> LinearRun:
    """Time one kernel on one thread: dense, or a share `density` of blocks of block_rows x 4.

    Only the products of kept blocks count.

    Raises:
        EngineError: sizes or blocks that no kernel has, or an ISA that this CPU lacks.
    """
    passes = (ctypes.c_double * 10000)()
    count, operations = ctypes.c_int32(), ctypes.c_double()
    error = library.ErrorText()
    failed = library.load().limbeck_bench_linear(
        isa.encode(),
        library.PRECISIONS[precision],
        rows,
        cols,
        tokens,
        block_rows,
        density,
        seconds,
        passes,
        len(passes),
        ctypes.byref(count),
        ctypes.byref(operations),
        error.buffer,
        error.size,
    )
    if failed:
        raise EngineError(f"the kernel cannot be timed: {error}")
    taken = np.array(passes[: count.value])
    return LinearRun(
        median=operations.value / float(np.median(taken)),
        best=operations.value / float(taken.min()),
    )


def peak(isa: str, precision: str, seconds: float = 0.1) -> float:
    """Operations a second that one thread reaches with registers alone, in this instruction set.

    Raises:
        EngineError: the portable kernels have no such peak.
    """
    operations = ctypes.c_double()
    error = library.ErrorText()
    failed = library.load().limbeck_bench_peak(
        isa.encode(),
        library.PRECISIONS[precision],
        seconds,
        ctypes.byref(operations),
        error.buffer,
        error.size,
    )
    if failed:
        raise EngineError(f"the peak cannot be measured: {error}")
    return operations.value


def measure(isa: str, *, tokens: int = 128, seconds: float = 0.1, rounds: int = 5) -> SparseCosts:
    """The table of this machine: two densities tell the price of a block from that of a row.

    Each round measures everything, the dense kernel too, so that a slow moment of the machine is
    one round's and no kernel's.
    """
    tables = [_measure_once(isa, tokens, seconds) for _ in range(rounds)]
    first, second, third, fourth = np.median([table.blocks for table in tables], axis=0).tolist()
    return SparseCosts(
        dense=1.0,
        blocks=(first, second, third, fourth),
        row_of_blocks=float(np.median([table.row_of_blocks for table in tables])),
    )


def _measure_once(isa: str, tokens: int, seconds: float) -> SparseCosts:
    rows, cols = 768, 768

    def pass_s(height: int, density: float) -> float:
        run = time_linear(
            isa,
            "int8",
            rows,
            cols,
            tokens,
            block_rows=height,
            density=density,
            seconds=seconds,
        )
        return 2.0 * rows * cols * tokens * density / run.median

    per_quad = pass_s(0, 1.0) / (rows * cols / 4)
    blocks, extras = [], []
    for height in HEIGHTS:
        thin, thick = pass_s(height, 0.1), pass_s(height, 0.4)
        slope = max(thick - thin, 0.0) / 0.3
        blocks.append(slope / (rows * cols / 4) / per_quad)
        extras.append(max(thin - 0.1 * slope, 0.0) / (rows / height) / per_quad)
    first, second, third, fourth = blocks
    return SparseCosts(
        dense=1.0, blocks=(first, second, third, fourth), row_of_blocks=float(np.median(extras))
    )


def cache_file(isa: str) -> Path:
    """Where the table of this CPU model lies: $LIMBECK_CACHE, else ~/.cache/limbeck."""
    base = os.environ.get("LIMBECK_CACHE") or Path.home() / ".cache" / "limbeck"
    name = re.sub(r"[^a-z0-9]+", "-", _cpu_model().lower()).strip("-") or "cpu"
    return Path(base) / "tune" / f"{name}-{isa}.json"


def save(isa: str, costs: SparseCosts) -> Path:
    """Keep a table for later loads."""
    path = cache_file(isa)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, "w") as file:
        json.dump({"format": _FORMAT, "isa": isa, **asdict(costs)}, file, indent=1)
    return path


def saved(isa: str) -> SparseCosts | None:
    """The table of this CPU model, or None where `limbeck tune` has not run.

    Raises:
        EngineError: the file is damaged; the message says which one to remove.
    """
    path = cache_file(isa)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        found = json.loads(text)
        if found["format"] != _FORMAT or found["isa"] != isa:
            raise ValueError(f"format {found['format']} for {found['isa']}")
        first, second, third, fourth = (float(cost) for cost in found["blocks"])
        return SparseCosts(
            dense=float(found["dense"]),
            blocks=(first, second, third, fourth),
            row_of_blocks=float(found["row_of_blocks"]),
        )
    except (ValueError, KeyError, TypeError, InputError) as error:
        raise EngineError(
            f"{path} is no table of kernel costs ({error}); remove it or run: limbeck tune"
        ) from error


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    wanted = ("vendor_id", "cpu family", "model", "model name")
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip()] = value.strip()
    return " ".join(found.get(name, "") for name in wanted)
