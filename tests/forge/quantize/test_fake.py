"""Fake quantisation in torch gives the integers and scales of the engine, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from comparing import relative_error
from limbeck import runtimes
from limbeck.batch import pack
from limbeck.engine import quantization, reference, static_ranges
from limbeck.engine.reference import int8
from limbeck.spec import QuantSpec

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import checkpoint, training  # noqa: E402
from limbeck.forge.quantize import fake  # noqa: E402
from limbeck.forge.quantize.parts import linear_layers, word_table  # noqa: E402

pytestmark = pytest.mark.torch

TEXTS = [
    "The view from the old house was great, and the walk to the beach is short.",
    "no",
    "Rain, wind and snow: stay at home with tea and a good book all winter long!",
]


def awkward(rows: int, width: int, seed: int = 0) -> np.ndarray:
    """Ordinary rows, halves between two integers, an outlier, zeros, and what nearly is zero."""
    draw = np.random.default_rng(seed)
    x = draw.normal(0, 1, (rows, width)).astype(np.float32)
    x[0] = 0
    x[1] = 1e-38
    x[2] *= 1e-33
    x[3, 5] = 3e4
    x[4] = np.abs(x[4])
    x[5] = -np.abs(x[5])
    x[6] = np.arange(width) / 2 % 40
    x[7] = 3.25
    x[8] = np.ldexp(x[8], draw.integers(-20, 20, width))
    return x


def test_rows_of_weights() -> None:
    for seed in range(5):
        weight = awkward(64, 96, seed)
        whole, scale = fake.quantize_rows(torch.from_numpy(weight))
        wanted, wanted_scale = quantization.quantize_rows(weight)
        assert np.array_equal(whole.numpy(), wanted)
        assert scale.numpy().tobytes() == wanted_scale.tobytes()
        rounded = fake.rounded_rows(torch.from_numpy(weight)).numpy()
        assert np.array_equal(rounded, wanted.astype(np.float32) * wanted_scale[:, None])


@pytest.mark.parametrize("static", [False, True])
def test_activations(static: bool) -> None:
    for seed in range(5):
        x = awkward(64, 96, seed)
        extent = None
        if static:
            x = np.clip(x, np.float32(-0.7), np.float32(2.3))
            extent = (np.full(64, -0.7, np.float32), np.full(64, 2.3, np.float32))
        given = None if extent is None else tuple(torch.from_numpy(one) for one in extent)
        found = fake.quantize_activations(torch.from_numpy(x), given)
        for one, wanted in zip(found, quantization.quantize_activations(x, extent), strict=True):
            assert np.array_equal(one.numpy(), wanted)
        # [..., K]: tokens of padded batches, each for itself
        folded = fake.quantize_activations(torch.from_numpy(x).reshape(4, 16, 96))
        plain = fake.quantize_activations(torch.from_numpy(x))
        for one, wanted in zip(folded, plain, strict=True):
            assert torch.equal(one.reshape(wanted.shape), wanted)


class Noted:
    """What the int8 oracle computes on a batch: its quantiser's calls, and each linear layer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rounded: list[tuple[Any, Any, Any]] = []
        self.linear: dict[str, tuple[Any, Any]] = {}
        inner: list[Any] = []
        real_linear, real_activate = int8.linear, int8.arithmetic.activate

        def quantize(x: Any, extent: Any = None) -> Any:
            found = quantization.quantize_activations(x, extent)
            self.rounded.append((x, extent, found))
            return found

        def linear(x: Any, weights: Any, name: str, **given: Any) -> Any:
            found = real_linear(x, weights, name, **given)
            # what the second feed-forward layer reads is what the activation gave, unstaged
            self.linear[name] = (inner.pop() if name.endswith("ffn.out") else x, found)
            return found

        def activate(x: Any, kind: Any) -> Any:
            inner.append(real_activate(x, kind))
            return inner[-1]

        monkeypatch.setattr(int8, "quantize_activations", quantize)
        monkeypatch.setattr(int8, "linear", linear)
        monkeypatch.setattr(int8.arithmetic, "activate", activate)


