"""Logits -> scores: which function a model's answers go through, and the functions."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.spec import TaskSpec

FunctionToApply = Literal["softmax", "sigmoid", "none"]
_FUNCTIONS: tuple[FunctionToApply, ...] = ("softmax", "sigmoid", "none")


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[..., L] -> [..., L]; rows sum to 1."""
    shifted: npt.NDArray[np.float32] = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: npt.NDArray[np.float32] = shifted / shifted.sum(axis=-1, keepdims=True)
    return scores


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[..., L] -> [..., L], each on its own."""
    with np.errstate(over="ignore"):  # exp(-x) is infinite for x under -88, and 1 / inf is right
        scores: npt.NDArray[np.float32] = np.float32(1.0) / (np.float32(1.0) + np.exp(-logits))
    return scores


def default_function(task: TaskSpec) -> FunctionToApply:
    """As transformers chooses: regression none; multi-label or one label sigmoid; else softmax."""
    if task.problem == "regression":
        return "none"
    if task.problem == "multi_label" or len(task.labels) == 1:
        return "sigmoid"
    return "softmax"


def parse_function(name: str | None, task: TaskSpec) -> FunctionToApply:
    """The function an option names; None and "default" stand for the task's own.

    Raises:
        InputError: no such function.
    """
    if name is None:
        return default_function(task)
    lowered = name.lower() if isinstance(name, str) else name
    if lowered == "default":
        return default_function(task)
    for function in _FUNCTIONS:
        if lowered == function:
            return function
    raise InputError(
        f"function_to_apply must be {', '.join(_FUNCTIONS)} or default, found {name!r}"
    )


def class_scores(
    logits: npt.NDArray[np.float32], task: TaskSpec, function_to_apply: str | None = None
) -> npt.NDArray[np.float32]:
    """Scores of each label.

    Args:
        logits: [..., L] float32.
        function_to_apply: "softmax", "sigmoid" or "none"; None for the task's own.

    Returns:
        [..., L] float32.

    Raises:
        InputError: no such function.
    """
    assert logits.shape[-1] == len(task.labels), (logits.shape, task.labels)
    function = parse_function(function_to_apply, task)
    if function == "softmax":
        return softmax(logits)
    if function == "sigmoid":
        return sigmoid(logits)
    return logits
