"""Proof that the comparison bites: each of these broken models must fail it.

The same bars as in test_equality, against the float32 oracle, which test_reference holds to
transformers: a model that drops a layer, skips attention or biases, or takes the other GELU may not
pass for right. What hides behind int8's own noise differs from the int8 oracle, which has no noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import models
from comparing import F32, relative_error
from limbeck import huggingface
from limbeck.batch import PackedBatch, pack
from limbeck.engine import Engine, reference
from limbeck.huggingface import HuggingFaceModel
from limbeck.spec import ModelSpec, Precision
from limbeck.tensors import Tensor

Zoo = Callable[..., Path]
Weights = dict[str, Tensor]
Mutation = Callable[[ModelSpec, Weights], tuple[ModelSpec, Weights]]

FP32_BAR = 1e-4
# 1.5 times the peer's int8 error, at the most: the largest that test_equality sees is 0.096.
INT8_BAR = 1.5 * 0.1
LENGTHS = (3, 2, 7, 30, 19, 100, 64, 5, 47, 128, 11, 16)


def _zero(weights: Weights, *endings: str, layer: int | None = None) -> Weights:
    """Zeros for the tensors whose names end so."""
    at = "layers." if layer is None else f"layers.{layer}."
    hit = {n for n in weights if n.endswith(endings) and n.startswith(at)}
    assert hit
    return weights | {
        n: Tensor(shape=weights[n].shape, values=np.zeros_like(weights[n].values)) for n in hit
    }


def same(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    return spec, weights


def drop_last_layer(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    layers = spec.encoder.layers - 1
    kept = {n: t for n, t in weights.items() if not n.startswith(f"layers.{layers}.")}
    return replace(spec, encoder=replace(spec.encoder, layers=layers)), kept


def drop_first_layer(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    _, moved = drop_last_layer(spec, weights)
    for name in list(moved):
        if name.startswith("layers."):
            _, number, rest = name.split(".", 2)
            moved[name] = weights[f"layers.{int(number) + 1}.{rest}"]
    return replace(spec, encoder=replace(spec.encoder, layers=spec.encoder.layers - 1)), moved


def zero_attention(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    return spec, _zero(weights, "attention.output.weight", "attention.output.bias")


def zero_attention_of_one_layer(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    return spec, _zero(weights, "attention.output.weight", layer=1)


def uniform_attention(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    return spec, _zero(weights, "attention.query.weight", "attention.query.bias")


def zero_biases(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    return spec, _zero(
        weights, "query.bias", "value.bias", "output.bias", "ffn.in.bias", "ffn.out.bias"
    )


def zero_ffn_biases_of_one_layer(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    return spec, _zero(weights, "ffn.in.bias", layer=0)


def other_gelu(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    return replace(spec, encoder=replace(spec.encoder, activation="gelu_tanh")), weights


def relu(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    return replace(spec, encoder=replace(spec.encoder, activation="relu")), weights


def other_epsilon(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    return replace(spec, encoder=replace(spec.encoder, norm_eps=1e-3)), weights


def other_positions(spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    position = weights["embeddings.position"]
    shifted = Tensor(shape=position.shape, values=np.roll(position.values, 1, axis=0))
    return spec, weights | {"embeddings.position": shifted}


# name -> (mutation, whether the coarser int8 comparison must see it too)
MUTATIONS = {
    m.__name__: (m, coarse)
    for m, coarse in [
        (drop_last_layer, True),
        (drop_first_layer, True),
        (zero_attention, True),
        (zero_attention_of_one_layer, True),
        (uniform_attention, True),
        (zero_biases, True),
        (zero_ffn_biases_of_one_layer, False),
        (other_gelu, False),
        (relu, True),
        (other_epsilon, False),
        (other_positions, True),
    ]
}


@dataclass(frozen=True)
class Case:
    """A model, a batch and the oracle's answers: float32's, and int8's."""

    model: HuggingFaceModel
    batch: PackedBatch
    wanted: dict[str, F32]
    rounded: dict[str, F32]

    def errors(self, mutation: Mutation, precision: Precision) -> dict[str, float]:
        """Of logits and of hidden states, when the engine runs the mutated model."""
        spec, weights = mutation(self.model.spec, dict(self.model.weights))
        engine = Engine(spec, weights, precision=precision, threads=1)
        return {
            output: relative_error(engine.forward(self.batch, output), wanted)  # type: ignore[arg-type]
            for output, wanted in self.wanted.items()
        }


@pytest.fixture(
    scope="module",
    params=[(a, t) for a in ("bert", "distilbert", "roberta") for t in models.TASKS[:2]],
    ids="-".join,
)
def case(zoo: Zoo, request: pytest.FixtureRequest) -> Case:
    model = huggingface.read(zoo(*request.param))
    batch = pack(models.random_ids(request.param[0], LENGTHS))
    wanted, rounded = (
        {
            output: reference.forward(model.spec, model.weights, batch, precision, output)  # type: ignore[arg-type]
            for output in ("logits", "hidden")
        }
        for precision in ("fp32", "int8")
    )
    return Case(model, batch, wanted, rounded)


def test_the_unbroken_model_passes(case: Case) -> None:
    assert max(case.errors(same, "fp32").values()) < FP32_BAR
    assert max(case.errors(same, "int8").values()) < INT8_BAR
    engine = Engine(case.model.spec, case.model.weights, precision="int8", threads=1)
    for output, wanted in case.rounded.items():
        found = engine.forward(case.batch, output)  # type: ignore[arg-type]
        assert found.tobytes() == wanted.tobytes(), output


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_model_fails(case: Case, name: str) -> None:
    mutation, coarse = MUTATIONS[name]
    assert min(case.errors(mutation, "fp32").values()) > 2 * FP32_BAR
    if coarse:
        assert min(case.errors(mutation, "int8").values()) > INT8_BAR
    spec, weights = mutation(case.model.spec, dict(case.model.weights))
    engine = Engine(spec, weights, precision="int8", threads=1)
    for output, wanted in case.rounded.items():
        found = engine.forward(case.batch, output)  # type: ignore[arg-type]
        assert relative_error(found, wanted) > FP32_BAR, output
