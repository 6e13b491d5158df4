"""Offline distillation: a fixed teacher's logits -> a trained student.

Hinton, Vinyals and Dean 2015 (arXiv 1503.02531), section 2: cross entropy with the teacher's
distribution at temperature T, its gradient scaled by T**2, plus the loss on the hard labels.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from limbeck.errors import InputError, TrainingError
from limbeck.forge import training
from limbeck.forge.checkpoint import Student, versions
from limbeck.forge.examples import UNLABELLED, TrainingSet
from limbeck.forge.training import TrainingConfig, TrainingReport


@dataclass(frozen=True, kw_only=True)
class DistilConfig:
    """Weight and temperature of the soft targets, and how to train.

    loss = soft_weight * T**2 * KL(teacher || student at T) + (1 - soft_weight) * hard labels.
    Rows without a label carry the soft part alone.
    """

    temperature: float = 2.0
    soft_weight: float = 0.5
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise TrainingError(f"the temperature must be positive, found {self.temperature!r}")
        if not 0 <= self.soft_weight <= 1:
            raise TrainingError(f"soft_weight must be in 0 .. 1, found {self.soft_weight!r}")


def soft_target_loss(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float
) -> torch.Tensor:
    """T**2 * KL(softmax(teacher / T) || softmax(student / T)), mean over rows.

    T**2 keeps the size of the gradient the same for every T (Hinton et al. 2015, section 2.1).

    Args:
        student, teacher: logits [b, L] f32.
    """
    expected = torch.nn.functional.log_softmax(teacher / temperature, dim=-1)
    found = torch.nn.functional.log_softmax(student / temperature, dim=-1)
    divergence = torch.nn.functional.kl_div(found, expected, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def distillation_loss(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], config: DistilConfig
) -> training.Loss:
    """Soft targets and hard labels with their weights.

    Args:
        logits: the teacher's, [N, L].
        labels: [N], UNLABELLED where there is none.
    """
    soft_targets, hard_targets = torch.from_numpy(logits), torch.from_numpy(labels)

    def loss(student: torch.Tensor, indexes: npt.NDArray[np.int64]) -> torch.Tensor:
        places = torch.from_numpy(indexes)
        soft = soft_target_loss(student, soft_targets[places], config.temperature)
        batch_labels = hard_targets[places]
        known = int((batch_labels != UNLABELLED).sum())
        if known == 0:
            return config.soft_weight * soft
        # a sum over the labelled rows over all rows: an unlabelled row counts as a zero
        hard = torch.nn.functional.cross_entropy(student, batch_labels, reduction="sum") / len(
            batch_labels
        )
        return config.soft_weight * soft + (1 - config.soft_weight) * hard

    return loss


def offline(
    student: Student,
    rows: TrainingSet,
    logits: npt.NDArray[np.float32],
    config: DistilConfig = DistilConfig(),
) -> tuple[Student, TrainingReport]:
    """Train the student, in place, on a fixed teacher's logits for these rows.

    Args:
        rows: labelled or not; labels in the student's order.
        logits: the teacher's, [N, L], as `limbeck.forge.logits.of` gives them.

    Raises:
        InputError: logits and rows, or labels and logits, do not fit together.
        TrainingError: the loss is not finite.
    """
    if logits.shape != (len(rows), len(student.labels)):
        raise InputError(
            f"teacher logits are {list(logits.shape)}; {len(rows)} rows and "
            f"{len(student.labels)} labels need [{len(rows)}, {len(student.labels)}]"
        )
    if rows.names and rows.names != student.labels:
        raise InputError(f"labels {list(rows.names)} are not the teacher's {list(student.labels)}")
    if config.soft_weight == 0 and (rows.labels == UNLABELLED).any():
        raise TrainingError("with soft_weight 0 every row needs a label")
    tokenised = training.tokenise(student.tokenizer, rows, student.max_tokens)
    report = training.run(
        student.model,
        tokenised,
        distillation_loss(logits, rows.labels, config),
        config.training,
        "distilling the student",
    )
    student.model.eval()
    lineage: dict[str, Any] = {
        **student.lineage,
        "step": "distil",
        "data": rows.digest,
        "rows": len(rows),
        "config": dataclasses.asdict(config),
        "steps": report.steps,
        "precision": report.precision,
        "versions": versions(),
    }
    return dataclasses.replace(student, lineage=lineage), report
