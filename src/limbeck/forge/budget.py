"""A wall-clock budget, and the amount of training that measured speed lets fit into it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limbeck.errors import TrainingError
from limbeck.forge import training
from limbeck.forge.first_token import first_token_alone
from limbeck.forge.training import ChosenPrecision, TokenisedSet


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Measured tokens a second of one model: a whole training step, and a forward pass alone."""

    training: float
    scoring: float
    precision: ChosenPrecision


def measure_speed(
    model: Any,
    rows: TokenisedSet,
    batch_size: int,
    precision: ChosenPrecision,
    *,
    rounds: int = 8,
    seconds: float = 6.0,
) -> Speed:
    """Time training steps and forward passes on batches of typical length.

    The weights stay as they are: the optimiser steps with a learning rate of zero. The fastest
    round counts: a process takes a few steps to come to its speed, and a training run that is
    promised too few rows ends before its time. After `seconds` no further round begins.
    """
    import torch

    order = np.argsort(rows.lengths, kind="stable")
    middle = max(0, len(order) // 2 - batch_size // 2)
    indexes = order[middle : middle + batch_size]
    batch = training.collate(model, rows, indexes)
    tokens = int(rows.lengths[indexes].sum())
    optimiser = torch.optim.AdamW(
        training.parameter_groups(model, 0.0), lr=0.0, weight_decay=0.0, fused=True
    )
    step_s, forward_s = [], []
    was_training = model.training
    began = time.perf_counter()
    with training.seeded(0), first_token_alone(model):
        for turn in range(rounds + 1):
            if turn > 1 and time.perf_counter() - began > seconds:
                break
            model.train()
            start = time.perf_counter()
            training.backward(training.forward(model, batch, precision).square().mean())
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            step_s.append(time.perf_counter() - start)
            model.eval()
            start = time.perf_counter()
            with torch.inference_mode():
                training.forward(model, batch, precision)
            forward_s.append(time.perf_counter() - start)
    model.train(was_training)
    return Speed(
        training=tokens / min(step_s),
        scoring=tokens / min(forward_s),
        precision=precision,
    )


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Seconds since the start, and what is left of the budget."""

    seconds: float
    now: Callable[[], float] = time.perf_counter
    started: float = field(default=0.0)

    @classmethod
    def start(cls, seconds: float, now: Callable[[], float] = time.perf_counter) -> Clock:
        return cls(seconds=seconds, now=now, started=now())

    @property
    def elapsed(self) -> float:
        return self.now() - self.started

    @property
    def left(self) -> float:
        return self.seconds - self.elapsed


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of each step fits: seconds, and the rows that these seconds pay for."""

    teacher_s: float
    teacher_rows: int
    teacher_epochs: float
    transfer_s: float
    transfer_rows: int
    student_s: float
    student_epochs: float


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How the seconds left for training are split, and when more rows turn into more epochs."""

    teacher: float = 0.5
    # Of the time that scoring the transfer rows once and training on them once would fill, so much
    # is planned for: training in earnest is slower than the probe, and a row that the student never
    # gets to was scored for nothing.
    transfer_caution: float = 0.8
    # The probe is a few steps long and often slower than training in earnest. More steps are made
    # ready than it promises; the schedule then ends with the clock, not short of it.
    reserve: float = 1.5
    # A generator never runs dry, but the second look at a row teaches more than nothing.
    teacher_epochs: float = 1.0
    max_epochs: float = 4.0


def plan(
    seconds: float,
    *,
    teacher: Speed,
    student: Speed,
    tokens_per_row: float,
    teacher_rows_at_most: int,
    transfer_rows_at_most: int,
    shares: Shares = Shares(),
) -> Plan:
    """Split the seconds left among teacher, transfer set and student.

    Args:
        seconds: what training as a whole may take.
        tokens_per_row: mean tokens of a training row.
        teacher_rows_at_most, transfer_rows_at_most: how many rows there are; where time is left
            over, they are seen more than once.

    Raises:
        TrainingError: not even one batch of each fits.
    """

    def fit(share_s: float, tokens_per_s: float, at_most: int, wanted: float) -> tuple[int, float]:
        visits = share_s * tokens_per_s / tokens_per_row
        rows = min(at_most, int(visits / wanted))
        return rows, min(shares.max_epochs, visits / max(1, rows))

    teacher_s = seconds * shares.teacher
    teacher_rows, teacher_epochs = fit(
        teacher_s,
        teacher.training * shares.reserve,
        teacher_rows_at_most,
        shares.teacher_epochs,
    )
    row_s = tokens_per_row * (1 / teacher.scoring + 1 / student.training)
    transfer_rows = min(
        transfer_rows_at_most, int(shares.transfer_caution * (seconds - teacher_s) / row_s)
    )
    transfer_s = transfer_rows * tokens_per_row / teacher.scoring
    student_s = seconds - teacher_s - transfer_s
    if min(teacher_rows, transfer_rows) < 64:
        raise TrainingError(
            f"{seconds:.0f} s pay for {teacher_rows} training rows at the measured "
            f"{teacher.training:.0f} tokens/s; give more minutes"
        )
    visits = student_s * student.training / tokens_per_row
    return Plan(
        teacher_s=teacher_s,
        teacher_rows=teacher_rows,
        teacher_epochs=teacher_epochs,
        transfer_s=transfer_s,
        transfer_rows=transfer_rows,
        student_s=student_s,
        student_epochs=min(shares.max_epochs, shares.reserve * visits / transfer_rows),
    )
