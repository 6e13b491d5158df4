"""Learning from a teacher's inside: what is noted, what it costs, and that it is learned."""

from __future__ import annotations

import numpy as np
import pytest

import models
from limbeck.errors import InputError, ModelError, TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import distil, losses, students, teacher, training  # noqa: E402
from limbeck.forge.checkpoint import Student  # noqa: E402
from limbeck.forge.distil import DistilConfig  # noqa: E402
from limbeck.forge.examples import training_set  # noqa: E402
from limbeck.forge.intermediate import (  # noqa: E402
    IntermediateConfig,
    IntermediateLoss,
    even_map,
)
from limbeck.forge.taps import VECTORS, Taps  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

TRAINING = TrainingConfig(
    epochs=4, batch_size=16, learning_rate=1e-3, precision="fp32", max_tokens=32
)
NAMES = ("no", "yes")


def rows(count=160):
    draw = np.random.default_rng(count)
    words = ["good", "bad", "warm", "cold", "old", "house", "room", "view"]
    some = [draw.choice(words, draw.integers(2, 9)).tolist() for _ in range(count)]
    return training_set([(" ".join(it), None, NAMES["good" in it]) for it in some], NAMES)


def made(zoo, architecture="bert", *, layers=4, hidden=72, seed=None):
    directory = zoo(
        architecture,
        "feature-extraction",
        shape=models.Shape(layers=layers, hidden=hidden),
        seed=seed,
    )
    start = teacher.prepare(directory, NAMES, TRAINING)
    start.model.eval()
    return start


def as_student(start):
    return Student(
        model=start.model,
        source=start.source,
        tokenizer=start.tokenizer,
        labels=start.labels,
        max_tokens=start.max_tokens,
    )


def batch_of(start, count=12):
    some = rows(count)
    tokenised = training.tokenise(start.tokenizer, some, 32)
    return training.collate(start.model, tokenised, list(range(count)))


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_taps_note_what_transformers_gives(zoo, architecture):
    start = made(zoo, architecture)
    batch = batch_of(start)
    with torch.no_grad(), Taps(start.model, hidden=range(5), vectors=[2]) as taps:
        wanted = start.model(**batch, output_hidden_states=True).hidden_states
    for layer in range(5):
        torch.testing.assert_close(taps.hidden[layer], wanted[layer])
    assert set(taps.vectors) == {(2, name) for name in VECTORS}
    assert {value.shape for value in taps.vectors.values()} == {(*batch["input_ids"].shape, 72)}
    values = list(taps.vectors.values())
    assert not torch.equal(values[0], values[1])
    noted = taps.hidden[1].clone()
    with torch.no_grad():  # closed: nothing more is noted
        start.model(**{**batch, "input_ids": batch["input_ids"].flip(0)})
    assert torch.equal(taps.hidden[1], noted)
    with pytest.raises(ModelError, match="of an encoder of 4"), Taps(start.model, hidden=[5]):
        pass


def test_layers_are_mapped_evenly():
    assert even_map(3, 6) == ((0, 0), (1, 2), (2, 4), (3, 6))
    assert even_map(2, 2) == ((0, 0), (1, 1), (2, 2))
    assert even_map(4, 6)[-1] == (4, 6)


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_the_sum_is_that_of_the_losses(zoo, architecture):
    wise, young = made(zoo, architecture), made(zoo, architecture, layers=2, seed=50)
    config = IntermediateConfig(
        hidden_weight=0.5, cosine_weight=2.0, relation_weight=3.0, relation_heads=2
    )
    batch = batch_of(young)
    mask = batch["attention_mask"]
    with IntermediateLoss(young.model, wise.model, config) as inside, torch.no_grad():
        own = young.model(**batch, output_hidden_states=True).hidden_states
        found = inside(batch)
    other = wise.model(**batch, output_hidden_states=True).hidden_states
    pairs = [(own[i], other[j]) for i, j in ((0, 0), (1, 2), (2, 4))]
    expected = sum(
        0.5 * losses.hidden_mse(a, b, mask) + 2.0 * losses.hidden_cosine(a, b, mask)
        for a, b in pairs
    ) / len(pairs)
    with torch.no_grad(), Taps(young.model, vectors=[2]) as a, Taps(wise.model, vectors=[4]) as b:
        young.model(**batch)
        wise.model(**batch)
    for name in VECTORS:
        part = losses.relations(a.vectors[2, name], b.vectors[4, name], mask, 2)
        expected = expected + part
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-6)


