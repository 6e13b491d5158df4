"""Metrics against their definitions written out naively, and against scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limbeck.errors import InputError
from limbeck.tasks import metrics

coarse = st.integers(-4, 4).map(lambda n: n / 4)  # many equal scores
rows = st.lists(st.tuples(coarse, st.integers(0, 1)), min_size=2, max_size=40)
both_classes = rows.filter(lambda r: {label for _, label in r} == {0, 1})


def split(pairs: Sequence[tuple[float, int]]) -> tuple[list[float], list[int]]:
    return [score for score, _ in pairs], [label for _, label in pairs]


@given(rows)
def test_accuracy_and_f1(pairs: list[tuple[float, int]]) -> None:
    scores, labels = split(pairs)
    predicted = [int(score > 0) for score in scores]
    equal = sum(p == y for p, y in zip(predicted, labels, strict=True))
    assert metrics.accuracy(predicted, labels) == pytest.approx(equal / len(labels))
    hits = sum(p == y == 1 for p, y in zip(predicted, labels, strict=True))
    precision = hits / sum(predicted) if sum(predicted) else 0.0
    recall = hits / sum(labels) if sum(labels) else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    assert metrics.precision_recall_f1(predicted, labels) == pytest.approx((precision, recall, f1))


def test_f1_of_another_class() -> None:
    found = metrics.precision_recall_f1([0, 2, 2, 1], [0, 2, 1, 2], positive=2)
    assert found == (0.5, 0.5, 0.5)


@given(both_classes)
def test_auc_is_the_share_of_ordered_pairs(pairs: list[tuple[float, int]]) -> None:
    positives = [score for score, label in pairs if label]
    negatives = [score for score, label in pairs if not label]
    wins = sum((p > n) + (p == n) / 2 for p in positives for n in negatives)
    assert metrics.auc(*split(pairs)) == pytest.approx(wins / len(positives) / len(negatives))


@given(rows.filter(lambda r: any(not label for _, label in r)), st.floats(0, 1))
@example([(0.5, 0), (0.25, 0)], 1.0)
@example([(0.5, 0)] * 100, 0.29)
def test_the_threshold_finds_most_within_the_rate(
    pairs: list[tuple[float, int]], rate: float
) -> None:
    threshold = metrics.threshold_at_false_alarm_rate(*split(pairs), rate)
    assert math.isfinite(threshold)
    negatives = [score for score, label in pairs if not label]

    def alarms(at: float) -> int:
        return sum(score >= at for score in negatives)

    allowed = rate * len(negatives) + 1e-9
    assert alarms(threshold) <= allowed
    lower = [score for score, _ in pairs if score < threshold]
    # The next score down would break the rate, so nothing more can be found.
    assert not lower or alarms(max(lower)) > allowed
    assert threshold not in lower


def test_the_threshold_stands_between_scores() -> None:
    scores, labels = [0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1]
    assert metrics.threshold_at_false_alarm_rate(scores, labels, 0.0) == pytest.approx(0.4)
    assert metrics.threshold_at_false_alarm_rate(scores, labels, 0.5) == pytest.approx(0.15)
    assert metrics.threshold_at_false_alarm_rate(scores, labels, 1.0) == 0.1
    top = metrics.threshold_at_false_alarm_rate([1.0, 1.0], [0, 1], 0.0)
    assert 1.0 < top < 1.0 + 1e-12
    close = np.nextafter(0.5, 1.0)
    assert metrics.threshold_at_false_alarm_rate([0.5, close], [0, 1], 0.0) == close


@given(both_classes, st.floats(0, 1))
def test_recall_at_a_rate_is_the_best_of_all_thresholds(
    pairs: list[tuple[float, int]], rate: float
) -> None:
    positives = [score for score, label in pairs if label]
    negatives = [score for score, label in pairs if not label]
    best = 0.0
    for at in [*positives, *negatives, math.inf]:
        if sum(n >= at for n in negatives) <= rate * len(negatives) + 1e-9:
            best = max(best, sum(p >= at for p in positives) / len(positives))
    assert metrics.recall_at_false_alarm_rate(*split(pairs), rate) == pytest.approx(best)


def naive_calibration(table: list[list[float]], labels: list[int], bins: int) -> float:
    total = 0.0
    for index in range(bins):
        inside = []
        for row, label in zip(table, labels, strict=True):
            confidence = max(row)
            if index / bins < confidence <= (index + 1) / bins:
                inside.append((confidence, float(row.index(confidence) == label)))
        if inside:
            confidences, hits = zip(*inside, strict=True)
            gap = abs(sum(hits) / len(inside) - sum(confidences) / len(inside))
            total += len(inside) / len(table) * gap
    return total


@given(
    st.lists(st.tuples(st.floats(0.001, 1), st.floats(0.001, 1), st.integers(0, 2)), min_size=1),
    st.sampled_from([1, 7, 15]),
)
def test_calibration_error(values: list[tuple[float, float, int]], bins: int) -> None:
    table = [[a / (a + b + 0.3), b / (a + b + 0.3), 0.3 / (a + b + 0.3)] for a, b, _ in values]
    labels = [label for _, _, label in values]
    wanted = naive_calibration(table, labels, bins)
    found = metrics.expected_calibration_error(table, labels, bins=bins)
    assert found == pytest.approx(wanted, abs=1e-9)


def test_calibration_of_two_classes() -> None:
    # 0.9 twice, right once; 0.8 against, right: gaps 0.4 of weight 2/3 and 0.2 of weight 1/3.
    found = metrics.expected_calibration_error([0.9, 0.9, 0.2], [1, 0, 0], bins=10)
    assert found == pytest.approx(0.4 * 2 / 3 + 0.2 / 3)
    assert metrics.expected_calibration_error([1.0, 0.0], [1, 0]) == 0.0
    # A bin holds its upper edge: 0.5 stands alone in the lower one of two.
    assert metrics.expected_calibration_error([0.5, 0.7], [0, 0], bins=2) == pytest.approx(0.6)


@given(st.lists(st.tuples(coarse, coarse), min_size=2, max_size=30))
def test_spearman_is_pearson_of_ranks(pairs: list[tuple[float, float]]) -> None:
    def ranks(values: Sequence[float]) -> list[float]:
        return [
            sum(other < value for other in values) + (1 + sum(o == value for o in values)) / 2
            for value in values
        ]

    left, right = (ranks(values) for values in zip(*pairs, strict=True))
    found = metrics.spearman(*zip(*pairs, strict=True))
    if len(set(left)) == 1 or len(set(right)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(float(np.corrcoef(left, right)[0, 1]), abs=1e-9)


def test_against_scikit_learn_and_scipy() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    scipy = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, 500)
    scores = np.round(random.normal(labels * 0.8, 1.0), 1)
    predicted = (scores > 0.4).astype(int)
    assert metrics.auc(scores, labels) == pytest.approx(sklearn.roc_auc_score(labels, scores))
    assert metrics.accuracy(predicted, labels) == sklearn.accuracy_score(labels, predicted)
    found = metrics.precision_recall_f1(predicted, labels)
    wanted = sklearn.precision_recall_fscore_support(labels, predicted, average="binary")
    assert found == pytest.approx(wanted[:3])
    assert metrics.spearman(scores, labels) == pytest.approx(
        scipy.spearmanr(scores, labels).statistic
    )


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="both positive and negative"):
        metrics.auc([0.1, 0.2], [1, 1])
    with pytest.raises(InputError, match="0 or 1"):
        metrics.auc([0.1, 0.2], [1, 2])
    with pytest.raises(InputError, match="2 scores but 1"):
        metrics.auc([0.1, 0.2], [1])
    with pytest.raises(InputError, match="NaN"):
        metrics.auc([0.1, math.nan], [1, 0])
    with pytest.raises(InputError, match="at least one"):
        metrics.accuracy([], [])
    with pytest.raises(InputError, match="2 predictions but 1"):
        metrics.accuracy([1, 0], [1])
    with pytest.raises(InputError, match="negative examples"):
        metrics.threshold_at_false_alarm_rate([0.5], [1], 0.1)
    with pytest.raises(InputError, match="positive examples"):
        metrics.recall_at_false_alarm_rate([0.5], [0], 0.1)
    for rate in (-0.1, 1.1, math.nan):
        with pytest.raises(InputError, match="rate"):
            metrics.threshold_at_false_alarm_rate([0.5, 0.6], [0, 1], rate)
    for table in ([], [[0.5]], [1.5], [[math.nan, 0.5]]):
        with pytest.raises(InputError, match="probabilities"):
            metrics.expected_calibration_error(table, [0] * len(table))
    with pytest.raises(InputError, match="labels must be"):
        metrics.expected_calibration_error([0.5], [2])
    with pytest.raises(InputError, match="bins"):
        metrics.expected_calibration_error([0.5], [1], bins=0)
    with pytest.raises(InputError, match="compare"):
        metrics.spearman([1, 2], [1])


classes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(classes)
def test_matthews_and_macro_f1_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    predicted, labels = split(pairs)
    assert metrics.matthews_correlation(predicted, labels) == pytest.approx(
        sklearn.matthews_corrcoef(labels, predicted), abs=1e-9
    )
    assert metrics.macro_f1(predicted, labels) == pytest.approx(
        sklearn.f1_score(labels, predicted, average="macro")
    )


def test_matthews_by_the_definition() -> None:
    # 3 hits, 1 miss, 2 false alarms, 4 rejections
    predicted, labels = [1, 1, 1, 0, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    wanted = (3 * 4 - 2 * 1) / math.sqrt((3 + 2) * (3 + 1) * (4 + 2) * (4 + 1))
    assert metrics.matthews_correlation(predicted, labels) == pytest.approx(wanted)
    assert metrics.matthews_correlation([1, 1], [0, 1]) == 0.0


def test_multi_label_f1_counts_labels_of_all_rows_together() -> None:
    said, right = [[1, 0, 1], [0, 0, 1]], [[1, 1, 0], [0, 0, 1]]
    assert metrics.multi_label_f1(said, right) == pytest.approx(2 * 2 / (3 + 3))
    with pytest.raises(InputError, match="must be alike"):
        metrics.multi_label_f1([[1, 0]], [[1]])


@given(st.lists(st.tuples(coarse, coarse), min_size=2, max_size=30))
def test_pearson(pairs: list[tuple[float, float]]) -> None:
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    found = metrics.pearson(first, second)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-9)
