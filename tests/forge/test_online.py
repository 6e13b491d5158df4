"""Students that learn together: the loss written out, shapes that differ, bad input."""

from __future__ import annotations

import numpy as np
import pytest

import models
from limbeck.errors import InputError, TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import logits, objectives, online, teacher  # noqa: E402
from limbeck.forge.checkpoint import Student  # noqa: E402
from limbeck.forge.distil import DistilConfig  # noqa: E402
from limbeck.forge.examples import UNLABELLED, TrainingSet, training_set  # noqa: E402
from limbeck.forge.intermediate import IntermediateConfig  # noqa: E402
from limbeck.forge.tokenised import TokenisedSet  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

NAMES = ("no", "yes")
TRAINING = TrainingConfig(
    epochs=6, batch_size=16, learning_rate=2e-3, precision="fp32", max_tokens=32
)


def rows(count=200):
    draw = np.random.default_rng(count)
    words = ["good", "bad", "warm", "cold", "old", "house", "room", "view"]
    some = [draw.choice(words, draw.integers(2, 9)).tolist() for _ in range(count)]
    return training_set([(" ".join(it), None, NAMES["good" in it]) for it in some], NAMES)


def student(zoo, architecture="bert", *, hidden=72, seed=None, names=NAMES):
    shape = models.Shape(layers=2, hidden=hidden)
    directory = zoo(architecture, "feature-extraction", shape=shape, seed=seed)
    start = teacher.prepare(directory, names, TRAINING)
    return Student(
        model=start.model,
        source=start.source,
        tokenizer=start.tokenizer,
        labels=start.labels,
        max_tokens=start.max_tokens,
    )


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("soft_loss", ["kl", "mse"])
def test_the_loss_by_the_formula(soft_loss):
    answers = np.random.default_rng(1).normal(0, 2, (5, 3, 2)).astype(np.float32)
    labels = np.array([0, 1, 1, 0, 1, 0])
    places = np.array([4, 0, 5, 2, 1])
    config = DistilConfig(soft_weight=0.3, temperature=2.0, soft_loss=soft_loss)
    together = answers.mean(axis=1)
    expected = 0.0
    for k in range(3):
        own = answers[:, k]
        hard = -np.log(softmax(own)[np.arange(5), labels[places]]).mean()
        p, q = softmax(together / 2), softmax(own / 2)
        soft = 4 * (p * np.log(p / q)).sum(-1).mean()
        if soft_loss == "mse":
            soft = ((own - together) ** 2).mean()
        expected += 0.3 * soft + 0.7 * hard
    data = TrainingSet(texts=("",) * 6, labels=labels, names=NAMES)
    bare = TokenisedSet(ids=[], type_ids=[])
    loss = online.peer_loss(objectives.sequences(data, bare), 3, config)
    leaf = torch.tensor(answers.reshape(5, 6), requires_grad=True)
    found = loss(leaf, places, {})
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_students_of_other_shapes_learn_together(zoo):
    some = [
        student(zoo, seed=60),
        student(zoo, hidden=48, seed=61),
        student(zoo, "distilbert", seed=62),
    ]
    tables = [one.model.get_input_embeddings().weight for one in some]
    before = [table.detach().clone() for table in tables]
    data, config = rows(), DistilConfig(training=TRAINING)
    made, report = online.online(some, data, config)
    assert len(made) == 3
    for one in made:
        right = (logits.of(one, data).argmax(axis=1) == data.labels).mean()
        assert right > 0.9
        assert (one.lineage["step"], one.lineage["peers"]) == ("online", 3)
    assert report.last_loss < 0.5 * report.first_loss
    assert all(not torch.equal(a, b) for a, b in zip(before, tables, strict=True))


def test_frozen_word_tables_stay(zoo):
    some = [student(zoo, seed=60), student(zoo, seed=61)]
    before = [one.model.get_input_embeddings().weight.detach().clone() for one in some]
    how = TrainingConfig(epochs=1, batch_size=16, precision="fp32", freeze_embeddings=True)
    made, _ = online.online(some, rows(64), DistilConfig(training=how))
    for one, table in zip(made, before, strict=True):
        assert torch.equal(one.model.get_input_embeddings().weight, table)
        assert one.model.get_input_embeddings().weight.requires_grad


def test_what_does_not_fit_is_refused(zoo):
    one, data = student(zoo, seed=60), rows(20)
    with pytest.raises(InputError, match="at least two"):
        online.online([one], data)
    with pytest.raises(InputError, match="students have the labels"):
        online.online([one, student(zoo, seed=61, names=("a", "b"))], data)
    with pytest.raises(InputError, match="are not the student's"):
        online.online([one, one], training_set([("x", None, "a"), ("y", None, "b")], ("a", "b")))
    unlabelled = TrainingSet(texts=data.texts, labels=np.full(20, UNLABELLED), names=NAMES)
    with pytest.raises(TrainingError, match="have no label"):
        online.online([one, one], unlabelled)
    inside = DistilConfig(inside=IntermediateConfig(cosine_weight=1.0))
    with pytest.raises(TrainingError, match="there is no teacher"):
        online.online([one, one], data, inside)
