"""Quantisation-aware training: a model learns, under distillation, to live with int8's rounding.

Jacob et al. 2018 (arXiv:1712.05877), section 3, with the engine's own rounding in the forward pass
(`limbeck.forge.quantize.fake`). Weights that are exactly zero stay so.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, get_args

from limbeck.engine import OBSERVERS
from limbeck.errors import TrainingError
from limbeck.forge import learning
from limbeck.forge.answers import Answers
from limbeck.forge.checkpoint import Checkpoint, Quantized, trained
from limbeck.forge.learning import DistilConfig
from limbeck.forge.quantize import ranges as static
from limbeck.forge.quantize.fake import Ranges, fake_quantised, zeros_locked
from limbeck.forge.rows import Rows
from limbeck.forge.saves import Saves
from limbeck.forge.teacher import check_fit
from limbeck.forge.training import TrainingConfig, TrainingReport
from limbeck.spec import Activations


def gentle() -> DistilConfig:
    """One pass at 1e-5: the weights have learned already, and are to move by parts of a step."""
    return DistilConfig(
        training=TrainingConfig(epochs=1.0, learning_rate=1e-5),
    )


@dataclass(frozen=True, kw_only=True)
class QatConfig:
    """How to train under int8's rounding.

    activations "static": in ranges that are measured before the first step by `observer`, on
    `calibrate` of the rows' windows, and that the model brings along; "dynamic": each token in its
    own range.
    distil: losses and training. It runs in float32 whatever its precision says: bfloat16 would
    round more than what is being learned.
    """

    activations: Activations = "dynamic"
    observer: str = "mse"
    calibrate: int = 64
    distil: DistilConfig = field(default_factory=gentle)

    def __post_init__(self) -> None:
        if self.activations not in get_args(Activations):
            raise TrainingError(f"activations are dynamic or static, not {self.activations!r}")
        if self.observer not in OBSERVERS:
            raise TrainingError(f"observer {self.observer!r} is not one of {', '.join(OBSERVERS)}")
        if self.calibrate < 1:
            raise TrainingError(f"calibrate must be at least 1 window, found {self.calibrate!r}")


def qat(
    student: Checkpoint,
    rows: Rows,
    answers: Answers,
    config: QatConfig = QatConfig(),
    *,
    teacher: Checkpoint | None = None,
    saves: Saves | None = None,
) -> tuple[Quantized, TrainingReport]:
    """Train a model, in place, so that its int8 artifact answers as its teacher does.

    What comes out has float32 weights; `export` rounds them to the numbers that training saw.

    Args:
        student: what has been distilled, pruned or fine-tuned.
        rows, answers, teacher, saves: as for `limbeck.forge.distil.offline`. Without a better one
            the model itself, as it was before, is a good teacher.

    Raises:
        InputError: answers and rows, or labels and answers, do not fit together.
        TrainingError: the loss is not finite.
    """
    check_fit(rows, student, "student")
    settings = dataclasses.replace(
        config.distil, training=dataclasses.replace(config.distil.training, precision="fp32")
    )
    ranges: Ranges | None = None
    if config.activations == "static":
        tokens = rows.tokenised(student.tokenizer, student.max_tokens)
        ranges = static.measured(student, tokens, config.calibrate, config.observer)
    description = "training for int8"
    if ranges is not None:
        description += f" in static ranges by {config.observer}"
    with zeros_locked(student.model) as locked, fake_quantised(student.model, ranges):
        report = learning.learn(
            student,
            rows,
            answers,
            settings,
            teacher=teacher,
            saves=saves,
            description=description,
        )
    before: dict[str, Any] = {
        one.name: getattr(student, one.name) for one in dataclasses.fields(student)
    }
    before["lineage"] = {
        name: value for name, value in student.lineage.items() if name != static.KEY
    }
    more: dict[str, Any] = {"zeros_locked": locked}
    if ranges is not None:
        more[static.KEY] = {name: list(ends) for name, ends in ranges.items()}
    made = trained(Quantized(**before), "qat", rows, config, report, **more)
    return made, report
