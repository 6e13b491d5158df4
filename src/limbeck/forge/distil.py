"""Offline distillation: a fixed teacher's logits -> a trained student. See `limbeck.forge.learning`
for the loss."""

from __future__ import annotations

from limbeck.forge.answers import Answers
from limbeck.forge.checkpoint import Checkpoint, Student, trained
from limbeck.forge.learning import DistilConfig as DistilConfig
from limbeck.forge.learning import distillation_loss as distillation_loss
from limbeck.forge.learning import learn
from limbeck.forge.rows import Rows
from limbeck.forge.saves import Saves
from limbeck.forge.training import TrainingReport


def offline(
    student: Student,
    rows: Rows,
    logits: Answers,
    config: DistilConfig = DistilConfig(),  # noqa: B008 (a frozen value)
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
