"""What goes into an engine and what it refuses."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from limbeck import artifact, huggingface
from limbeck.batch import PackedBatch, pack
from limbeck.engine import Engine, SparseCosts, isas, quantize_weights, reference
from limbeck.errors import EngineError, InputError, ModelError
from limbeck.huggingface import HuggingFaceModel
from limbeck.tensors import Tensor

Zoo = Callable[..., Path]


@pytest.fixture(scope="module")
def model(zoo: Zoo) -> HuggingFaceModel:
    return huggingface.read(zoo("bert", "text-classification"))


@pytest.fixture(scope="module", params=["fp32", "int8"])
def engine(model: HuggingFaceModel, request: pytest.FixtureRequest) -> Engine:
    return Engine(model.spec, model.weights, precision=request.param, threads=2)


def batch_of(ids: Any, cu_seqlens: Any, type_ids: Any = None) -> PackedBatch:
    return PackedBatch(
        ids=np.asarray(ids, np.int32),
        type_ids=None if type_ids is None else np.asarray(type_ids, np.int32),
        cu_seqlens=np.asarray(cu_seqlens, np.int32),
    )


def test_shapes(engine: Engine, zoo: Zoo) -> None:
    batch = pack([[5, 6, 7], [8, 9]])
    hidden = engine.spec.encoder.hidden
    assert engine.forward(batch).shape == (2, 3)
    assert engine.forward(batch, "hidden").shape == (5, hidden)
    for output in ("mean", "cls", "max"):
        assert engine.forward(batch, output).shape == (2, hidden)  # type: ignore[arg-type]
    token = huggingface.read(zoo("bert", "token-classification"))
    engine = Engine(token.spec, token.weights, precision=engine.precision, threads=1)
    assert engine.forward(batch).shape == (5, 5)


def test_an_empty_batch_gives_an_empty_array(engine: Engine, zoo: Zoo) -> None:
    empty = pack([])
    hidden = engine.spec.encoder.hidden
    assert engine.forward(empty).shape == (0, 3)
    assert engine.forward(empty, "hidden").shape == (0, hidden)
    assert engine.forward(empty, "mean").shape == (0, hidden)
    assert engine.forward(empty).dtype == np.float32


@pytest.mark.parametrize("bad", [-1, -(2**31), 2**31 - 1, None])
def test_token_ids_out_of_range(engine: Engine, bad: int | None) -> None:
    bad = engine.spec.encoder.vocab if bad is None else bad
    with pytest.raises(InputError, match=rf"token id {bad} at token 1 of sequence 2 is outside"):
        engine.forward(batch_of([5, 6, 7, 8, bad, 9], [0, 2, 3, 6]))
    engine.forward(batch_of([0, engine.spec.encoder.vocab - 1], [0, 2]))


@pytest.mark.parametrize("bad", [-1, 2, 1000])
def test_type_ids_out_of_range(engine: Engine, bad: int) -> None:
    with pytest.raises(InputError, match=rf"token type id {bad} at token 0 of sequence 1"):
        engine.forward(batch_of([5, 6, 7], [0, 1, 3], [0, bad, 1]))


def test_type_ids_count(engine: Engine, zoo: Zoo) -> None:
    rows = [[5, 6, 7, 8, 9]]
    zeros = engine.forward(pack(rows, [[0] * 5]))
    assert np.array_equal(zeros, engine.forward(pack(rows)))
    assert not np.allclose(zeros, engine.forward(pack(rows, [[0, 0, 1, 1, 1]])), atol=1e-3)


def test_roberta_has_one_type_and_distilbert_none(zoo: Zoo) -> None:
    batch = pack([[5, 6, 7]], [[0, 0, 1]])
    roberta = huggingface.read(zoo("roberta", "text-classification"))
    engine = Engine(roberta.spec, roberta.weights, precision="fp32", threads=1)
    with pytest.raises(InputError, match=r"token type id 1 .* outside the model's 0 \.\. 0"):
        engine.forward(batch)
    distilbert = huggingface.read(zoo("distilbert", "text-classification"))
    engine = Engine(distilbert.spec, distilbert.weights, precision="fp32", threads=1)
    assert np.array_equal(engine.forward(batch), engine.forward(pack([[5, 6, 7]])))


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_the_longest_sequence_and_one_more(zoo: Zoo, architecture: str) -> None:
    model = huggingface.read(zoo(architecture, "text-classification"))
    engine = Engine(model.spec, model.weights, precision="fp32", threads=1)
    longest = models.max_tokens(architecture, models.Shape())
    rows = models.random_ids(architecture, [longest, 4], pad_tokens=False)
    wanted = reference.forward(model.spec, model.weights, pack(rows), "fp32", "hidden")
    np.testing.assert_allclose(engine.forward(pack(rows), "hidden"), wanted, atol=1e-4)
    rows[0].append(6)
    with pytest.raises(InputError, match=rf"sequence 0 has {longest + 1} tokens.* {longest}: trun"):
        engine.forward(pack(rows))


@pytest.mark.parametrize(
    ("ids", "cu_seqlens"),
    [
        ([5, 6, 7], [0, 2]),
        ([5, 6, 7], [1, 3]),
        ([5, 6, 7], [0, 4]),
        ([5, 6, 7], [0, 0, 3]),
        ([5, 6, 7], [0, 3, 2, 3]),
        ([5, 6, 7], [0, -1, 3]),
        ([5, 6, 7], []),
        ([], [0, 0]),
    ],
)
def test_lengths_that_do_not_fit(engine: Engine, ids: list[int], cu_seqlens: list[int]) -> None:
    with pytest.raises(InputError, match="cu_seqlens"):
        engine.forward(batch_of(ids, cu_seqlens))


def test_arrays_of_another_kind(engine: Engine) -> None:
    batch = pack([[5, 6, 7]])
    for field, value in (
        ("ids", batch.ids.astype(np.int64)),
        ("ids", batch.ids.astype(np.float32)),
        ("ids", batch.ids[None]),
        ("cu_seqlens", batch.cu_seqlens.astype(np.int64)),
        ("type_ids", np.zeros(3, np.int64)),
        ("type_ids", np.zeros(2, np.int32)),
    ):
        with pytest.raises(InputError):
            engine.forward(replace(batch, **{field: value}))


def test_arrays_with_gaps(engine: Engine) -> None:
    ids = np.array([5, 0, 6, 0, 7, 0], np.int32)[::2]
    found = engine.forward(batch_of([5, 6, 7], [0, 3]))
    batch = PackedBatch(ids=ids, type_ids=None, cu_seqlens=np.array([0, 3], np.int32))
    assert not ids.flags.c_contiguous
    assert np.array_equal(engine.forward(batch), found)


def test_outputs_that_do_not_exist(engine: Engine, zoo: Zoo) -> None:
    with pytest.raises(InputError, match="'softmax' is not one of logits, hidden"):
        engine.forward(pack([[5]]), "softmax")  # type: ignore[arg-type]
    plain = huggingface.read(zoo("bert", "feature-extraction"))
    headless = Engine(plain.spec, plain.weights, precision="fp32", threads=1)
    for batch in (pack([[5]]), pack([])):
        with pytest.raises(InputError, match="no classification head"):
            headless.forward(batch)


def test_a_precision_that_does_not_exist(model: HuggingFaceModel) -> None:
    with pytest.raises(InputError, match="'fp16' is not supported; supported: fp32, bf16, int8"):
        Engine(model.spec, model.weights, precision="fp16")  # type: ignore[arg-type]


def test_weights_that_do_not_match(model: HuggingFaceModel) -> None:
    weights = dict(model.weights)
    short = weights | {"head.classifier.bias": Tensor(shape=(2,), values=np.zeros(2, np.float32))}
    with pytest.raises(ModelError, match=r"head\.classifier\.bias has shape \[2\].*\[3\]"):
        Engine(model.spec, short, precision="fp32")
    del weights["layers.1.ffn.in.weight"]
    with pytest.raises(ModelError, match=r"lack tensor layers\.1\.ffn\.in\.weight"):
        Engine(model.spec, weights, precision="fp32")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name",
    [
        "embeddings.word",
        "embeddings.position",
        "layers.0.attention.query.weight",
        "layers.2.ffn.norm.gain",
        "head.classifier.bias",
    ],
)
def test_weights_that_are_not_finite(
    model: HuggingFaceModel, name: str, value: float, precision: Any
) -> None:
    tensor = model.weights[name]
    values = tensor.values.copy()
    values.flat[values.size // 2] = value
    weights = model.weights | {name: Tensor(shape=tensor.shape, values=values)}
    with pytest.raises((ModelError, EngineError), match=name.replace(".", r"\.")):
        Engine(model.spec, weights, precision=precision, threads=1)


def test_scales_that_make_no_sense(model: HuggingFaceModel) -> None:
    weights = quantize_weights(model.weights, model.spec.encoder)
    tensor = weights["layers.0.ffn.in.weight"]
    assert tensor.scale is not None
    for value in (np.nan, np.inf, -1.0, 0.0):
        scale = tensor.scale.copy()
        scale[7] = value
        broken = weights | {"layers.0.ffn.in.weight": replace(tensor, scale=scale)}
        with pytest.raises(EngineError, match=r"layers\.0\.ffn\.in\.weight has a scale"):
            Engine(model.spec, broken, precision="int8", threads=1)


def test_stored_and_computed_precision_may_differ(model: HuggingFaceModel) -> None:
    batch = pack(models.random_ids("bert", [7, 30]))
    int8 = quantize_weights(model.weights, model.spec.encoder)
    engines = [Engine(model.spec, w, precision="int8", threads=1) for w in (model.weights, int8)]
    assert np.array_equal(engines[0].forward(batch), engines[1].forward(batch))
    fp32 = Engine(model.spec, int8, precision="fp32", threads=1)
    assert fp32.precision == fp32.spec.quant.precision == "fp32"
    wanted = reference.forward(model.spec, int8, batch, "fp32")
    np.testing.assert_allclose(fp32.forward(batch), wanted, atol=1e-4)


def test_the_weights_may_go_and_answers_stay(zoo: Zoo) -> None:
    """All that the native side reads in place is kept alive by the engine."""
    read = huggingface.read(zoo("bert", "text-classification", seed=77))
    batch = pack(models.random_ids("bert", [7, 30]))
    for precision in ("fp32", "int8"):
        weights = {
            n: Tensor(shape=t.shape, values=t.values.copy()) for n, t in read.weights.items()
        }
        engine = Engine(read.spec, weights, precision=precision, threads=1)  # type: ignore[arg-type]
        before = engine.forward(batch)
        gone = weakref.ref(weights["layers.0.ffn.in.weight"].values)
        del weights
        gc.collect()
        assert gone() is None
        junk = [np.full(300_000, np.nan, np.float32) for _ in range(20)]
        assert np.array_equal(engine.forward(batch), before)
        del junk


def test_engines_are_freed(model: HuggingFaceModel) -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    before = threads()
    engine = Engine(model.spec, model.weights, precision="int8", threads=3)
    engine.forward(pack([[5, 6]]))
    assert threads() == before + 2
    del engine
    gc.collect()
    assert threads() == before


def test_a_forked_process_answers_alike(model: HuggingFaceModel) -> None:
    engine = Engine(model.spec, model.weights, precision="int8", threads=2)
    batch = pack(models.random_ids("bert", [7, 60]))
    expected = engine.forward(batch)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, engine.forward(batch).tobytes())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        found = np.frombuffer(answer.read(), np.float32)
    os.waitpid(pid, 0)
    assert np.array_equal(found, expected.ravel())
    assert np.array_equal(engine.forward(batch), expected)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("block", [(1, 4), (2, 4), (4, 4), (8, 4), (4, 1)])
def test_sparse_kernels_give_the_dense_bits(
    model: HuggingFaceModel, block: tuple[int, int], isa: str
) -> None:
    """Dense and block-sparse int8 are the same sums, so one decimal of difference is a bug."""
    weights = dict(model.weights)
    name = "layers.1.ffn.in.weight"
    dense = weights[name].values.copy()
    grid = (dense.shape[0] // block[0], dense.shape[1] // block[1])
    keep = np.random.default_rng(0).random(grid) < 0.1
    keep[:3] = False  # rows without a block
    dense *= np.kron(keep, np.ones(block, np.float32))
    weights[name] = Tensor(shape=dense.shape, values=dense)
    batch = pack(models.random_ids("bert", [7, 30]))
    encoded = weights | {name: artifact.encode_blocks(weights[name], block)}
    sparse = Engine(model.spec, encoded, precision="int8", threads=2, isa=isa)
    wanted = reference.forward(model.spec, weights, batch, "int8")
    assert sparse.forward(batch).tobytes() == wanted.tobytes()
    layer = {layer["name"]: layer for layer in sparse.describe()["layers"]}["layers.1.ffn.in"]
    assert layer["block"] == list(block)
    assert layer["sparsity"] == pytest.approx(1 - keep.mean())
    assert layer["pattern"] is not None
    assert layer["kernel"].startswith("spmm_u8s8_s32")
    assert layer["note"] is None
    assert layer["stored_bytes"] < 0.5 * dense.nbytes
    never = SparseCosts(dense=1.0, blocks=(99.0, 99.0, 99.0, 99.0), row_of_blocks=99.0)
    plain = Engine(model.spec, weights, precision="int8", threads=1, isa=isa, costs=never)
    assert {layer["pattern"] for layer in plain.describe()["layers"]} == {None}
    assert np.array_equal(plain.forward(batch), sparse.forward(batch))


def test_sparse_layers_that_run_dense_say_so(model: HuggingFaceModel) -> None:
    weights = dict(model.weights)
    name = "layers.1.ffn.in.weight"
    dense = weights[name].values.copy()
    dense[:4, :4] = 0
    encoded = weights | {
        name: artifact.encode_blocks(Tensor(shape=dense.shape, values=dense), (4, 4))
    }
    for precision, why in (("fp32", "kernels are int8"), ("int8", "would not be faster")):
        engine = Engine(model.spec, encoded, precision=precision, threads=1)  # type: ignore[arg-type]
        layers = {layer["name"]: layer for layer in engine.describe()["layers"]}
        assert layers["layers.1.ffn.in"]["pattern"] is None
        assert why in layers["layers.1.ffn.in"]["note"]
        assert layers["layers.0.ffn.in"]["note"] is None


def test_describe_counts_every_layer(engine: Engine) -> None:
    found = engine.describe()
    assert found["precision"] == engine.precision
    assert found["threads"] == 2
    names = [layer["name"] for layer in found["layers"]]
    parts = ("attention.qkv", "attention.output", "ffn.in", "ffn.out")
    assert names == [f"layers.{i}.{part}" for i in range(3) for part in parts] + [
        "head.dense",
        "head.classifier",
    ]
    int8 = "spmm_u8s8_s32" if engine.isa == "avx2" else "gemm_u8s8_s32"
    kernel = {"fp32": "gemm_f32", "int8": int8}[engine.precision]
    assert all(layer["kernel"].startswith(kernel) for layer in found["layers"][:12])
    assert found["layers"][0]["shape"] == [216, 72]
    assert found["layers"][0]["stored_bytes"] == 3 * 72 * 72 * 4
