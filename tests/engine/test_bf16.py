"""bf16: near float32, made at load, the same bits however a batch is put together; and what happens
on a CPU without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import limbeck
import models
from comparing import relative_error
from limbeck import huggingface
from limbeck.batch import pack
from limbeck.engine import Engine, isas, reference
from limbeck.engine.library import has_bf16
from limbeck.errors import EngineError
from limbeck.tensors import Tensor, Weights

Zoo = Callable[..., Path]
F32 = npt.NDArray[np.float32]
LENGTHS = (1, 3, 7, 16, 17, 30, 64, 100, 128, 5)
without = [isa for isa in isas() if not has_bf16(isa)]
needs_bf16 = pytest.mark.skipif(len(without) == len(isas()), reason="no AVX512-BF16")


def test_the_best_of_a_cpu_that_has_it_has_it() -> None:
    flags = Path("/proc/cpuinfo").read_text()
    assert has_bf16(isas()[0]) == ("avx512_bf16" in flags and "avx512_vnni" in flags)
    assert not has_bf16("reference")


def to_bf16(x: F32) -> F32:
    """The nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32)


@needs_bf16
@pytest.mark.parametrize(
    ("shape", "share"),
    [
        (models.Shape(layers=1), 0.2),
        (models.Shape(layers=1, hidden=42, heads=3, ffn=50), 0.2),
        (models.Shape(), 0.8),
    ],
)
@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_it_is_the_float_oracle_with_rounded_layers(
    zoo: Zoo,
    architecture: str,
    shape: models.Shape,
    share: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is left is a sum's own rounding, which now and then moves an input by a step: more of
    them with every layer."""
    model = huggingface.read(zoo(architecture, "text-classification", shape=shape))
    batch = pack(models.random_ids(architecture, LENGTHS))
    engine = Engine(model.spec, model.weights, precision="bf16", threads=2)
    outputs = ("hidden", "logits", "mean")
    exact = [reference.forward(model.spec, model.weights, batch, "fp32", o) for o in outputs]  # type: ignore[arg-type]
    plain = reference.fp32.linear

    def rounded(x: F32, weights: Weights, name: str) -> F32:
        if name.startswith("head."):
            return plain(x, weights, name)
        weight, bias = weights[name + ".weight"].dense(), weights[name + ".bias"].dense()
        return to_bf16(x) @ to_bf16(weight).T + bias

    monkeypatch.setattr(reference.fp32, "linear", rounded)
    for output, floats in zip(outputs, exact, strict=True):
        wanted = reference.forward(model.spec, model.weights, batch, "fp32", output)  # type: ignore[arg-type]
        found = engine.forward(batch, output)  # type: ignore[arg-type]
        noise = relative_error(wanted, floats)
        assert 5e-4 < noise < 5e-2, output
        assert relative_error(found, wanted) < share * noise, output


@needs_bf16
def test_the_bits_do_not_depend_on_threads_or_batch_mates(zoo: Zoo) -> None:
    model = huggingface.read(zoo("bert", "token-classification"))
    rows = models.random_ids("bert", LENGTHS)
    engines = [Engine(model.spec, model.weights, precision="bf16", threads=n) for n in (1, 2, 3)]
    alone = np.concatenate([engines[0].forward(pack([row]), "hidden") for row in rows])
    for engine in engines:
        assert engine.forward(pack(rows), "hidden").tobytes() == alone.tobytes()


@needs_bf16
def test_weights_take_half_the_room_and_int8_weights_may_be_the_source(zoo: Zoo) -> None:
    directory = zoo("bert", "text-classification")
    half, whole = (limbeck.load(directory, precision=p).describe() for p in ("bf16", "fp32"))
    assert half["precision"] == "bf16"
    assert half["note"] is None
    for row, like in zip(half["layers"], whole["layers"], strict=True):
        if row["name"].startswith("head."):
            assert row["kernel"] == like["kernel"]
        else:
            assert row["kernel"] == "gemm_bf16_f32_avx512bf16"
            assert row["packed_bytes"] < 0.55 * like["packed_bytes"]
    stored = limbeck.load(directory, precision="fp32")
    rows = models.random_ids("bert", [7, 30])
    found = limbeck.load(directory, precision="bf16").forward(rows)
    assert relative_error(found, stored.forward(rows)) < 5e-2


@pytest.mark.parametrize("isa", without)
def test_without_the_instruction_it_is_fp32_and_says_so(zoo: Zoo, isa: str) -> None:
    model = huggingface.read(zoo("bert", "text-classification"))
    asked, floats = (
        Engine(model.spec, model.weights, precision=p, threads=1, isa=isa)  # type: ignore[arg-type]
        for p in ("bf16", "fp32")
    )
    assert asked.precision == asked.describe()["precision"] == "fp32"
    assert "AVX512-BF16" in asked.describe()["note"]
    assert floats.describe()["note"] is None
    batch = pack(models.random_ids("bert", [7, 30]))
    assert asked.forward(batch).tobytes() == floats.forward(batch).tobytes()


@needs_bf16
def test_a_weight_beyond_bf16_is_refused(zoo: Zoo) -> None:
    model = huggingface.read(zoo("bert", "text-classification"))
    weights = dict(model.weights)
    name = "layers.1.ffn.in.weight"
    values = weights[name].values.copy()
    values[2, 3] = 3.4e38
    weights[name] = Tensor(shape=values.shape, values=values)
    Engine(model.spec, weights, precision="fp32", threads=1)
    with pytest.raises(EngineError, match="too large for bf16"):
        Engine(model.spec, weights, precision="bf16", threads=1)
