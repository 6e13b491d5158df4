"""Stage "export": a trained model becomes an artifact, verified against its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from limbeck.errors import InputError
from limbeck.forge import checkpoint
from limbeck.forge.export import export
from limbeck.forge.recipe.rows import typical_texts
from limbeck.forge.recipe.stage import TORCH_KINDS, Figures, Stage, Work, never
from limbeck.spec import Precision


@dataclass(frozen=True, kw_only=True)
class ExportStage:
    """calibrate: take static ranges for activations from so many training texts; 0: every token
    finds its own."""

    precision: Precision = "int8"
    calibrate: int = 0

    def __post_init__(self) -> None:
        if self.calibrate < 0:
            raise InputError(f"calibrate must not be negative, found {self.calibrate}")
        if self.calibrate and self.precision != "int8":
            raise InputError("static ranges are for int8; leave out calibrate")


def inputs(config: ExportStage, work: Work) -> Mapping[str, str]:
    return {"train": work.rows.train.text_digest} if config.calibrate else {}


def run(config: ExportStage, work: Work, directory: Path) -> Figures:
    model = checkpoint.load(work.last(*TORCH_KINDS).directory)
    made = export(
        model,
        directory,
        config.precision,
        calibrate=typical_texts(work.rows.train, config.calibrate),
    )
    return {
        "artifact": made.digest,
        "size_bytes": made.size_bytes,
        "errors": {
            f"{one.found} against {one.expected}, {one.output}": one.error
            for one in made.report.comparisons
        },
    }


STAGE = Stage(
    kind="export",
    takes=TORCH_KINDS,
    gives="artifact",
    config=ExportStage,
    run=run,
    inputs=inputs,
    seeded=never,
)
