"""Several teachers' logits -> one set of soft targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.forge.answers import Answers, Packed
from limbeck.forge.rows import UNLABELLED
from limbeck.spec import Problem

Combination = Literal["mean", "weighted", "confidence"]
_Floats = npt.NDArray[np.float64]


@overload
def combine(
    logits: Sequence[npt.NDArray[np.float32]],
    how: Combination = "mean",
    *,
    temperature: float = 2.0,
    weights: Sequence[float] | None = None,
    labels: npt.NDArray[np.int64] | None = None,
    problem: Problem = "single_label",
) -> npt.NDArray[np.float32]: ...


@overload
def combine(
    logits: Sequence[Answers],
    how: Combination = "mean",
    *,
    temperature: float = 2.0,
    weights: Sequence[float] | None = None,
    labels: npt.NDArray[np.int64] | None = None,
    problem: Problem = "single_label",
) -> Answers: ...


def combine(
    logits: Sequence[Answers],
    how: Combination = "mean",
    *,
    temperature: float = 2.0,
    weights: Sequence[float] | None = None,
    labels: npt.NDArray[np.int64] | None = None,
    problem: Problem = "single_label",
) -> Answers:
    """Answers whose softmax at `temperature` is the combination of the teachers'.

    For "multi_label" it is the sigmoid, label by label; for "regression", and so for vectors, the
    numbers themselves; for question answering the softmax over the tokens of a window.

    Args:
        logits: of K teachers, [N, L] each or packed, labels in the same order.
        how: "mean" of their distributions (Hinton et al. 2015, section 3); "weighted": with
            `weights`, such as each teacher's accuracy on validation rows; "confidence": on each
            row (or token) the teachers that know it better count for more (Zhang et al. 2022,
            CA-MKD, equation 4: (1 - exp(e_k) / sum_j exp(e_j)) / (K - 1), e the cross entropy with
            the label; on rows without one, the entropy of the teacher's own answer).
        labels: [N], or [T] for packed tags, UNLABELLED where there is none; for "confidence", which
            is for one label of several alone.

    Raises:
        InputError: teachers that do not fit together, or weights that are none.
    """
    if not logits:
        raise InputError("there are no teachers to combine")
    packed = [one for one in logits if isinstance(one, Packed)]
    if packed:
        return _packed(packed, len(logits), how, temperature, weights, labels)
    return _combined([_array(one) for one in logits], how, temperature, weights, labels, problem)


def _array(answers: Answers) -> npt.NDArray[np.float32]:
    assert not isinstance(answers, Packed)
    return answers


def _packed(
    packed: Sequence[Packed],
    teachers: int,
    how: Combination,
    temperature: float,
    weights: Sequence[float] | None,
    labels: npt.NDArray[np.int64] | None,
) -> Packed:
    first = packed[0]
    if len(packed) < teachers or any(one.task != first.task for one in packed):
        raise InputError("teachers answer different tasks")
    if any(one.tokens != first.tokens for one in packed):
        raise InputError(
            "teachers read different tokens: to be combined token by token they need the same "
            "rows, vocabulary and maximum"
        )
    values = [one.values for one in packed]
    if first.task == "token-classification":
        made = _combined(values, how, temperature, weights, labels, "single_label")
        return replace(first, values=made)
    if how == "confidence":
        raise InputError("teachers of question-answering are combined by mean or weighted")
    made = np.zeros_like(first.values)
    for begin, end in pairwise(first.offsets):
        # start and end are two distributions over the window's tokens: [2, S]
        some = [one[begin:end].T for one in values]
        made[begin:end] = _combined(some, how, temperature, weights, None, "single_label").T
    return replace(first, values=made)


def _combined(
    logits: Sequence[npt.NDArray[np.float32]],
    how: Combination,
    temperature: float,
    weights: Sequence[float] | None,
    labels: npt.NDArray[np.int64] | None,
    problem: Problem,
) -> npt.NDArray[np.float32]:
    shapes = {one.shape for one in logits}
    if len(shapes) > 1:
        raise InputError(f"teachers answer in different shapes: {sorted(shapes)}")
    stacked = np.stack(logits).astype(np.float64)
    if how == "confidence" and problem != "single_label":
        raise InputError(f"teachers of {problem} are combined by mean or weighted, not {how}")
    shares = _shares(stacked, how, weights, labels)
    if problem == "regression":
        numbers: npt.NDArray[np.float32] = (shares[:, :, None] * stacked).sum(axis=0).astype("f4")
        return numbers
    if problem == "multi_label":
        return _mixed_labels(stacked, shares, temperature)
    distributions = np.exp(_log_softmax(stacked / temperature))
    mixed = (shares[:, :, None] * distributions).sum(axis=0)
    floor = np.finfo(np.float32).tiny
    combined: npt.NDArray[np.float32] = (temperature * np.log(np.maximum(mixed, floor))).astype(
        np.float32
    )
    return combined


def _mixed_labels(logits: _Floats, shares: _Floats, temperature: float) -> npt.NDArray[np.float32]:
    chances = 1 / (1 + np.exp(-logits / temperature))
    mixed = (shares[:, :, None] * chances).sum(axis=0)
    # where float64 has no room left for a doubt, the logit is that of the last one
    edge = np.finfo(np.float64).eps
    mixed = np.clip(mixed, edge, 1 - edge)
    combined: npt.NDArray[np.float32] = (temperature * np.log(mixed / (1 - mixed))).astype("f4")
    return combined


def _shares(
    logits: _Floats,
    how: Combination,
    weights: Sequence[float] | None,
    labels: npt.NDArray[np.int64] | None,
) -> _Floats:
    """[K, N], columns sum to 1."""
    teachers, rows, _ = logits.shape
    if how == "mean":
        return np.full((teachers, rows), 1 / teachers)
    if how == "weighted":
        if weights is None or len(weights) != teachers:
            raise InputError(f"{teachers} teachers need as many weights")
        column = np.asarray(weights, dtype=np.float64)
        if not np.isfinite(column).all() or (column < 0).any() or column.sum() == 0:
            raise InputError(f"weights must not be negative, and not all 0: {list(weights)}")
        return np.repeat((column / column.sum())[:, None], rows, axis=1)
    if how != "confidence":
        raise InputError(f"teachers are combined by mean, weighted or confidence, not {how!r}")
    if teachers == 1:
        return np.ones((1, rows))
    return _confidence(_log_softmax(logits), labels)


def _confidence(log_p: _Floats, labels: npt.NDArray[np.int64] | None) -> _Floats:
    teachers = len(log_p)
    doubt = -(np.exp(log_p) * log_p).sum(axis=2)
    if labels is not None:
        known = np.flatnonzero(labels != UNLABELLED)
        doubt[:, known] = -log_p[:, known, labels[known]]
    rising = np.exp(doubt - doubt.max(axis=0))
    shares: _Floats = (1 - rising / rising.sum(axis=0)) / (teachers - 1)
    return shares


def _log_softmax(logits: _Floats) -> _Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs: _Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs
