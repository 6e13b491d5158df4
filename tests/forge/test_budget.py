"""The budget: what fits, what is refused, and that measuring leaves the model alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from limbeck.errors import TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import budget, teacher, training  # noqa: E402
from limbeck.forge.budget import Clock, Shares, Speed  # noqa: E402
from limbeck.forge.examples import training_set  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

TEACHER = Speed(training=4000, scoring=12000, precision="bf16")
STUDENT = Speed(training=8000, scoring=24000, precision="bf16")


def planned(seconds: float, **options: object) -> budget.Plan:
    arguments: dict[str, object] = {
        "teacher": TEACHER,
        "student": STUDENT,
        "tokens_per_row": 40.0,
        "teacher_rows_at_most": 10**6,
        "transfer_rows_at_most": 10**6,
    }
    return budget.plan(seconds, **(arguments | options))  # type: ignore[arg-type]


def test_the_plan_spends_what_there_is_and_no_more() -> None:
    plan = planned(300)
    reserve = Shares().reserve
    teacher_s = plan.teacher_rows * plan.teacher_epochs * 40 / (TEACHER.training * reserve)
    transfer_s = plan.transfer_rows * 40 / TEACHER.scoring
    student_s = plan.transfer_rows * plan.student_epochs * 40 / (STUDENT.training * reserve)
    assert teacher_s + transfer_s + student_s == pytest.approx(300, rel=0.01)
    assert plan.teacher_s + plan.transfer_s + plan.student_s == pytest.approx(300)


def test_half_the_speed_means_half_the_rows() -> None:
    slow = Speed(training=2000, scoring=6000, precision="fp32")
    assert planned(300, teacher=slow).teacher_rows == planned(300).teacher_rows // 2


def test_few_rows_are_seen_again_but_not_for_ever() -> None:
    plan = planned(300, teacher_rows_at_most=5000, transfer_rows_at_most=5000)
    assert plan.teacher_rows == 5000
    assert 1 < plan.teacher_epochs <= 4
    tiny = planned(300, teacher_rows_at_most=100, transfer_rows_at_most=100)
    assert tiny.teacher_epochs == tiny.student_epochs == Shares().max_epochs


def test_a_budget_that_pays_for_nothing_is_refused() -> None:
    with pytest.raises(TrainingError, match="give more minutes"):
        planned(0.5)


def test_the_clock_counts_down() -> None:
    now = [100.0]
    clock = Clock.start(60, now=lambda: now[0])
    now[0] = 145.0
    assert clock.elapsed == 45
    assert clock.left == 15


def test_measuring_speed_leaves_the_weights_alone(zoo: Callable[..., Path]) -> None:
    config = TrainingConfig(max_tokens=32, precision="fp32")
    start = teacher.prepare(zoo("bert", "feature-extraction"), ("a", "b"), config)
    rows = training_set([(f"the house {index} has a view", None, "a") for index in range(64)])
    tokenised = training.tokenise(start.tokenizer, rows, 32)
    before = {name: value.clone() for name, value in start.model.state_dict().items()}
    speed = budget.measure_speed(start.model, tokenised, 16, "fp32", rounds=2)
    assert speed.scoring > speed.training > 0
    for name, value in start.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert np.isfinite(speed.training)
