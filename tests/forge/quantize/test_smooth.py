"""Outliers moved into weights and biases: the same answers in float32, by the formulas, and what it
is worth in int8."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from comparing import relative_error
from limbeck import artifact, huggingface, runtimes
from limbeck.batch import PackedBatch, pack
from limbeck.engine import dequantize_weights, reference, static_ranges
from limbeck.engine.reference import fp32
from limbeck.errors import InputError, ModelError
from limbeck.spec import QuantSpec
from limbeck.tensors import Tensor

pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge.export import export
from limbeck.forge.quantize.rewriting import rewritten
from limbeck.forge.quantize.smooth import Channels, channels, smooth
from limbeck.forge.verify import Limits

pytestmark = pytest.mark.torch
TEXTS = ["the view from the old house was great " * 3, "we walk in the rain . " * 4] * 4


def batches(architecture: str, seed: int) -> list[PackedBatch]:
    rows = models.random_ids(architecture, (40, 9, 64, 17), seed=seed, pad_tokens=False)
    return [pack([row]) for row in rows]


@pytest.mark.parametrize(
    ("architecture", "activation"),
    [("bert", "gelu"), ("distilbert", "relu"), ("roberta", "gelu"), ("bert", "relu")],
)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_equal_answers(
    zoo: Callable[..., Path], architecture: str, activation: str, alpha: float
) -> None:
    shape = models.Shape(activation=activation)
    model = huggingface.read(zoo(architecture, "text-classification", shape=shape))
    encoder = model.spec.encoder
    spans = channels(encoder, model.weights, batches(architecture, 1))
    changed = smooth(encoder, model.weights, spans, alpha)
    made = {**model.weights, **changed}
    others = pack(models.random_ids(architecture, (50, 7, 33), seed=2))
    before = reference.forward(model.spec, model.weights, others, "fp32", "hidden")
    after = reference.forward(model.spec, made, others, "fp32", "hidden")
    assert relative_error(after, before) < 1e-5
    # the answer's own norm, the embeddings and the head stay as they were
    assert f"layers.{encoder.layers - 1}.ffn.norm.bias" not in changed
    assert not any(name.startswith(("head.", "embeddings.word")) for name in changed)
    assert not any(name.endswith("norm.gain") for name in changed)
    relu = activation == "relu"
    assert ("layers.0.ffn.in.weight" in changed) == relu


def test_by_the_formulas(zoo: Callable[..., Path]) -> None:
    model = huggingface.read(zoo("bert", "text-classification"))
    encoder, weights = model.spec.encoder, model.weights
    spans = channels(encoder, weights, batches("bert", 1))
    changed = smooth(encoder, weights, spans, 0.3)
    # z = (max + min) / 2, out of the norm's bias, and W z into the biases of those that read it
    seen: dict[str, list[Any]] = {}
    for batch in batches("bert", 1):
        fp32.encode(encoder, weights, batch, lambda name, x: seen.setdefault(name, []).append(x))
    inputs = {name: np.concatenate(parts) for name, parts in seen.items()}
    x = inputs["layers.1.attention.range"]
    z = (x.max(axis=0) + x.min(axis=0)) / 2
    was, now = weights["layers.0.ffn.norm.bias"].values, changed["layers.0.ffn.norm.bias"].values
    assert now == pytest.approx(was - z, abs=1e-5)
    key = "layers.1.attention.key"
    wanted = weights[f"{key}.bias"].values + weights[f"{key}.weight"].values @ z
    assert changed[f"{key}.bias"].values == pytest.approx(wanted, abs=1e-4)
    # s = max|X|**alpha / max|W|**(1 - alpha), up to one factor for all channels
    context = inputs["layers.1.attention.output.range"]
    moved = context - (context.max(axis=0) + context.min(axis=0)) / 2
    output = weights["layers.1.attention.output.weight"].values
    s = np.abs(moved).max(axis=0) ** 0.3 / np.abs(output).max(axis=0) ** 0.7
    found = changed["layers.1.attention.output.weight"].values[0] / output[0]
    assert found / found[0] == pytest.approx(s / s[0], rel=1e-4)
    value = weights["layers.1.attention.value.weight"].values
    assert changed["layers.1.attention.value.weight"].values * found[:, None] == pytest.approx(
        value, rel=1e-4
    )


def with_outliers(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """A trained encoder's sickness: a few channels behind each norm stand far from 0."""
    made = dict(weights)
    for i in range(layers):
        for norm in ("attention.norm", "ffn.norm"):
            name = f"layers.{i}.{norm}.bias"
            values = made[name].values.copy()
            values[[3, 40]] += np.float32([25, -14])
            made[name] = Tensor(shape=values.shape, values=values)
    return made


