"""Every kernel of linear layers, on one thread, against the machine's peak in the same run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limbeck.engine import isas, library, tuning
from limbeck.measure import Row, append_rows, new_run

# (rows, cols) of the linear layers of DistilBERT and of MiniLM.
SHAPES = ((768, 768), (2304, 768), (3072, 768), (768, 3072), (384, 384), (1536, 384), (384, 1536))
DENSITY = 0.2


@dataclass(frozen=True, kw_only=True)
class KernelSpeed:
    """One kernel on one layer. share: of the peak of its instruction set; None: no peak known."""

    isa: str
    kernel: str
    pattern: str
    rows: int
    cols: int
    tokens: int
    median_gops: float
    best_gops: float
    peak_gops: float | None

    @property
    def share(self) -> float | None:
        return None if self.peak_gops is None else self.median_gops / self.peak_gops

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"share": self.share}


def measure(
    *,
    isa: str | None = None,
    tokens: int = 128,
    seconds: float = 0.1,
    shapes: Sequence[tuple[int, int]] = SHAPES,
) -> Iterator[KernelSpeed]:
    """Time dense and block-sparse kernels, each instruction set's in turn.

    Raises:
        EngineError: an instruction set that this CPU lacks.
    """
    for name in isas() if isa is None else (library.choose_isa(isa),):
        for precision in ("int8", "bf16", "fp32") if library.has_bf16(name) else ("int8", "fp32"):
            patterns = [("dense", 0), *((f"{h}x4", h) for h in tuning.HEIGHTS)]
            for pattern, height in patterns if precision == "int8" else patterns[:1]:
                for rows, cols in shapes:
                    yield _one(name, precision, pattern, height, rows, cols, tokens, seconds)


def _one(
    isa: str,
    precision: str,
    pattern: str,
    height: int,
    rows: int,
    cols: int,
    tokens: int,
    seconds: float,
) -> KernelSpeed:
    """The peak before and after, so that a slow moment of the machine hits both."""
    peaks = []
    if isa != "reference":
        peaks.append(tuning.peak(isa, precision, seconds / 4))
    run = tuning.time_linear(
        isa,
        precision,
        rows,
        cols,
        tokens,
        block_rows=height,
        density=DENSITY if height else 1.0,
        seconds=seconds,
    )
    if isa != "reference":
        peaks.append(tuning.peak(isa, precision, seconds / 4))
    return KernelSpeed(
        isa=isa,
        kernel=precision,
        pattern=pattern,
        rows=rows,
        cols=cols,
        tokens=tokens,
        median_gops=run.median / 1e9,
        best_gops=run.best / 1e9,
        peak_gops=max(peaks) / 1e9 if peaks else None,
    )


def append(path: Path, speeds: Sequence[KernelSpeed]) -> None:
    """Keep the figures as rows."""
    run = new_run()
    append_rows(
        path,
        [
            Row(
                run=run,
                benchmark="kernels",
                subject=f"{speed.kernel} {speed.pattern}",
                workload={"rows": speed.rows, "cols": speed.cols, "tokens": speed.tokens},
                unit="GOP/s",
                value=speed.median_gops,
                low=speed.median_gops,
                high=speed.best_gops,
                repeats=1,
                isa=speed.isa,
                extra={} if speed.peak_gops is None else {"peak_gops": speed.peak_gops},
            )
            for speed in speeds
        ],
    )
