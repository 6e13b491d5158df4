"""Each loss against its formula, written out in numpy and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from limbeck.forge import losses  # noqa: E402 (needs torch)

LENGTHS = (5, 2, 4)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.fixture
def dice():
    return np.random.default_rng(7)


@pytest.fixture
def mask():
    return torch.tensor([[int(at < length) for at in range(5)] for length in LENGTHS])


def tensor(values):
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.5])
def test_soft_targets(dice, temperature):
    student, teacher = dice.normal(0, 3, (2, 6, 4))
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    expected = temperature**2 * np.mean((p * np.log(p / q)).sum(-1))
    found = losses.soft_targets(tensor(student), tensor(teacher), temperature)
    assert float(found) == pytest.approx(expected, rel=1e-4)
    assert float(losses.soft_targets(tensor(teacher), tensor(teacher), temperature)) < 1e-6


def test_the_square_of_t_keeps_the_gradients_size():
    """Hinton et al. 2015, equation 4: for large T the gradient tends to (s - t) / L per row."""
    teacher = torch.tensor([[1.0, -1.0, 0.0]])
    student = torch.tensor([[0.0, 0.5, -0.5]], requires_grad=True)
    losses.soft_targets(student, teacher, 1000.0).backward()
    expected = (student - teacher).detach() / 3
    torch.testing.assert_close(student.grad, expected, rtol=1e-2, atol=1e-2)


def test_soft_labels(dice):
    student, teacher = dice.normal(0, 3, (2, 6, 4))
    t = 2.0
    p, q = (1 / (1 + np.exp(-one / t)) for one in (teacher, student))
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    found = losses.soft_labels(tensor(student), tensor(teacher), t)
    assert float(found) == pytest.approx(t**2 * divergence.sum(-1).mean(), rel=1e-4)
    assert float(losses.soft_labels(tensor(teacher), tensor(teacher), t)) == pytest.approx(
        0, abs=1e-6
    )


def test_logits_mse(dice):
    student, teacher = dice.normal(0, 3, (2, 6, 4))
    found = losses.logits_mse(tensor(student), tensor(teacher))
    assert float(found) == pytest.approx(((student - teacher) ** 2).mean(), rel=1e-5)


def test_hidden_mse_and_cosine(dice, mask):
    student, teacher = dice.normal(0, 1, (2, 3, 5, 8))
    squares, cosines = [], []
    for row, length in enumerate(LENGTHS):
        for at in range(length):
            s, t = student[row, at], teacher[row, at]
            squares.append(((s - t) ** 2).mean())
            cosines.append(1 - s @ t / np.linalg.norm(s) / np.linalg.norm(t))
    found = losses.hidden_mse(tensor(student), tensor(teacher), mask)
    assert float(found) == pytest.approx(np.mean(squares), rel=1e-5)
    found = losses.hidden_cosine(tensor(student), tensor(teacher), mask)
    assert float(found) == pytest.approx(np.mean(cosines), rel=1e-5)


@pytest.mark.parametrize("heads", [1, 4])
def test_relations_of_models_of_two_widths(dice, mask, heads):
    student, teacher = dice.normal(0, 1, (3, 5, 8)), dice.normal(0, 1, (3, 5, 24))
    total = []
    for row, length in enumerate(LENGTHS):
        for head in range(heads):
            some = []
            for vectors in (student, teacher):
                width = vectors.shape[-1] // heads
                a = vectors[row, :length, head * width : (head + 1) * width]
                some.append(softmax(a @ a.T / math.sqrt(width)))
            q, p = some
            total += list((p * np.log(p / q)).sum(-1))
    found = losses.relations(tensor(student), tensor(teacher), mask, heads)
    assert float(found) == pytest.approx(np.sum(total) / heads / sum(LENGTHS), rel=1e-4)


def test_padding_counts_for_nothing_and_has_no_gradient(dice, mask):
    student, teacher = (tensor(one) for one in dice.normal(0, 1, (2, 3, 5, 8)))
    for loss in (
        losses.hidden_mse,
        losses.hidden_cosine,
        lambda s, t, m: losses.relations(s, t, m, 2),
    ):
        leaf = student.clone().requires_grad_()
        value = loss(leaf, teacher, mask)
        value.backward()
        other = student.clone()
        other[mask == 0] = 1e3
        assert float(loss(other, teacher, mask)) == pytest.approx(value.item(), rel=1e-5)
        assert torch.isfinite(leaf.grad).all()
        assert not leaf.grad[mask == 0].any()
        assert leaf.grad[mask == 1].any()


def test_labels_that_exclude_one_another(dice):
    logits, labels = dice.normal(0, 2, (4, 3)), np.array([2, -100, 0, 1])
    p = softmax(logits)
    expected = -(np.log(p[0, 2]) + np.log(p[2, 0]) + np.log(p[3, 1])) / 4
    found = losses.hard_labels(tensor(logits), torch.from_numpy(labels), "single_label")
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_labels_that_do_not_and_numbers(dice):
    logits = dice.normal(0, 2, (3, 2))
    labels = np.array([[1, 0], [np.nan, np.nan], [1, 1]])
    p = 1 / (1 + np.exp(-logits))
    each = -(labels * np.log(p) + (1 - labels) * np.log(1 - p))
    expected = np.nansum(each.mean(-1)) / 3
    found = losses.hard_labels(tensor(logits), tensor(labels), "multi_label")
    assert float(found) == pytest.approx(expected, rel=1e-5)
    numbers = np.array([1.5, np.nan, -2.0])
    expected = np.nansum((logits[:, 0] - numbers) ** 2) / 3
    found = losses.hard_labels(tensor(logits[:, :1]), tensor(numbers), "regression")
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("problem", ["multi_label", "regression"])
def test_rows_without_labels_have_no_gradient(dice, problem):
    leaf = tensor(dice.normal(0, 2, (2, 1))).requires_grad_()
    labels = torch.tensor([float("nan"), 1.0])
    labels = labels[:, None] if problem == "multi_label" else labels
    losses.hard_labels(leaf, labels, problem).backward()
    assert leaf.grad[0] == 0
    assert leaf.grad[1] != 0


def test_soft_answers_by_problem(dice):
    student, teacher = (tensor(one) for one in dice.normal(0, 2, (2, 5, 3)))
    for problem, kind, expected in (
        ("single_label", "kl", losses.soft_targets(student, teacher, 3.0)),
        ("multi_label", "kl", losses.soft_labels(student, teacher, 3.0)),
        ("regression", "kl", losses.logits_mse(student, teacher)),
        ("single_label", "mse", losses.logits_mse(student, teacher)),
    ):
        assert losses.soft_answers(student, teacher, problem, kind, 3.0) == expected


def test_weights_of_classes(dice):
    logits, labels = dice.normal(0, 2, (4, 2)), np.array([1, -100, 0, 1])
    weights = np.array([3.0, 0.5])
    p = softmax(logits)
    expected = -(0.5 * np.log(p[0, 1]) + 3 * np.log(p[2, 0]) + 0.5 * np.log(p[3, 1])) / 4
    found = losses.hard_labels(
        tensor(logits), torch.from_numpy(labels), "single_label", tensor(weights)
    )
    assert float(found) == pytest.approx(expected, rel=1e-5)
    table = np.array([[1.0, 0], [0, 1], [1, 1], [0, 0]])
    q = 1 / (1 + np.exp(-logits))
    each = -(weights * table * np.log(q) + (1 - table) * np.log(1 - q))
    found = losses.hard_labels(tensor(logits), tensor(table), "multi_label", tensor(weights))
    assert float(found) == pytest.approx(each.mean(), rel=1e-5)
