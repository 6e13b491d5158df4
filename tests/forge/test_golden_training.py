"""Training takes the steps that it took when training.json was written, and the file would tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from golden import training as golden  # noqa: E402
from limbeck.forge import loop, losses, training  # noqa: E402

pytestmark = pytest.mark.torch

TEACHER, STUDENT = golden.TEACHER, golden.STUDENT
# Of losses and logits, all around 0.5. With torch's kernels for SSE, AVX2 and AVX-512 they differ
# by up to 2e-6, and with first weights that are off by 1e-6 of themselves by up to 1e-5.
TOLERANCE = 1e-4
# What is to be noticed has to be so many times as large.
CLEAR = 3
STEPS = 18


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.write_model(tmp_path_factory.mktemp("golden") / "model")


def apart(found: dict[str, Any]) -> dict[tuple[str, str], float]:
    """The largest difference from the file, of each of its four parts."""
    return {
        (who, what): float(np.abs(np.subtract(found[who][what], values)).max())
        for who, part in golden.read().items()
        for what, values in part.items()
    }


def largest(differences: dict[tuple[str, str], float], who: str) -> float:
    return max(differences[who, "losses"], differences[who, "logits"])


def test_the_steps_are_the_same(model: Path) -> None:
    differences = apart(golden.trained(model))
    assert set(differences) == {
        (a, b) for a in ("teacher", "student") for b in ("losses", "logits")
    }
    assert max(differences.values()) < TOLERANCE, differences


def test_the_file_holds_something_learned() -> None:
    rows = golden.rows(golden.ROWS, golden.UNSEEN)
    for part in golden.read().values():
        assert len(part["losses"]) == STEPS
        assert np.mean(part["losses"][-3:]) < 0.7 * np.mean(part["losses"][:3])
        assert np.shape(part["logits"]) == (len(rows), len(golden.NAMES))


TEACHERS = {
    "weight decay": replace(TEACHER, weight_decay=0.08),
    "warm-up": replace(TEACHER, warmup_share=0.15),
    "learning rate": replace(TEACHER, learning_rate=1.98e-3),
    "gradient norm": replace(TEACHER, max_gradient_norm=3.8),
    "order of rows": replace(TEACHER, seed=1),
}
STUDENTS = {
    "soft weight": replace(STUDENT, soft_weight=0.59),
    "temperature": replace(STUDENT, temperature=2.1),
    "soft loss": replace(STUDENT, soft_loss="mse"),
    "hidden weight": replace(STUDENT, inside=replace(STUDENT.inside, hidden_weight=0.49)),
    "weight decay": replace(STUDENT, training=replace(STUDENT.training, weight_decay=0.06)),
    "warm-up": replace(STUDENT, training=replace(STUDENT.training, warmup_share=0.15)),
    "average": replace(STUDENT, training=replace(STUDENT.training, average_decay=0.45)),
}


@pytest.mark.parametrize("name", TEACHERS)
def test_other_settings_of_the_teacher_are_noticed(name: str, model: Path) -> None:
    differences = apart(golden.trained(model, of_teacher=TEACHERS[name]))
    assert largest(differences, "teacher") > CLEAR * TOLERANCE


@pytest.mark.parametrize("name", STUDENTS)
def test_other_settings_of_the_student_are_noticed(name: str, model: Path) -> None:
    differences = apart(golden.trained(model, of_student=STUDENTS[name]))
    assert largest(differences, "teacher") < TOLERANCE
    assert largest(differences, "student") > CLEAR * TOLERANCE


REAL_RATE, REAL_GROUPS, REAL_SOFT = loop.rate_at, training.parameter_groups, losses.soft_targets


def a_cosine(progress_share: float, warmup_share: float) -> float:
    if progress_share < warmup_share:
        return progress_share / warmup_share
    return 0.5 + 0.5 * math.cos(math.pi * (progress_share - warmup_share) / (1 - warmup_share))


def half_a_step_late(progress_share: float, warmup_share: float) -> float:
    return REAL_RATE(progress_share - 0.5 / STEPS, warmup_share)


def all_decayed(model: Any, weight_decay: float, extra: Any = None) -> list[dict[str, Any]]:
    matrices, vectors = REAL_GROUPS(model, weight_decay, extra)
    return [matrices, vectors | {"weight_decay": weight_decay}]


def not_by_temperature(student: Any, teacher: Any, temperature: float) -> Any:
    return REAL_SOFT(student, teacher, temperature) / temperature**2


@pytest.mark.parametrize(
    ("module", "name", "other", "who"),
    [
        (loop, "rate_at", a_cosine, "teacher"),
        (loop, "rate_at", half_a_step_late, "teacher"),
        (training, "parameter_groups", all_decayed, "teacher"),
        (losses, "soft_targets", not_by_temperature, "student"),
    ],
)
def test_another_schedule_decay_or_loss_is_noticed(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    other: Callable[..., Any],
    who: str,
) -> None:
    monkeypatch.setattr(module, name, other)
    assert largest(apart(golden.trained(model)), who) > CLEAR * TOLERANCE