def test_outliers_cost_less_in_int8(zoo: Callable[..., Path]) -> None:
    model = huggingface.read(zoo("bert", "text-classification"))
    encoder = model.spec.encoder
    sick = with_outliers(dict(model.weights), encoder.layers - 1)
    calm = {**sick, **smooth(encoder, sick, channels(encoder, sick, batches("bert", 1)))}
    others = pack(models.random_ids("bert", (50, 7, 33), seed=2))
    exact = reference.forward(model.spec, sick, others, "fp32", "hidden")
    spec = replace(model.spec, quant=QuantSpec(precision="int8", activations="static"))

    def error(weights: dict[str, Tensor], static: bool) -> float:
        ranges = static_ranges(encoder, weights, batches("bert", 1)) if static else {}
        chosen = spec if static else model.spec
        found = reference.forward(chosen, {**weights, **ranges}, others, "int8", "hidden")
        return relative_error(found, exact)

    for static in (True, False):
        assert error(calm, static) < 0.5 * error(sick, static)


def test_zeros_and_channels_that_are_nothing(zoo: Callable[..., Path]) -> None:
    model = huggingface.read(zoo("distilbert", "text-classification"))
    encoder, weights = model.spec.encoder, dict(model.weights)

    def edit(name: str, rows: Any, columns: Any = None) -> None:
        values = weights[name].values.copy()
        values[rows if columns is None else (rows, columns)] = 0
        weights[name] = Tensor(shape=values.shape, values=values)

    edit("layers.0.attention.value.weight", slice(0, 8))  # heads that say nothing
    edit("layers.0.attention.value.bias", slice(0, 8))
    edit("layers.1.attention.output.weight", slice(None), slice(4, 8))  # and that nobody hears
    spans = channels(encoder, weights, batches("distilbert", 1))
    changed = smooth(encoder, weights, spans)
    assert all(np.isfinite(tensor.values).all() for tensor in changed.values())
    for name in ("layers.0.attention.value.weight", "layers.1.attention.output.weight"):
        assert np.array_equal(changed[name].values == 0, weights[name].values == 0)
    others = pack(models.random_ids("distilbert", (50, 7, 33), seed=2))
    before = reference.forward(model.spec, weights, others, "fp32", "hidden")
    after = reference.forward(model.spec, {**weights, **changed}, others, "fp32", "hidden")
    assert relative_error(after, before) < 1e-5


def test_export_smoothed(zoo: Callable[..., Path], tmp_path: Path) -> None:
    directory = zoo("bert", "text-classification")
    for name, static in (("both", None), ("smooth", False)):
        made = export(
            directory,
            tmp_path / name,
            calibrate=TEXTS,
            static=static,
            smooth=0.5,
            # two sentences are few for ranges that hold golden inputs of 160 random tokens
            limits=Limits(int8=0.6 if static is None else 0.25),
        )
        assert made.report.passed
        with artifact.read(tmp_path / name) as stored:
            assert stored.spec.quant.activations == ("dynamic" if static is False else "static")
            assert stored.lineage["calibration"]["smooth"] == 0.5
    source = runtimes.open_source(directory)
    opened = runtimes.open_source(tmp_path / "smooth")
    others = pack(models.random_ids("bert", (50, 7, 33), seed=2))
    exact = fp32.encode(source.spec.encoder, source.weights, others)
    floats = dequantize_weights(opened.weights)
    # weights were rounded, and nothing else: a model that was smoothed wrongly is far off
    assert relative_error(fp32.encode(source.spec.encoder, floats, others), exact) < 0.1


def test_what_cannot_be_asked(zoo: Callable[..., Path], tmp_path: Path) -> None:
    directory, out = zoo("bert", "text-classification"), tmp_path / "out"
    with pytest.raises(InputError, match="alpha of smoothing"):
        export(directory, out, calibrate=TEXTS, smooth=1.5)
    with pytest.raises(InputError, match="need texts"):
        export(directory, out, smooth=0.5)
    with pytest.raises(InputError, match="need texts"):
        export(directory, out, static=True)
    with pytest.raises(InputError, match="and so is smoothing"):
        export(directory, out, "fp32", calibrate=TEXTS, smooth=0.5)
    with pytest.raises(InputError, match="for static ranges or for smoothing"):
        export(directory, out, calibrate=TEXTS, static=False)
    assert not out.exists()
    model = huggingface.read(directory)
    with pytest.raises(InputError, match="at least one text"):
        channels(model.spec.encoder, model.weights, [])
    odd = Tensor(shape=(1,), values=np.zeros(1, np.float32))
    with pytest.raises(ModelError, match="has no tensor"):
        rewritten(directory, tmp_path / "odd", {"layers.99.ffn.in.bias": odd}, None)
    one = Channels(low=np.float32([-1, 2]), high=np.float32([3, 4]))
    assert one.middle.tolist() == [1, 3]
    assert one.moved(one.middle).largest.tolist() == [2, 1]


def test_a_sentence_model_and_shards(tmp_path: Path) -> None:
    directory = models.write_sentence_model(tmp_path / "sentences")
    config = json.loads((directory / "config.json").read_text())
    made = rewritten(
        directory,
        tmp_path / "made",
        {"layers.0.ffn.in.bias": Tensor(shape=(200,), values=np.arange(200, dtype=np.float32))},
        None,
    )
    assert json.loads((made / "config.json").read_text()) == config
    read = huggingface.read(made)
    assert read.spec.task.task == "sentence-embedding"
    assert read.weights["layers.0.ffn.in.bias"].values[7] == 7
    old = huggingface.read(directory)
    assert np.array_equal(
        read.weights["embeddings.word"].values, old.weights["embeddings.word"].values
    )
