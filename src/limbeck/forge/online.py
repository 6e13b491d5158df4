"""Online distillation: students that learn together, each from the labels and from all of them.

Guo et al. 2020 (KDCL, arXiv 2006.06909): the mean of the students' logits is the teacher of every
one of them; no teacher is trained beforehand. Gradients do not flow through that mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from limbeck.errors import InputError, TrainingError
from limbeck.forge import heads, loop, training
from limbeck.forge.checkpoint import Student, trained
from limbeck.forge.distil import DistilConfig
from limbeck.forge.objectives import Objective, objective
from limbeck.forge.rows import Rows
from limbeck.forge.saves import Saves
from limbeck.forge.teacher import check_fit, check_labels
from limbeck.forge.training import TrainingReport


@dataclass(frozen=True)
class _Answer:
    logits: torch.Tensor


class _Peers(torch.nn.Module):
    """Several models as one: answers [..., K * L], those of the first student first."""

    def __init__(self, models: Sequence[Any]) -> None:
        super().__init__()
        self._models = list(models)
        self.models = torch.nn.ModuleList(models)  # so that their parameters are found
        self.config = models[0].config

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> _Answer:
        both: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        found = []
        for model in self._models:
            typed = token_type_ids is not None and training.takes_types(model)
            inputs = both | ({"token_type_ids": token_type_ids} if typed else {})
            found.append(heads.answers(model, model(**inputs), inputs))
        return _Answer(torch.cat(found, dim=-1))

    def get_input_embeddings(self) -> _Words:
        return _Words([model.get_input_embeddings().weight for model in self._models])


class _Words:
    """All students' word tables, to be frozen and thawed together."""

    def __init__(self, tables: Sequence[torch.nn.Parameter]) -> None:
        self._tables = tables

    @property
    def weight(self) -> _Words:
        return self

    def requires_grad_(self, wanted: bool) -> None:
        for table in self._tables:
            table.requires_grad_(wanted)


def peer_loss(objective: Objective, students: int, config: DistilConfig) -> training.Loss:
    """Each student: soft_weight * soft targets of the mean + (1 - soft_weight) * hard labels; the
    sum over the students, for each has gradients of its own."""

    def loss(
        found: torch.Tensor, indexes: npt.NDArray[np.int64], batch: training.Batch
    ) -> torch.Tensor:
        answers = found.view(*found.shape[:-1], students, -1)
        together = answers.mean(dim=-2).detach()
        total = found.new_zeros(())
        for own in answers.unbind(dim=-2):
            hard = objective.hard(own, indexes, batch)
            soft = objective.soft(
                own, together, indexes, batch, config.soft_loss, config.temperature
            )
            total = total + config.soft_weight * soft + (1 - config.soft_weight) * hard
        return total

    return loss


def online(
    students: Sequence[Student],
    rows: Rows,
    config: DistilConfig = DistilConfig(),  # noqa: B008
    *,
    saves: Saves | None = None,
) -> tuple[list[Student], TrainingReport]:
    """Train students together, in place.

    Args:
        students: two or more that read the same tokens and have the same labels; their shapes may
            differ, and they should not all begin as the same network.
        saves: where an interrupted training keeps its state, and goes on from.

    Raises:
        InputError: fewer than two, or students that do not fit together.
        TrainingError: labels are missing, or the loss is not finite.
    """
    if len(students) < 2:
        raise InputError("students learn from one another: give at least two")
    first = students[0]
    for other in students[1:]:
        if other.task != first.task:
            raise InputError(f"students are for {first.task} and {other.task}")
        if other.labels != first.labels:
            raise InputError(f"students have the labels {first.labels} and {other.labels}")
        if other.tokenizer.vocab_size != first.tokenizer.vocab_size:
            raise InputError("students must read the same tokens: their vocabularies differ")
        if heads.width(other.model) != heads.width(first.model):
            raise InputError(
                f"students' vectors have {heads.width(first.model)} and "
                f"{heads.width(other.model)} numbers; to be averaged they must be equally wide"
            )
    check_labels(rows)
    for one in students:
        check_fit(rows, one, "student")
    if config.inside.wanted:
        raise TrainingError("online, there is no teacher whose inside could be learned from")
    wanted = objective(
        rows,
        first.tokenizer,
        min(one.max_tokens for one in students),
        balance=config.training.balance_classes,
    )
    report = loop.run(
        _Peers([one.model for one in students]),
        wanted.tokens,
        peer_loss(wanted, len(students), config),
        config.training,
        "students learn together",
        saves=saves,
    )
    made = [
        trained(student, "online", rows, config, report, peers=len(students))
        for student in students
    ]
    return made, report
