"""Stage "export": a trained model becomes an artifact, verified against its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from limbeck.engine import OBSERVERS
from limbeck.errors import InputError
from limbeck.forge import checkpoint
from limbeck.forge.export import export
from limbeck.forge.quantize.smooth import check_alpha
from limbeck.forge.recipe.rows import typical_texts
from limbeck.forge.recipe.stage import TORCH_KINDS, Figures, Stage, Work, never
from limbeck.spec import Precision

_TEXTS_TO_SMOOTH = 64


@dataclass(frozen=True, kw_only=True)
class ExportStage:
    """calibrate: take static ranges for activations from so many training texts, chosen by
    `observer`; 0: every token finds its own, unless the model was trained with ranges.

    smooth: move outliers into weights and biases first, with this alpha, as found on these texts,
    or on 64 where `calibrate` is 0.
    """

    precision: Precision = "int8"
    calibrate: int = 0
    observer: str = "minmax"
    smooth: float | None = None

    def __post_init__(self) -> None:
        if self.calibrate < 0:
            raise InputError(f"calibrate must not be negative, found {self.calibrate}")
        if self.calibrate and self.precision != "int8":
            raise InputError("static ranges are for int8; leave out calibrate")
        if self.observer not in OBSERVERS:
            raise InputError(
                f"observer must be one of {', '.join(OBSERVERS)}, found {self.observer!r}"
            )
        if self.smooth is not None:
            check_alpha(self.smooth)
            if self.precision != "int8":
                raise InputError("smoothing is for int8; leave out smooth")

    @property
    def texts(self) -> int:
        """How many training texts are needed."""
        return self.calibrate or (0 if self.smooth is None else _TEXTS_TO_SMOOTH)


def inputs(config: ExportStage, work: Work) -> Mapping[str, str]:
    return {"train": work.rows.train.text_digest} if config.texts else {}


def run(config: ExportStage, work: Work, directory: Path) -> Figures:
    model = checkpoint.load(work.last(*TORCH_KINDS).directory)
    made = export(
        model,
        directory,
        config.precision,
        calibrate=typical_texts(work.rows.train, config.texts),
        observer=config.observer,
        static=bool(config.calibrate) if config.texts else None,
        smooth=config.smooth,
    )
    return {
        "warnings": list(made.warnings),
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
