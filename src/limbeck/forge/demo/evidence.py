"""Teacher and student shown, beside each row's label, which of its tokens are the contact.

One bit a text is little to learn from in ten minutes. The generator knows every character that is a
leak, somebody else's contact or a number; a linear layer on the last hidden states that all tokens
have must tell them apart (deep supervision, Lee et al. 2015, arXiv 1409.5185, with tokens' labels
in place of the row's), and is thrown away after training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from limbeck.forge import loop, training
from limbeck.forge import teacher as teachers
from limbeck.forge.answers import Answers
from limbeck.forge.checkpoint import Student, Teacher, trained
from limbeck.forge.demo.marked import ROLES, MarkedRows, roles_of_tokens
from limbeck.forge.distil import DistilConfig, distillation_loss, offline
from limbeck.forge.examples import TrainingSet
from limbeck.forge.objectives import objective
from limbeck.forge.rows import UNLABELLED
from limbeck.forge.taps import Taps, encoder_layers
from limbeck.forge.training import Loss, TrainingConfig, TrainingReport
from limbeck.text import Tokenizer

# What the roles of tokens weigh beside the row's own loss.
_WEIGHT = 2.0
# Of each row, each token's place in ROLES, or UNLABELLED.
Roles = list[list[int]]


class RoleLoss:
    """Cross entropy of what tokens are part of, mean over the tokens of a batch.

    Open, it notes the output of the layer before the last, the deepest that training computes for
    all tokens (`limbeck.forge.first_token`).
    """

    def __init__(self, model: Any, roles: Roles, seed: int) -> None:
        self._layer = len(encoder_layers(model)) - 1
        self._roles = [torch.tensor(row) for row in roles]
        self._taps = Taps(model, hidden=[self._layer])
        with training.seeded(seed):
            self.head = torch.nn.Linear(model.config.hidden_size, len(ROLES))

    def __enter__(self) -> RoleLoss:
        self._taps.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._taps.__exit__(*error)

    def __call__(self, indexes: npt.NDArray[np.int64]) -> torch.Tensor:
        """The loss on these rows, those of the last forward pass."""
        hidden = self._taps.hidden[self._layer].float()
        wanted = torch.full(hidden.shape[:2], UNLABELLED)
        for place, index in enumerate(indexes):
            row = self._roles[index]
            wanted[place, : len(row)] = row
        return functional.cross_entropy(
            self.head(hidden).transpose(1, 2), wanted.to(hidden.device), ignore_index=UNLABELLED
        )


def token_roles(rows: MarkedRows, tokenizer: Tokenizer, max_tokens: int) -> Roles | None:
    """What every token of every row is part of, as `RoleLoss` takes it; None without marks."""
    if rows.marks is None:
        return None
    encoded = tokenizer.encode(list(rows.rows.texts), max_tokens=max_tokens)
    return [
        [
            UNLABELLED if role is None else role
            for role in roles_of_tokens(one.offsets, one.special, marks)
        ]
        for one, marks in zip(encoded, rows.marks, strict=True)
    ]


def finetune(
    teacher: Teacher, rows: TrainingSet, roles: Roles | None, config: TrainingConfig
) -> tuple[Teacher, TrainingReport]:
    """`limbeck.forge.teacher.finetune`, with the roles of tokens where they are known."""
    if roles is None:
        return teachers.finetune(teacher, rows, config)
    teachers.check_labels(rows)
    wanted = objective(rows, teacher.tokenizer, teacher.max_tokens)
    report = _run(teacher, wanted.tokens, wanted.hard, roles, config, "training the teacher")
    return trained(teacher, "finetune", rows, config, report), report


def distil(
    student: Student,
    rows: TrainingSet,
    roles: Roles | None,
    logits: Answers,
    config: DistilConfig,
) -> tuple[Student, TrainingReport]:
    """`limbeck.forge.distil.offline`, with the roles of tokens where they are known."""
    if roles is None:
        return offline(student, rows, logits, config)
    wanted = objective(rows, student.tokenizer, student.max_tokens)
    loss = distillation_loss(logits, wanted, config)
    report = _run(student, wanted.tokens, loss, roles, config.training, "distilling the student")
    return trained(student, "distil", rows, config, report), report


def _run(
    made: Teacher | Student,
    tokens: training.TokenisedSet,
    loss: Loss,
    roles: Roles,
    config: TrainingConfig,
    description: str,
) -> TrainingReport:
    with RoleLoss(made.model, roles, config.seed) as of_roles:

        def both(
            found: torch.Tensor, indexes: npt.NDArray[np.int64], batch: training.Batch
        ) -> torch.Tensor:
            value: torch.Tensor = loss(found, indexes, batch) + _WEIGHT * of_roles(indexes)
            return value

        return loop.run(made.model, tokens, both, config, description, extra=of_roles.head)
