"""How good answers are, in numpy alone.

`scores` are real numbers, larger for the positive class; `labels` are 0 or 1 where a function says
binary. Every function raises InputError for empty or unequal arrays and for values that are no
labels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError


class PrecisionRecallF1(NamedTuple):
    """Each is 0 where its denominator is 0."""

    precision: float
    recall: float
    f1: float


def _column(values: npt.ArrayLike, what: str) -> npt.NDArray[np.float64]:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or column.size == 0:
        raise InputError(f"{what} must be a list of at least one value, found shape {column.shape}")
    if np.isnan(column).any():
        raise InputError(f"{what} hold a value that is no number (NaN)")
    return column


def _same_length(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], what: str
) -> None:
    if first.size != second.size:
        raise InputError(f"{first.size} {what} but {second.size} labels")


def _binary(labels: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    column = _column(labels, "labels")
    if not np.isin(column, (0.0, 1.0)).all():
        raise InputError("labels must be 0 or 1")
    positive: npt.NDArray[np.bool_] = column == 1.0
    return positive


def _scores_and_labels(
    scores: npt.ArrayLike, labels: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    column, positive = _column(scores, "scores"), _binary(labels)
    if column.size != positive.size:
        raise InputError(f"{column.size} scores but {positive.size} labels")
    return column, positive


def accuracy(predictions: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Share of predictions [N] that equal their labels [N]."""
    predicted, expected = _column(predictions, "predictions"), _column(labels, "labels")
    _same_length(predicted, expected, "predictions")
    return float((predicted == expected).mean())


def precision_recall_f1(
    predictions: npt.ArrayLike, labels: npt.ArrayLike, *, positive: int = 1
) -> PrecisionRecallF1:
    """Of class `positive`: precision, recall, and their harmonic mean."""
    predicted, expected = _column(predictions, "predictions"), _column(labels, "labels")
    _same_length(predicted, expected, "predictions")
    claimed, actual = predicted == positive, expected == positive
    hits = int((claimed & actual).sum())
    precision = hits / int(claimed.sum()) if claimed.any() else 0.0
    recall = hits / int(actual.sum()) if actual.any() else 0.0
    both = int(claimed.sum()) + int(actual.sum())
    return PrecisionRecallF1(precision, recall, 2 * hits / both if both else 0.0)


