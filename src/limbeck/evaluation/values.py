"""What is known of each row after an answer -> metrics, by problem.

Values are arrays with a row each, so that they can be kept and metrics made of them again later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.evaluation.examples import Problem
from limbeck.tasks import metrics
from limbeck.tasks.bootstrap import Metric

Values = Mapping[str, npt.NDArray[Any]]
_Places = npt.NDArray[np.intp]


def metrics_of(problem: Problem, values: Values) -> dict[str, Metric]:
    """Metrics by name, the headline first.

    Args:
        values: by problem. "single_label": logits [N, L] and right [N], a class number;
            "multi_label": said and right, [N, L] of 0 and 1; "regression" and "similarity": said
            and right, [N]; "question-answering": exact and f1, [N]; "token-classification": counts
            [N, 5]: entities found, claimed and there, words with the right tag, words.

    Raises:
        InputError: they are not those of the problem, or of unequal length.
    """
    needed, build = _BUILDERS[problem]
    if set(values) != set(needed) or len({len(column) for column in values.values()}) != 1:
        raise InputError(
            f"metrics of {problem} are made of {' and '.join(needed)}, of equal length; found "
            f"{ ({name: column.shape for name, column in values.items()}) }"
        )
    return build(*(values[name] for name in needed))


def _classes(logits: npt.NDArray[Any], right: npt.NDArray[Any]) -> dict[str, Metric]:
    said = logits.argmax(axis=1)
    found: dict[str, Metric] = {
        "accuracy": lambda at: metrics.accuracy(said[at], right[at]),
        "macro F1": lambda at: metrics.macro_f1(said[at], right[at]),
        "MCC": lambda at: metrics.matthews_correlation(said[at], right[at]),
    }
    if logits.shape[1] == 2:
        margin = logits[:, 1] - logits[:, 0]
        found["F1"] = lambda at: metrics.precision_recall_f1(said[at], right[at]).f1
        found["AUC"] = lambda at: _defined(metrics.auc, margin[at], right[at])
    return found


def _defined(
    metric: Callable[..., float], scores: npt.NDArray[Any], labels: npt.NDArray[Any]
) -> float:
    """NaN where a draw holds one class alone."""
    return metric(scores, labels) if 0 < int(labels.sum()) < len(labels) else float("nan")


def _label_tables(said: npt.NDArray[Any], right: npt.NDArray[Any]) -> dict[str, Metric]:
    return {
        "micro F1": lambda at: metrics.multi_label_f1(said[at], right[at]),
        "exact match": lambda at: float((said[at] == right[at]).all(axis=1).mean()),
    }


def _correlations(said: npt.NDArray[Any], right: npt.NDArray[Any]) -> dict[str, Metric]:
    return {
        "Spearman": lambda at: metrics.spearman(said[at], right[at]),
        "Pearson": lambda at: metrics.pearson(said[at], right[at]),
    }


def _answers(exact: npt.NDArray[Any], f1: npt.NDArray[Any]) -> dict[str, Metric]:
    return {
        "F1": lambda at: float(f1[at].mean()),
        "exact match": lambda at: float(exact[at].mean()),
    }


def _entities(counts: npt.NDArray[Any]) -> dict[str, Metric]:
    def f1(at: _Places) -> float:
        hits, claimed, actual, *_ = counts[at].sum(axis=0)
        return float(2 * hits / (claimed + actual)) if claimed + actual else 0.0

    def accuracy(at: _Places) -> float:
        *_, equal, words = counts[at].sum(axis=0)
        return float(equal / words)

    return {"span F1": f1, "accuracy of words": accuracy}


_BUILDERS: Mapping[Problem, tuple[tuple[str, ...], Callable[..., dict[str, Metric]]]] = {
    "single_label": (("logits", "right"), _classes),
    "multi_label": (("said", "right"), _label_tables),
    "regression": (("said", "right"), _correlations),
    "similarity": (("said", "right"), _correlations),
    "question-answering": (("exact", "f1"), _answers),
    "token-classification": (("counts",), _entities),
}
