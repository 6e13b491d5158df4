"""Several teachers as one, by the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.errors import InputError

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from limbeck.forge.ensemble import combine  # noqa: E402 (the forge needs torch)
from limbeck.forge.examples import UNLABELLED  # noqa: E402


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.fixture
def logits():
    return list(np.random.default_rng(5).normal(0, 3, (3, 8, 4)).astype(np.float32))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_mean_and_weights_are_of_distributions_at_the_temperature(logits, temperature):
    each = [softmax(one / temperature) for one in logits]
    found = softmax(combine(logits, temperature=temperature) / temperature)
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    weights = (0.5, 2.0, 1.5)
    found = combine(logits, "weighted", temperature=temperature, weights=weights)
    expected = sum(w / 4 * one for w, one in zip(weights, each, strict=True))
    np.testing.assert_allclose(softmax(found / temperature), expected, atol=1e-6)


def test_confidence_by_the_formula(logits):
    labels = np.array([0, 1, 2, 3, UNLABELLED, 0, UNLABELLED, 2])
    found = softmax(combine(logits, "confidence", temperature=2.0, labels=labels) / 2)
    for row, label in enumerate(labels):
        p = [softmax(one[row].astype(float)) for one in logits]
        doubt = [
            -np.log(one[label]) if label != UNLABELLED else -(one * np.log(one)).sum() for one in p
        ]
        share = (1 - np.exp(doubt) / np.exp(doubt).sum()) / 2
        assert share.sum() == pytest.approx(1)
        expected = sum(s * softmax(one[row] / 2) for s, one in zip(share, logits, strict=True))
        np.testing.assert_allclose(found[row], expected, atol=1e-6)
        assert share[np.argmin(doubt)] == max(share)


def test_one_teacher_is_itself(logits):
    for how in ("mean", "confidence"):
        found = combine(logits[:1], how, labels=np.zeros(8, dtype=np.int64))
        np.testing.assert_allclose(softmax(found), softmax(logits[0]), atol=1e-5)


def test_answers_that_leave_nothing_to_chance_stay_finite():
    sure = [np.array([[500.0, -500.0]], dtype=np.float32)] * 2
    assert np.isfinite(combine(sure)).all()
    assert np.isfinite(combine(sure, "confidence", labels=np.array([1]))).all()


def test_labels_that_do_not_exclude_one_another_and_numbers(logits):
    found = combine(logits, temperature=2.0, problem="multi_label")
    chances = [1 / (1 + np.exp(-one.astype(float) / 2)) for one in logits]
    np.testing.assert_allclose(1 / (1 + np.exp(-found / 2)), np.mean(chances, axis=0), atol=1e-6)
    weights = (1.0, 0.0, 3.0)
    found = combine(logits, "weighted", weights=weights, problem="regression")
    np.testing.assert_allclose(found, (logits[0] + 3 * logits[2]) / 4, atol=1e-5)
    sure = [np.array([[500.0, -500.0]], dtype=np.float32)] * 2
    assert np.isfinite(combine(sure, problem="multi_label")).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"logits": []}, "no teachers"),
        ({"logits": [np.zeros((2, 2)), np.zeros((2, 3))]}, "different shapes"),
        ({"how": "weighted"}, "need as many weights"),
        ({"how": "weighted", "weights": (1.0, 2.0)}, "need as many weights"),
        ({"how": "weighted", "weights": (1.0, -2.0, 1.0)}, "must not be negative"),
        ({"how": "weighted", "weights": (0.0, 0.0, 0.0)}, "not all 0"),
        ({"how": "median"}, "not 'median'"),
        ({"how": "confidence", "problem": "regression"}, "combined by mean or weighted"),
    ],
)
def test_what_cannot_be_combined(logits, call, message):
    call = {"logits": logits, **call}
    with pytest.raises(InputError, match=message):
        combine(call.pop("logits"), **call)
