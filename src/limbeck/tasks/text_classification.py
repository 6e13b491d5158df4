"""Scores of whole texts -> labels, and the decision at a stored threshold."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.spec import TaskSpec
from limbeck.tasks.scores import class_scores

# One dictionary a text instead of a list of them: transformers' answer where top_k is not given.
TOP_LABEL: Final = "top"
TopK = int | Literal["top"] | None


def text_classification(
    logits: npt.NDArray[np.float32],
    task: TaskSpec,
    *,
    top_k: TopK = TOP_LABEL,
    function_to_apply: str | None = None,
) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
    """Logits of B texts -> the answers of transformers' text-classification pipeline.

    Args:
        logits: [B, L] float32.
        top_k: how many labels to give, best first; None for all; TOP_LABEL for the best one alone.
        function_to_apply: "softmax", "sigmoid" or "none"; None for the task's own.

    Returns:
        B dictionaries {"label", "score"} for TOP_LABEL, else B lists of them.

    Raises:
        InputError: top_k below 1, or no such function.
    """
    scores = class_scores(logits, task, function_to_apply)
    if top_k == TOP_LABEL:
        return [top_label(row, task) for row in scores]
    return [ranked_labels(row, task, top_k) for row in scores]


def top_label(scores: npt.NDArray[np.float32], task: TaskSpec) -> dict[str, Any]:
    """The best label of one text from scores [L]; the first one where several are best."""
    best = int(scores.argmax())
    return {"label": task.labels[best], "score": float(scores[best])}


def ranked_labels(
    scores: npt.NDArray[np.float32], task: TaskSpec, top_k: int | None
) -> list[dict[str, Any]]:
    """The `top_k` best labels of one text from scores [L], best first, equals in label order."""
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise InputError(f"top_k must be a positive integer or None, found {top_k!r}")
    order = sorted(range(len(task.labels)), key=lambda index: float(scores[index]), reverse=True)
    return [{"label": task.labels[i], "score": float(scores[i])} for i in order[:top_k]]


def decide(scores: npt.NDArray[np.float32], task: TaskSpec) -> bool:
    """Whether scores [L] reach the threshold stored with the task.

    `scores` are those of the task's own function, with which the threshold was chosen.

    Raises:
        InputError: the model has no threshold.
    """
    if task.threshold is None:
        raise InputError(
            "this model stores no decision threshold; read the scores instead, or train or convert "
            "it with validation data to choose one"
        )
    # The comparison is made in double precision: rounding the threshold to float32 could move it
    # to the other side of a validation score.
    return float(scores[task.labels.index(task.threshold.label)]) >= task.threshold.value
