"""Heads and columns that go whole: which ones, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from limbeck import load
from limbeck.errors import InputError, TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import logits as asked  # noqa: E402
from limbeck.forge import teacher, training  # noqa: E402
from limbeck.forge.distil import DistilConfig  # noqa: E402
from limbeck.forge.examples import training_set  # noqa: E402
from limbeck.forge.objectives import objective  # noqa: E402
from limbeck.forge.prune import PruneConfig, Schedule, Structure, layers, prune  # noqa: E402
from limbeck.forge.prune.structure import (  # noqa: E402
    Worth,
    by_gradient,
    by_magnitude,
    shrink,
)
from limbeck.forge.taps import encoder_layers  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

SHAPE = models.Shape(layers=2, hidden=48, heads=6, ffn=40)
H, D, F = 6, 8, 40
TRAINING = TrainingConfig(
    epochs=1, batch_size=8, learning_rate=1e-3, precision="fp32", max_tokens=24
)
ROWS = training_set(
    [
        (text, None, "yes" if "a" in text else "no")
        for text in (*models.SENTENCES, *(one[::-1] for one in models.SENTENCES))
    ],
    ("no", "yes"),
)


def fresh(zoo: Callable[..., Path], architecture: str = "bert") -> teacher.Teacher:
    encoder = zoo(architecture, "feature-extraction", shape=SHAPE)
    made = teacher.prepare(encoder, ("no", "yes"), TRAINING)
    made.model.eval()
    return made


def inputs_of(model: Any, gates: dict[tuple[int, str], Any]) -> Any:
    """Multiply what the attention output and the second feed-forward matrix read."""

    def gated(gate: Any) -> Any:
        return lambda module, inputs: (inputs[0] * gate,)

    return [
        layers.part(encoder_layers(model)[number], name).register_forward_pre_hook(gated(gate))
        for (number, name), gate in gates.items()
    ]


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_a_smaller_model_is_the_whole_one_with_gates_at_zero(
    zoo: Callable[..., Path], tmp_path: Path, architecture: str
) -> None:
    whole = fresh(zoo, architecture)
    draw = np.random.default_rng(3)
    worth = [Worth(torch.tensor(draw.random(H)), torch.tensor(draw.random(F))) for _ in range(2)]
    small = shrink(whole, Structure(heads=3, ffn=24), worth)
    assert small.model.config.num_attention_heads == 3
    assert small.parameters < whole.parameters
    rows = whole.tokenizer.encode(models.SENTENCES, None, max_tokens=24)
    tokens = training.TokenisedSet(ids=[r.ids for r in rows], type_ids=[r.type_ids for r in rows])
    batch = training.collate(whole.model, tokens, range(len(rows)))
    with torch.no_grad():
        found = training.forward(small.model, batch, "fp32")
        gates: dict[tuple[int, str], Any] = {}
        for number, one in enumerate(worth):
            heads = torch.zeros(H, D)
            heads[torch.argsort(one.heads)[-3:]] = 1.0
            gates[number, "attention.output"] = heads.flatten()
            columns = torch.zeros(F)
            columns[torch.argsort(one.ffn)[-24:]] = 1.0
            gates[number, "ffn.out"] = columns
        hooks = inputs_of(whole.model, gates)
        wanted = training.forward(whole.model, batch, "fp32")
        for hook in hooks:
            hook.remove()
        ungated = training.forward(whole.model, batch, "fp32")
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert (ungated - wanted).abs().max() > 1e-2
    directory = small.save(tmp_path / "small")
    answers = load(directory).forward([r.ids for r in rows], type_ids=[r.type_ids for r in rows])
    np.testing.assert_allclose(answers, found.numpy(), atol=1e-3)


def test_worth_by_gradient_is_that_of_a_gate(zoo: Callable[..., Path]) -> None:
    """E |dL / dg| with a real gate in the model, a row at a time."""
    wise = fresh(zoo)
    wanted = objective(ROWS, wise.tokenizer, wise.max_tokens)
    found = by_gradient(wise.model, wanted.tokens, wanted.hard, 5, 100)
    assert all(p.grad is None for p in wise.model.parameters())
    heads, columns = np.zeros((2, H)), np.zeros((2, F))
    for row in range(len(ROWS)):
        gates: dict[tuple[int, str], Any] = {}
        leaves = []
        hooks = []
        for number in range(2):
            gate, other = (torch.ones(n, requires_grad=True) for n in (H, F))
            leaves.append((gate, other))
            gates[number, "attention.output"] = gate.repeat_interleave(D)
            gates[number, "ffn.out"] = other
        hooks = inputs_of(wise.model, gates)
        indexes = np.array([row])
        batch = training.collate(wise.model, wanted.tokens, indexes)
        training.backward(wanted.hard(training.forward(wise.model, batch, "fp32"), indexes, batch))
        for hook in hooks:
            hook.remove()
        for number, (gate, other) in enumerate(leaves):
            heads[number] += gate.grad.abs().numpy() / len(ROWS)
            columns[number] += other.grad.abs().numpy() / len(ROWS)
    for number, one in enumerate(found):
        np.testing.assert_allclose(one.heads.numpy(), heads[number], rtol=1e-3, atol=1e-7)
        np.testing.assert_allclose(one.ffn.numpy(), columns[number], rtol=1e-3, atol=1e-7)


def test_worth_by_magnitude_is_that_of_the_weights(zoo: Callable[..., Path]) -> None:
    wise = fresh(zoo, "distilbert")
    found = by_magnitude(wise.model)[1]
    layer = wise.model.distilbert.transformer.layer[1]
    value = layer.attention.v_lin.weight.detach().double().numpy()
    out = layer.attention.out_lin.weight.detach().double().numpy()
    first = layer.ffn.lin1.weight.detach().double().numpy()
    second = layer.ffn.lin2.weight.detach().double().numpy()
    for head in range(H):
        own = slice(head * D, (head + 1) * D)
        assert found.heads[head].item() == pytest.approx(np.linalg.norm(out[:, own] @ value[own]))
    for column in range(F):
        wanted = np.linalg.norm(first[column]) * np.linalg.norm(second[:, column])
        assert found.ffn[column].item() == pytest.approx(wanted)


@pytest.mark.parametrize("importance", ["gradient", "magnitude"])
def test_heads_columns_and_blocks_in_one_step(zoo: Callable[..., Path], importance: Any) -> None:
    student = fresh(zoo)
    wanted = asked.of(student, ROWS, None)
    how = PruneConfig(
        sparsity=0.7,
        schedule=Schedule(every=1),
        structure=Structure(heads=3, ffn=24, importance=importance),
        distil=DistilConfig(soft_weight=1.0, training=replace(TRAINING, epochs=4)),
    )
    made, report = prune(student, ROWS, wanted, how)
    config = made.model.config
    assert (config.num_attention_heads, config.intermediate_size) == (3, 24)
    # half of each head's rows is what heads that went left behind
    for number in range(2):
        for name in ("query", "key", "value"):
            weight = layers.part(encoder_layers(made.model)[number], f"attention.{name}").weight
            assert not weight.view(3, 16, 48)[:, 8:].any()
        assert report.layers[f"layers.{number}.attention.value"] >= 0.5
    assert report.sparsity == pytest.approx(0.7, abs=0.01)
    assert made.lineage["config"]["structure"]["heads"] == 3
    assert student.model.config.num_attention_heads == H


def test_what_cannot_be_kept(zoo: Callable[..., Path]) -> None:
    student = fresh(zoo)
    wanted = asked.of(student, ROWS, None)

    def refused(**structure: Any) -> PruneConfig:
        return PruneConfig(structure=Structure(**structure))

    with pytest.raises(InputError, match="has 6 heads; it cannot keep 7"):
        prune(student, ROWS, wanted, refused(heads=7))
    with pytest.raises(InputError, match=r"5 heads do not divide a width of 48; .* 1, 2, 3, 4, 6"):
        prune(student, ROWS, wanted, refused(heads=5))
    with pytest.raises(InputError, match="has 40 feed-forward columns; it cannot keep 41"):
        prune(student, ROWS, wanted, refused(ffn=41))
    with pytest.raises(TrainingError, match="heads must be at least 1"):
        Structure(heads=0)
    with pytest.raises(TrainingError, match="importance must be one of"):
        Structure(importance="luck")  # type: ignore[arg-type]
