"""Losses of tags, spans and vectors against their formulas, written out with plain sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import task_rows  # noqa: E402
from limbeck.forge import (  # noqa: E402
    ensemble,
    losses,
    objectives,
    questions,
    tagged,
    teacher,
    training,
)
from limbeck.forge.answers import Packed  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

CONFIG = TrainingConfig(precision="fp32", max_tokens=24, dropout=0.0)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def divergence(student: np.ndarray, wanted: np.ndarray, temperature: float) -> float:
    """T**2 * sum_i p_i * (log p_i - log q_i) of one distribution."""
    log_p, log_q = log_softmax(wanted / temperature), log_softmax(student / temperature)
    return float(temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum())


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def test_tags_by_the_formula() -> None:
    student, wise = drawn(3, 5, 4), drawn(3, 5, 4, seed=1)
    scored = np.array([[0, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0, 1, 0, 0, 0]], dtype=bool)
    labels = np.full((3, 5), -100)
    labels[0, [1, 2]], labels[1, [1, 3]] = [2, 0], [3, 3]  # nobody has tagged the third
    weights = np.array([0.5, 1.0, 2.0, 4.0], np.float32)
    places = [(b, s) for b in range(3) for s in range(5) if scored[b, s]]
    for given in (None, weights):
        expected = 0.0
        for b, s in places:
            if labels[b, s] >= 0:
                weight = 1.0 if given is None else given[labels[b, s]]
                expected -= weight * log_softmax(student[b, s])[labels[b, s]] / len(places)
        found = losses.hard_tags(
            torch.tensor(student),
            torch.tensor(labels),
            torch.tensor(scored),
            None if given is None else torch.tensor(given),
        )
        assert found.item() == pytest.approx(expected, rel=1e-5)
    tensors = torch.tensor(student), torch.tensor(wise), torch.tensor(scored)
    expected = np.mean([divergence(student[at], wise[at], 3.0) for at in places])
    assert losses.soft_tags(*tensors, "kl", 3.0).item() == pytest.approx(expected, rel=1e-5)
    expected = np.mean([(student[at] - wise[at]) ** 2 for at in places])
    assert losses.soft_tags(*tensors, "mse", 3.0).item() == pytest.approx(expected, rel=1e-5)
    nothing = losses.soft_tags(*tensors[:2], torch.zeros(3, 5, dtype=torch.bool), "kl", 3.0)
    assert nothing.item() == 0.0


def test_spans_by_the_formula() -> None:
    student, wise = drawn(3, 6, 2), drawn(3, 6, 2, seed=1)
    lengths = [6, 4, 5]
    places = np.array([[3, 5], [0, 0], [-100, -100]])
    mask = np.array([[s < length for s in range(6)] for length in lengths])
    expected = 0.0
    for row in (0, 1):  # nobody has said what answers the third
        for side in (0, 1):
            scores = student[row, : lengths[row], side]
            expected -= log_softmax(scores)[places[row, side]] / 6
    leaf = torch.tensor(student, requires_grad=True)
    found = losses.hard_spans(leaf, torch.tensor(places), torch.tensor(mask))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert torch.isfinite(leaf.grad).all()
    assert (leaf.grad[~torch.tensor(mask)] == 0).all()

    allowed = np.zeros((3, 6), dtype=bool)
    allowed[:, 0] = True
    allowed[0, 3:6] = allowed[1, 2:4] = True  # the third window holds no token of the context
    expected = np.mean(
        [
            divergence(student[row, allowed[row], side], wise[row, allowed[row], side], 2.0)
            for row in range(3)
            for side in (0, 1)
        ]
    )
    leaf = torch.tensor(student, requires_grad=True)
    tensors = leaf, torch.tensor(wise), torch.tensor(allowed)
    found = losses.soft_spans(*tensors, "kl", 2.0)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert torch.isfinite(leaf.grad).all()
    assert (leaf.grad[~torch.tensor(allowed)] == 0).all()
    expected = ((student - wise)[allowed] ** 2).mean()
    assert losses.soft_spans(*tensors, "mse", 2.0).item() == pytest.approx(expected, rel=1e-5)


def test_vectors_by_the_formula() -> None:
    first, second = drawn(3, 5), drawn(3, 5, seed=1)
    labels = np.array([1.0, np.nan, 0.25], np.float32)
    expected = 0.0
    for row in (0, 2):
        lengths = np.linalg.norm(first[row]) * np.linalg.norm(second[row])
        expected += (first[row] @ second[row] / lengths - labels[row]) ** 2 / 3
    found = losses.similarity(*map(torch.tensor, (first, second, labels)))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    soft = losses.soft_vectors(torch.tensor(first), torch.tensor(second)).item()
    apart = np.mean([((a - b) ** 2).sum() for a, b in zip(first, second, strict=True)])
    assert soft == pytest.approx(apart / np.mean([(b**2).sum() for b in second]), rel=1e-5)
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (first, second)]
    soft = losses.soft_vectors(*map(torch.tensor, unit)).item()
    assert soft == pytest.approx(2 - 2 * (unit[0] * unit[1]).sum(axis=1).mean(), rel=1e-4)


def test_sentences_alone_carry_the_soft_part_alone(zoo: Callable[..., Path]) -> None:
    pairs = task_rows.sentences(6)
    alone = replace(pairs.without_labels(), pairs=(None,) * 6)
    both = pairs.joined(alone)
    made = teacher.prepare(zoo("bert", "feature-extraction"), (), CONFIG, "regression", both.task)
    whole = objectives.objective(both, made.tokenizer, 24)
    assert len(whole.tokens) == 12
    assert len(whole.tokens.ids) == 18
    indexes = np.array([9, 2, 7, 5])
    assert whole.tokens.sequences(indexes).tolist() == [9, 2, 7, 5, 14, 17]
    answers = drawn(18, 72)
    batch = training.collate(made.model, whole.tokens, indexes)
    wanted = whole.of(answers, indexes, batch)
    found = torch.tensor(drawn(6, 72, seed=4))
    expected = losses.similarity(
        found[[1, 3]], found[[4, 5]], torch.tensor(pairs.labels[[2, 5]])
    ) / 2  # fmt: skip
    assert whole.hard(found, indexes, batch).item() == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_array_equal(wanted, answers[[9, 2, 7, 5, 14, 17]])
    lonely = np.array([8, 9])
    batch = training.collate(made.model, whole.tokens, lonely)
    assert whole.hard(found[:2], lonely, batch).item() == 0.0


def test_questions_have_the_loss_of_transformers(zoo: Callable[..., Path]) -> None:
    """Windows and places by hand and through transformers' tokenizer and model, one by one."""
    rows = task_rows.questions(12, longest=40)
    made = teacher.prepare(zoo("bert", "feature-extraction"), rows.names, CONFIG, "single_label",
                           rows.task)  # fmt: skip
    made.model.eval()
    found = questions.features(rows, made.tokenizer, made.max_tokens)
    whole = objectives.spans(found)
    fast = transformers.AutoTokenizer.from_pretrained(made.source)
    theirs = fast(
        list(rows.questions),
        list(rows.contexts),
        truncation="only_second",
        max_length=24,
        stride=12,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    owners = theirs["overflow_to_sample_mapping"]
    assert found.tokens.rows.tolist() == owners
    assert found.tokens.ids == theirs["input_ids"]
    assert len(owners) > 12
    answered = 0
    for window, row in enumerate(owners):
        start = end = 0
        offsets, parts = theirs["offset_mapping"][window], theirs.sequence_ids(window)
        for answer in rows.answers[row][:1]:
            first, last = answer.start, answer.start + len(answer.text)
            covering = [
                at
                for at, part in enumerate(parts)
                if part == 1 and offsets[at][0] < last and offsets[at][1] > first
            ]
            context = [at for at, part in enumerate(parts) if part == 1]
            if offsets[context[0]][0] <= first and offsets[context[-1]][1] >= last:
                start, end = covering[0], covering[-1]
                answered += 1
        assert found.places[window].tolist() == [start, end]
        indexes = np.array([window])
        batch = training.collate(made.model, found.tokens, indexes)
        # transformers lets padding be an answer, so it is given none
        bare = {name: value[:, : len(found.tokens.ids[window])] for name, value in batch.items()}
        expected = made.model(
            **bare, start_positions=torch.tensor([start]), end_positions=torch.tensor([end])
        ).loss
        ours = whole.hard(training.forward(made.model, batch, "fp32"), indexes, batch)
        assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    assert 0 < answered < len(owners)


def test_a_word_speaks_through_its_first_token(zoo: Callable[..., Path]) -> None:
    made = teacher.prepare(zoo("bert", "feature-extraction"), ("O", "B-X"), CONFIG, "single_label",
                           "token-classification")  # fmt: skip
    words = ["walking", "\u200b", "to", "anna's", "house"] + ["road"] * 30
    rows = tagged.tagged_set([(words, ["B-X", "O", "O", "B-X", "O"] + ["O"] * 30)], ("O", "B-X"))
    found = tagged.features(rows, made.tokenizer, 24)
    tokens = [made.tokenizer.token(one) for one in found.tokens.ids[0]]
    assert len(tokens) == 24
    first = found.first[0]
    assert [tokens[at] for at in first[[0, 2, 3, 4]]] == ["walk", "to", "anna", "house"]
    assert first[1] == -1, "the tokenizer drops a zero-width space"
    assert (first[-5:] == -1).all(), "these words are cut off"
    assert found.labels[first[0]] == 1
    assert found.labels[first[0] + 1] == -100, "##ing says nothing"
    assert found.scored.sum() == (first >= 0).sum()
    assert (found.labels[~found.scored] == -100).all()
    np.testing.assert_allclose(tagged.tag_weights(rows), [35 / (2 * 33), 35 / (2 * 2)])


def test_several_teachers_of_tokens_by_the_formula() -> None:
    offsets = np.array([0, 3, 7])

    def packed(task: str, seed: int, width: int) -> Packed:
        return Packed(task=task, values=drawn(7, width, seed=seed), offsets=offsets, tokens="x")

    some = [packed("token-classification", seed, 4) for seed in (0, 1)]
    mixed = ensemble.combine(some, temperature=2.0)
    expected = np.mean([np.exp(log_softmax(one.values / 2)) for one in some], axis=0)
    np.testing.assert_allclose(np.exp(log_softmax(mixed.values / 2)), expected, rtol=1e-4)
    labels = np.array([0, 1, -100, 2, 3, -100, 1])
    wise = ensemble.combine(some, "confidence", labels=labels)
    plain = ensemble.combine([one.values for one in some], "confidence", labels=labels)
    np.testing.assert_array_equal(wise.values, plain)

    spans = [packed("question-answering", seed, 2) for seed in (0, 1)]
    mixed = ensemble.combine(spans, "weighted", weights=[3.0, 1.0], temperature=2.0)
    for begin, end in ((0, 3), (3, 7)):
        parts = [np.exp(log_softmax(one.values[begin:end].T / 2)) for one in spans]
        expected = 0.75 * parts[0] + 0.25 * parts[1]
        found = np.exp(log_softmax(mixed.values[begin:end].T / 2))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    with pytest.raises(ValueError, match="mean or weighted"):
        ensemble.combine(spans, "confidence")
    with pytest.raises(ValueError, match="different tasks"):
        ensemble.combine([spans[0], some[0]])
    with pytest.raises(ValueError, match="read different tokens"):
        ensemble.combine([some[0], replace(some[1], tokens="y")])
