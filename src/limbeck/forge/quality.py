"""How well a model answers labelled rows: one metric for every task."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.forge import logits
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.examples import TrainingSet
from limbeck.tasks import metrics


class Quality(NamedTuple):
    """The metric by which answers to these rows are judged, its value, and how many rows it saw."""

    metric: str
    value: float
    rows: int


def of(
    model: Checkpoint, rows: TrainingSet, answers: npt.NDArray[np.float32] | None = None
) -> Quality:
    """Judge a model's answers to those of the rows that have a label.

    Accuracy for one label of several, micro F1 for several, Spearman's correlation for numbers.

    Args:
        answers: the model's for all the rows, as `logits.of` gives them; None: it is asked.

    Raises:
        InputError: no row has a label.
    """
    known = np.flatnonzero(rows.labelled)
    if not len(known):
        raise InputError("none of the rows has a label to judge answers by")
    labelled = rows.take(known)
    found = logits.of(model, labelled) if answers is None else answers[known]
    if rows.problem == "regression":
        return Quality("Spearman", metrics.spearman(found[:, 0], labelled.labels), len(known))
    if rows.problem == "multi_label":
        return Quality("micro F1", metrics.multi_label_f1(found > 0, labelled.labels), len(known))
    right = metrics.accuracy(found.argmax(axis=1), labelled.labels)
    return Quality("accuracy", right, len(known))
