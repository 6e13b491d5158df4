"""Static ranges of activations: the oracle's bits everywhere, values beyond a range, and where the
ranges come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from comparing import relative_error
from limbeck import artifact, huggingface
from limbeck.batch import pack
from limbeck.engine import Engine, isas, reference, static_ranges
from limbeck.errors import ArtifactError, EngineError, InputError, ModelError
from limbeck.huggingface import HuggingFaceModel
from limbeck.spec import ModelSpec, QuantSpec
from limbeck.tensors import Tensor

Zoo = Callable[..., Path]
Weights = dict[str, Tensor]
LENGTHS = (1, 3, 7, 16, 17, 33, 64, 128, 5)
CASES = [
    ("bert", models.Shape()),
    ("roberta", models.Shape(layers=2, hidden=42, heads=3, ffn=50)),  # ffn fills no quad
    ("distilbert", models.Shape(layers=2, activation="relu")),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1].hidden}")
def model(zoo: Zoo, request: pytest.FixtureRequest) -> HuggingFaceModel:
    architecture, shape = request.param
    return huggingface.read(zoo(architecture, "text-classification", shape=shape))


def with_ranges(model: HuggingFaceModel, share: float = 1.0) -> tuple[ModelSpec, Weights]:
    """A static model. `share` below 1 narrows every range, so that some values lie beyond."""
    rows = models.random_ids(model.spec.encoder.architecture, (40, 9, 64), seed=8)
    ranges = static_ranges(model.spec.encoder, model.weights, [pack([row]) for row in rows])
    narrowed = {
        name: Tensor(shape=(2,), values=tensor.values * np.float32(share))
        for name, tensor in ranges.items()
    }
    spec = replace(model.spec, quant=QuantSpec(precision="int8", activations="static"))
    return spec, {**model.weights, **narrowed}


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("isa", isas())
def test_the_oracles_bits(model: HuggingFaceModel, isa: str, share: float) -> None:
    spec, weights = with_ranges(model, share)
    batch = pack(models.random_ids(spec.encoder.architecture, LENGTHS))
    short = pack(models.random_ids(spec.encoder.architecture, (5,)))  # threads split its rows
    for threads in (1, 2, 3):
        engine = Engine(spec, weights, precision="int8", threads=threads, isa=isa)
        for rows in (batch, short):
            for output in ("logits", "hidden"):
                wanted = reference.forward(spec, weights, rows, "int8", output)  # type: ignore[arg-type]
                assert engine.forward(rows, output).tobytes() == wanted.tobytes(), output  # type: ignore[arg-type]


def test_blocks_and_static_ranges_together(zoo: Zoo) -> None:
    model = huggingface.read(zoo("bert", "text-classification"))
    spec, weights = with_ranges(model)
    name = "layers.1.ffn.in.weight"
    dense = weights[name].values.copy()
    keep = np.random.default_rng(1).random((dense.shape[0] // 4, dense.shape[1] // 4)) < 0.1
    weights[name] = Tensor(
        shape=dense.shape, values=dense * np.kron(keep, np.ones((4, 4), np.float32))
    )
    engine = Engine(spec, weights, precision="int8", threads=2)
    patterns = {layer["name"]: layer["pattern"] for layer in engine.describe()["layers"]}
    assert patterns["layers.1.ffn.in"] is not None
    batch = pack(models.random_ids("bert", LENGTHS))
    wanted = reference.forward(spec, weights, batch, "int8")
    assert engine.forward(batch).tobytes() == wanted.tobytes()


def test_they_cost_accuracy_and_a_narrow_range_costs_more(model: HuggingFaceModel) -> None:
    batch = pack(models.random_ids(model.spec.encoder.architecture, LENGTHS))
    exact = reference.forward(model.spec, model.weights, batch, "fp32", "hidden")

    def error(spec: ModelSpec, weights: Any) -> float:
        engine = Engine(spec, weights, precision="int8", threads=1)
        assert engine.describe()["activations"] == spec.quant.activations
        return relative_error(engine.forward(batch, "hidden"), exact)

    own = replace(model.spec, quant=QuantSpec(precision="int8"))
    dynamic, static = error(own, model.weights), error(*with_ranges(model))
    assert dynamic < static < 6 * dynamic
    assert error(*with_ranges(model, 0.3)) > 2 * static


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_computing_in_floats_leaves_them_out(zoo: Zoo, precision: Any) -> None:
    model = huggingface.read(zoo("bert", "text-classification"))
    spec, weights = with_ranges(model)
    batch = pack(models.random_ids("bert", (7, 30)))
    found = Engine(spec, weights, precision=precision, threads=1)
    plain = Engine(model.spec, model.weights, precision=precision, threads=1)
    assert found.describe()["activations"] == "dynamic"
    assert found.forward(batch).tobytes() == plain.forward(batch).tobytes()


def test_a_model_that_lacks_one(zoo: Zoo) -> None:
    spec, weights = with_ranges(huggingface.read(zoo("bert", "text-classification")))
    del weights["layers.1.ffn.out.range"]
    with pytest.raises(ModelError, match=r"lack tensor layers\.1\.ffn\.out\.range"):
        Engine(spec, weights, precision="int8", threads=1)


BAD = [(0.5, 1.0), (-1.0, -0.5), (0.0, 0.0), (1.0, -1.0), (-3e38, 3e38)]


@pytest.mark.parametrize("ends", BAD)
def test_ends_that_make_no_range(zoo: Zoo, tmp_path: Path, ends: tuple[float, float]) -> None:
    model = huggingface.read(zoo("bert", "text-classification"))
    spec, weights = with_ranges(model)
    weights["layers.0.attention.range"] = Tensor(shape=(2,), values=np.array(ends, np.float32))
    with pytest.raises(EngineError, match=r"layers\.0\.attention\.range is no range"):
        Engine(spec, weights, precision="int8", threads=1)
    from limbeck.engine import quantize_weights

    stored = quantize_weights(weights, spec.encoder)
    with pytest.raises(ArtifactError, match=r"layers\.0\.attention\.range holds"):
        artifact.write(
            tmp_path / "bad", spec=spec, weights=stored, tokenizer_json=b"{}", lineage={}
        )
    assert not (tmp_path / "bad").exists()


def test_an_artifact_keeps_them(zoo: Zoo, tmp_path: Path) -> None:
    from limbeck.engine import quantize_weights

    spec, weights = with_ranges(huggingface.read(zoo("bert", "text-classification")))
    stored = quantize_weights(weights, spec.encoder)
    artifact.write(tmp_path / "a", spec=spec, weights=stored, tokenizer_json=b"{}", lineage={})
    with artifact.read(tmp_path / "a") as opened:
        assert opened.spec.quant == QuantSpec(precision="int8", activations="static")
        batch = pack(models.random_ids("bert", (7, 30)))
        found = Engine(opened.spec, opened.weights, precision="int8", threads=1).forward(batch)
    assert found.tobytes() == reference.forward(spec, weights, batch, "int8").tobytes()


def test_no_texts_and_inputs_that_are_all_zero(zoo: Zoo) -> None:
    model = huggingface.read(zoo("bert", "text-classification"))
    with pytest.raises(InputError, match="at least one text"):
        static_ranges(model.spec.encoder, model.weights, [])
    weights = dict(model.weights)
    for part in ("weight", "bias"):
        name = f"layers.1.ffn.in.{part}"
        weights[name] = Tensor(
            shape=weights[name].shape, values=np.zeros_like(weights[name].values)
        )
    with pytest.raises(InputError, match=r"layers\.1\.ffn\.out\.range would be empty"):
        static_ranges(model.spec.encoder, weights, [pack([[5, 6, 7]])])


def test_static_ranges_are_for_int8() -> None:
    with pytest.raises(ModelError, match="for int8 models"):
        QuantSpec(precision="fp32", activations="static")