def distance(young, wise, config):
    batch = batch_of(young, 40)
    with torch.no_grad(), IntermediateLoss(young.model, wise.model, config) as inside:
        young.model.eval()
        young.model(**batch)
        return float(inside(batch))


@pytest.mark.parametrize(
    "config",
    [
        IntermediateConfig(cosine_weight=1.0),
        IntermediateConfig(hidden_weight=1.0, layer_map=((1, 2), (2, 4))),
        IntermediateConfig(relation_weight=5.0),
    ],
)
def test_the_inside_is_learned(zoo, config):
    wise = made(zoo)
    data = rows()
    wanted = np.zeros((len(data), 2), dtype=np.float32)

    def trained(inside):
        young = as_student(made(zoo, layers=2, seed=51))
        how = DistilConfig(soft_weight=0.0, inside=inside, training=TRAINING)
        return distil.offline(young, data, wanted, how, teacher=wise)

    made_with, report = trained(config)
    made_without, _ = trained(IntermediateConfig())
    assert distance(made_with, wise, config) < 0.7 * distance(made_without, wise, config)
    assert np.isfinite(report.last_loss)
    assert made_with.lineage["config"]["inside"]["relation_weight"] == config.relation_weight


def test_a_narrower_student_learns_through_projections(zoo):
    wise, young = made(zoo), as_student(made(zoo, layers=2, hidden=48, seed=52))
    config = IntermediateConfig(hidden_weight=1.0, relation_weight=1.0)
    with IntermediateLoss(young.model, wise.model, config) as inside:
        assert [tuple(it.weight.shape) for it in inside.projections] == [(72, 48)] * 3
    data = rows()
    how = DistilConfig(soft_weight=0.0, inside=config, training=TRAINING)
    wanted = np.zeros((len(data), 2), dtype=np.float32)
    _, report = distil.offline(young, data, wanted, how, teacher=wise)
    assert report.last_loss < 0.7 * report.first_loss
    assert not any("projection" in name for name in young.model.state_dict())


def test_what_does_not_fit_is_refused(zoo):
    wise, young = made(zoo), as_student(made(zoo, layers=2, hidden=48, seed=52))
    data = rows(20)
    wanted = np.zeros((20, 2), dtype=np.float32)
    how = DistilConfig(inside=IntermediateConfig(cosine_weight=1.0), training=TRAINING)
    with pytest.raises(TrainingError, match="give it with teacher="):
        distil.offline(young, data, wanted, how)
    for config, message in (
        (IntermediateConfig(hidden_weight=1.0, layer_map=((1, 5),)), r"layers \(1, 5\)"),
        (IntermediateConfig(relation_weight=1.0, relation_layers=(3, 4)), r"layers \(3, 4\)"),
        (IntermediateConfig(relation_weight=1.0, relation_heads=5), "5 relation heads do not"),
    ):
        with pytest.raises(TrainingError, match=message):
            IntermediateLoss(young.model, wise.model, config)
    for fields in ({"hidden_weight": -1}, {"cosine_weight": float("nan")}, {"relation_heads": 0}):
        with pytest.raises(TrainingError, match="must"):
            IntermediateConfig(**fields)

    class Other:
        vocab_size = 7

        def same_tokens(self, other):
            return False

    import dataclasses

    strange = dataclasses.replace(wise, tokenizer=Other())
    with pytest.raises(InputError, match="must read the same tokens"):
        distil.offline(young, data, wanted, how, teacher=strange)


def test_a_full_student_costs_nothing(zoo):
    wise = made(zoo)
    young = students.every_other_layer(wise, 4)
    config = IntermediateConfig(hidden_weight=1.0, cosine_weight=1.0, relation_weight=1.0)
    assert distance(young, wise, config) == pytest.approx(0, abs=1e-5)
