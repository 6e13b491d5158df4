"""Offline distillation: a fixed teacher's logits -> a trained student.

Hinton, Vinyals and Dean 2015 (arXiv 1503.02531), section 2: cross entropy with the teacher's
distribution at temperature T, its gradient scaled by T**2, plus the loss on the hard labels.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch

from limbeck.errors import InputError, TrainingError
from limbeck.forge import heads, loop, training
from limbeck.forge.answers import Answers
from limbeck.forge.checkpoint import Checkpoint, Student, trained
from limbeck.forge.intermediate import IntermediateConfig, IntermediateLoss
from limbeck.forge.losses import SoftLoss
from limbeck.forge.objectives import Objective, objective
from limbeck.forge.rows import Rows
from limbeck.forge.saves import Saves
from limbeck.forge.teacher import check_fit
from limbeck.forge.training import TrainingConfig, TrainingReport


@dataclass(frozen=True, kw_only=True)
class DistilConfig:
    """Weight and temperature of the soft targets, and how to train.

    loss = soft_weight * soft + (1 - soft_weight) * hard labels. soft_loss "kl": T**2 * KL(teacher
    || student) at temperature T (Hinton et al. 2015); "mse": the mean squared difference of logits
    (Tang et al. 2019), which has no temperature and is what numbers and vectors take in any case.
    Rows without a label carry the soft part alone.
    inside: losses on hidden states and attention, added to this.
    """

    temperature: float = 2.0
    soft_weight: float = 0.5
    soft_loss: SoftLoss = "kl"
    inside: IntermediateConfig = field(default_factory=IntermediateConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise TrainingError(f"the temperature must be positive, found {self.temperature!r}")
        if not 0 <= self.soft_weight <= 1:
            raise TrainingError(f"soft_weight must be in 0 .. 1, found {self.soft_weight!r}")
        if self.soft_loss not in get_args(SoftLoss):
            raise TrainingError(f"soft_loss must be kl or mse, found {self.soft_loss!r}")


def distillation_loss(
    answers: Answers, objective: Objective, config: DistilConfig
) -> training.Loss:
    """Soft targets and hard labels with their weights.

    Args:
        answers: the teacher's, for the rows of the objective.
    """

    def loss(
        found: torch.Tensor, indexes: npt.NDArray[np.int64], batch: training.Batch
    ) -> torch.Tensor:
        wanted = objective.of(answers, indexes, batch).to(found.device)
        soft = objective.soft(found, wanted, indexes, batch, config.soft_loss, config.temperature)
        hard = objective.hard(found, indexes, batch)
        return config.soft_weight * soft + (1 - config.soft_weight) * hard

    return loss


def offline(
    student: Student,
    rows: Rows,
    logits: Answers,
    config: DistilConfig = DistilConfig(),
    *,
    teacher: Checkpoint | None = None,
    saves: Saves | None = None,
) -> tuple[Student, TrainingReport]:
    """Train the student, in place, on a fixed teacher's logits for these rows.

    Args:
        rows: labelled or not; labels in the student's order.
        logits: the teacher's answers, as `limbeck.forge.logits.of` gives them.
        teacher: whose inside the student learns from, where the configuration asks for that; it
            runs along on every batch.
        saves: where an interrupted training keeps its state, and goes on from.

    Raises:
        InputError: logits and rows, labels and logits, or the vocabularies of teacher and student
            do not fit together.
        TrainingError: the loss is not finite, or the inside is asked for without a teacher.
    """
    report = learn(student, rows, logits, config, teacher=teacher, saves=saves)
    return trained(student, "distil", rows, config, report), report


def learn(
    student: Checkpoint,
    rows: Rows,
    logits: Answers,
    config: DistilConfig,
    *,
    teacher: Checkpoint | None = None,
    saves: Saves | None = None,
    description: str = "distilling the student",
) -> TrainingReport:
    """What `offline` does to the weights.

    Args:
        description: what the run is called.
    """
    check_fit(rows, student, "student")
    wanted = objective(
        rows,
        student.tokenizer,
        student.max_tokens,
        balance=config.training.balance_classes,
    )
    wanted.check(logits, heads.width(student.model))
    if config.soft_weight == 0 and not rows.labelled.all():
        raise TrainingError("with soft_weight 0 every row needs a label")
    loss = distillation_loss(logits, wanted, config)
    return _train(student, wanted.tokens, loss, config, teacher, saves, description)


def _train(
    student: Checkpoint,
    tokenised: training.TokenisedSet,
    answers: training.Loss,
    config: DistilConfig,
    teacher: Checkpoint | None,
    saves: Saves | None,
    description: str,
) -> TrainingReport:
    """Train on the answers, and on the teacher's inside where that is asked for."""
    how = config.training
    if not config.inside.wanted:
        return loop.run(student.model, tokenised, answers, how, description, saves=saves)
    if teacher is None:
        raise TrainingError("hidden states and attention are the teacher's: give it with teacher=")
    if not teacher.tokenizer.same_tokens(student.tokenizer):
        raise InputError(
            f"the teacher's vocabulary has {teacher.tokenizer.vocab_size} entries and the "
            f"student's {student.tokenizer.vocab_size}, not the same ones: both must read the same "
            "tokens to be compared token by token; distil its answers alone"
        )
    if how.precision == "auto":
        probe = training.probe_precision(student.model, tokenised, how.batch_size, seed=how.seed)
        how = dataclasses.replace(how, precision=probe.chosen)
    with (
        training.seeded(how.seed),  # projections begin at random
        IntermediateLoss(
            student.model,
            teacher.model,
            config.inside,
            "bf16" if how.precision == "bf16" else "fp32",
        ) as inside,
    ):

        def loss(
            found: torch.Tensor, indexes: npt.NDArray[np.int64], batch: training.Batch
        ) -> torch.Tensor:
            value: torch.Tensor = answers(found, indexes, batch) + inside(batch)
            return value

        return loop.run(
            student.model,
            tokenised,
            loss,
            how,
            description,
            extra=inside.projections,
            tapped=True,
            saves=saves,
        )