def static_of(source: Any, batch: Any, how: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ranges as tensors, and as fake quantisation takes them."""
    found = static_ranges(source.spec.encoder, source.weights, [batch], how)
    return found, {name: tuple(map(float, one.values)) for name, one in found.items()}


def same_layers(model: Any, ranges: Any, noted: Noted) -> None:
    """Each layer, given the oracle's inputs, gives the oracle's outputs but for float addition."""
    layers = {name: layer for name, _, layer in linear_layers(model)}
    assert set(layers) == set(noted.linear)
    with torch.inference_mode(), fake.fake_quantised(model, ranges):
        for name, (x, wanted) in noted.linear.items():
            found = layers[name](torch.from_numpy(x)[None])[0].numpy()
            assert np.abs(found - wanted).max() < 2e-5 * np.abs(wanted).max(), name
    x, wanted = noted.linear["layers.0.ffn.out"]
    plain = layers["layers.0.ffn.out"](torch.from_numpy(x)).detach().numpy()
    assert np.abs(plain - wanted).max() > 1e-3 * np.abs(wanted).max()


@pytest.mark.parametrize("activations", ["dynamic", "static"])
def test_the_oracles_integers_on_a_real_encoder(
    minilm: Path, monkeypatch: pytest.MonkeyPatch, activations: Any
) -> None:
    source = runtimes.open_source(minilm)
    encoder = source.spec.encoder
    rows = source.tokenizer().encode(TEXTS, max_tokens=64)
    batch = pack([row.ids for row in rows])
    weights, ranges = dict(quantization.quantize_weights(source.weights, encoder)), None
    if activations == "static":
        found, ranges = static_of(source, batch, "mse")
        weights |= found
    noted = Noted(monkeypatch)
    int8.encode(encoder, weights, batch)
    assert len(noted.rounded) == 6 * encoder.layers

    # weights and the word table: the integers and scales that the artifact stores
    model = checkpoint.load(minilm, "sentence-embedding").model
    for name, _, layer in linear_layers(model):
        whole, scale = fake.quantize_rows(layer.weight.detach())
        assert np.array_equal(whole.numpy(), weights[f"{name}.weight"].values)
        assert np.array_equal(scale.numpy(), weights[f"{name}.weight"].scale)
    table = weights["embeddings.word"]
    assert table.scale is not None
    whole, scale = fake.quantize_rows(word_table(model).weight.detach()[batch.ids])
    assert np.array_equal(whole.numpy(), table.values[batch.ids])
    assert np.array_equal(scale.numpy(), table.scale[batch.ids])
    with torch.inference_mode(), fake.fake_quantised(model):
        looked_up = word_table(model)(torch.from_numpy(batch.ids)[None])[0].numpy()
    assert np.array_equal(
        looked_up, table.values[batch.ids].astype(np.float32) * table.scale[batch.ids, None]
    )

    # activations: the same inputs give the same integers, scales and zero points
    for x, extent, wanted in noted.rounded:
        given = None if extent is None else tuple(torch.from_numpy(one) for one in extent)
        for one, other in zip(
            fake.quantize_activations(torch.from_numpy(x), given), wanted, strict=True
        ):
            assert np.array_equal(one.numpy(), other)
    same_layers(model, ranges, noted)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("activations", ["dynamic", "static"])
def test_every_layer_and_a_whole_pass(
    zoo: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    architecture: str,
    activations: Any,
) -> None:
    directory = zoo(architecture, "text-classification")
    source = runtimes.open_source(directory)
    ids = models.random_ids(architecture, (30, 9, 64), pad_tokens=False)
    batch = pack(ids)
    weights, ranges, spec = dict(source.weights), None, source.spec
    if activations == "static":
        found, ranges = static_of(source, batch, "minmax")
        weights |= found
        spec = replace(spec, quant=QuantSpec(precision="int8", activations="static"))
    model = checkpoint.load(directory).model
    plain = [model(torch.tensor([row])).logits[0].detach().numpy() for row in ids]
    noted = Noted(monkeypatch)
    wanted = reference.forward(spec, weights, batch, "int8")
    same_layers(model, ranges, noted)
    # the last bits of the float parts tip some integers, so whole passes are only as far from the
    # exact answer as one another
    with torch.inference_mode(), fake.fake_quantised(model, ranges):
        ours = [model(torch.tensor([row])).logits[0].numpy() for row in ids]
    exact = reference.forward(source.spec, source.weights, batch, "fp32")
    assert relative_error(np.stack(plain), exact) < 1e-4
    far = relative_error(wanted, exact)
    assert far > 1e-3
    assert 0.3 * far < relative_error(np.stack(ours), exact) < 3 * far
    # closed again, the model is what it was
    after = [model(torch.tensor([row])).logits[0].detach().numpy() for row in ids]
    assert all(np.array_equal(one, other) for one, other in zip(plain, after, strict=True))


def test_gradients_pass_through_rounding_but_not_beyond_a_static_range() -> None:
    x = torch.tensor([[-3.0, -0.5, 0.2, 1.9, 2.5]], requires_grad=True)
    weights = torch.arange(5.0)
    training.backward((fake.rounded_tokens(x) * weights).sum())
    assert x.grad is not None
    assert x.grad.tolist() == [weights.tolist()]
    x.grad = None
    found = fake.rounded_tokens(x, (-1.0, 2.0))
    training.backward((found * weights).sum())
    assert x.grad.tolist() == [[0.0, 1.0, 2.0, 3.0, 0.0]]
    assert found[0, 0].item() == pytest.approx(-1.0, abs=3 / 255)
    assert found[0, 4].item() == pytest.approx(2.0, abs=3 / 255)
    weight = torch.randn(3, 4, requires_grad=True)
    training.backward((fake.rounded_rows(weight) * 2).sum())
    assert weight.grad is not None
    assert weight.grad.tolist() == torch.full((3, 4), 2.0).tolist()


def test_queries_keys_and_values_read_the_same_rounded_inputs(zoo: Callable[..., Path]) -> None:
    model = checkpoint.load(zoo("bert", "text-classification")).model
    layers = {name: layer for name, _, layer in linear_layers(model)}
    x = torch.randn(2, 5, layers["layers.0.ffn.in"].in_features, requires_grad=True)
    with fake.fake_quantised(model):
        found = {name: layers[f"layers.0.attention.{name}"](x) for name in ("query", "key")}
        other = layers["layers.0.attention.query"](x * 2)  # another input is rounded anew
    for name, one in found.items():
        layer = layers[f"layers.0.attention.{name}"]
        wanted = torch.nn.functional.linear(
            fake.rounded_tokens(x), fake.rounded_rows(layer.weight), layer.bias
        )
        assert torch.equal(one, wanted)
    assert not torch.allclose(other, found["query"])