def macro_f1(predictions: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean F1 over the classes that occur in predictions or labels [N]."""
    predicted, expected = _column(predictions, "predictions"), _column(labels, "labels")
    _same_length(predicted, expected, "predictions")
    classes = np.union1d(predicted, expected)
    claimed = (predicted[:, None] == classes).sum(axis=0)
    actual = (expected[:, None] == classes).sum(axis=0)
    hits = ((predicted == expected)[:, None] & (expected[:, None] == classes)).sum(axis=0)
    return float((2 * hits / (claimed + actual)).mean())


def multi_label_f1(predictions: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Micro F1 of tables of 0 and 1, [N, L]: over all labels of all rows together."""
    said, right = np.asarray(predictions, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if said.ndim != 2 or said.shape != right.shape or said.size == 0:
        raise InputError(f"predictions {said.shape} and labels {right.shape} must be alike, [N, L]")
    return precision_recall_f1(said.reshape(-1), right.reshape(-1)).f1


def matthews_correlation(predictions: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Matthews' correlation of classes [N], of two or more of them; 0 where one side is constant.

    Gorodkin 2004, equation 8; with two classes it is the correlation of 0s and 1s.
    """
    predicted, expected = _column(predictions, "predictions"), _column(labels, "labels")
    _same_length(predicted, expected, "predictions")
    classes = np.union1d(predicted, expected)
    claimed = (predicted[:, None] == classes).sum(axis=0).astype(np.float64)
    actual = (expected[:, None] == classes).sum(axis=0).astype(np.float64)
    rows, hits = float(predicted.size), float((predicted == expected).sum())
    covariance = hits * rows - float(claimed @ actual)
    spread = (rows**2 - float(claimed @ claimed)) * (rows**2 - float(actual @ actual))
    return covariance / math.sqrt(spread) if spread > 0 else 0.0


def _midranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of the ranks that they take up."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (last - (counts - 1) / 2.0)[inverse.reshape(-1)]
    return ranks


def auc(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Area under the ROC curve of binary labels.

    The share of (positive, negative) pairs in which the positive scores higher; equals count half
    (Mann-Whitney).

    Raises:
        InputError: one of the two classes is absent.
    """
    column, positive = _scores_and_labels(scores, labels)
    positives = int(positive.sum())
    negatives = positive.size - positives
    if not positives or not negatives:
        raise InputError("the area under the ROC curve needs both positive and negative examples")
    above = _midranks(column)[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def threshold_at_false_alarm_rate(
    scores: npt.ArrayLike, labels: npt.ArrayLike, rate: float
) -> float:
    """The threshold that finds most while at most `rate` of the negatives reach it.

    A text counts as found where its score is at least the threshold. Every value between the
    highest negative that must stay below and the next score above it decides these examples alike;
    the middle of the two is returned, as far as possible from both. Where nothing lies above, it is
    the next larger number, which no example here reaches.

    Raises:
        InputError: no negatives, or a rate outside 0 .. 1.
    """
    column, positive = _scores_and_labels(scores, labels)
    if not 0 <= rate <= 1:
        raise InputError(f"a false-alarm rate must be in 0 .. 1, found {rate!r}")
    negatives = np.sort(column[~positive])[::-1]
    if not negatives.size:
        raise InputError("a false-alarm rate needs negative examples")
    # The tiny term keeps 0.29 * 100 = 28.999... from losing the alarm that the rate allows.
    allowed = math.floor(rate * negatives.size + 1e-9)
    if allowed >= negatives.size:
        return float(column.min())
    floor = float(negatives[allowed])
    above = column[column > floor]
    if not above.size:
        return float(np.nextafter(floor, np.inf))
    ceiling = float(above.min())
    middle = floor + (ceiling - floor) / 2
    return middle if floor < middle else ceiling


def recall_at_false_alarm_rate(scores: npt.ArrayLike, labels: npt.ArrayLike, rate: float) -> float:
    """Share of the positives found where at most `rate` of the negatives are.

    The threshold is chosen on these very examples: it says how well scores separate, while a
    threshold chosen beforehand on validation data says what a user gets.

    Raises:
        InputError: one of the two classes is absent, or a rate outside 0 .. 1.
    """
    column, positive = _scores_and_labels(scores, labels)
    if not positive.any():
        raise InputError("recall needs positive examples")
    threshold = threshold_at_false_alarm_rate(column, positive, rate)
    return float((column[positive] >= threshold).mean())


def expected_calibration_error(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, *, bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy (Guo et al. 2017, equation 5).

    Predictions fall into `bins` bins of equal width (lower, upper] by the probability of the
    predicted class; the gaps |accuracy - mean confidence| are averaged by bin size.

    Args:
        probabilities: [N, L] of each class, or [N] of the positive one of two.
        labels: [N] class numbers.

    Raises:
        InputError: no probabilities, or labels that are no class numbers.
    """
    table = np.asarray(probabilities, dtype=np.float64)
    if table.ndim == 1:
        table = np.stack([1.0 - table, table], axis=1)
    if table.ndim != 2 or table.shape[0] == 0 or table.shape[1] < 2:
        raise InputError(f"probabilities must be [N, L] or [N], found shape {table.shape}")
    if not ((table >= 0) & (table <= 1)).all():
        raise InputError("probabilities must be in 0 .. 1")
    if bins < 1:
        raise InputError(f"bins must be positive, found {bins!r}")
    expected = _column(labels, "labels")
    if expected.size != table.shape[0]:
        raise InputError(f"{table.shape[0]} probabilities but {expected.size} labels")
    if not np.isin(expected, np.arange(table.shape[1])).all():
        raise InputError(f"labels must be in 0 .. {table.shape[1] - 1}")
    confidence = table.max(axis=1)
    correct = table.argmax(axis=1) == expected
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    # |sum of correct - sum of confidence| a bin is its gap times its size.
    gaps = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / expected.size)


def pearson(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Pearson's correlation; NaN where one of the two is constant, for then it is undefined."""
    left, right = _column(first, "values"), _column(second, "values")
    if left.size != right.size:
        raise InputError(f"{left.size} values but {right.size} to compare with")
    return _correlation(left, right)


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Spearman's rank correlation: Pearson's, of the ranks; equals share their mean rank.

    NaN where one of the two is constant, for then it is undefined.
    """
    left, right = _column(first, "values"), _column(second, "values")
    if left.size != right.size:
        raise InputError(f"{left.size} values but {right.size} to compare with")
    return _correlation(_midranks(left), _midranks(right))


def _correlation(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> float:
    left, right = left - left.mean(), right - right.mean()
    spread = math.sqrt(float((left**2).sum()) * float((right**2).sum()))
    return float((left * right).sum()) / spread if spread else math.nan
