"""The definition of int8."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from limbeck import artifact
from limbeck.engine.quantization import (
    convert_weights,
    dequantize_weights,
    quantize_activations,
    quantize_rows,
    quantize_weights,
)
from limbeck.errors import ModelError
from limbeck.spec import MAX_INT8_INPUTS, EncoderSpec
from limbeck.tensors import Tensor, expected_tensors

# Ranges below 1e-30 come out of no layer norm; the inverse of the smallest would leave float32.
finite = st.floats(-1e6, 1e6, width=32).map(lambda x: x if abs(x) > 1e-30 else 0.0)
matrices = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=finite)

ENCODER = EncoderSpec(
    architecture="bert", layers=2, hidden=16, heads=2, ffn=24, vocab=50, positions=20, types=2
)


def random_weights(seed: int = 0) -> dict[str, Tensor]:
    rng = np.random.default_rng(seed)
    return {
        name: Tensor(shape=shape, values=rng.standard_normal(shape).astype(np.float32))
        for name, shape, _ in expected_tensors(ENCODER, None, 0)
    }


def test_rows_by_hand() -> None:
    values, scale = quantize_rows(np.array([[1, -2, 0.5], [0, 0, 0], [127, 1.5, 2.5]], np.float32))
    # 0.5 * 127 / 2 = 31.75; halves go to the even neighbour; a zero row keeps scale 1.
    assert values.tolist() == [[64, -127, 32], [0, 0, 0], [127, 2, 2]]
    assert scale.tolist() == [np.float32(2) / np.float32(127), 1, 1]
    assert values.dtype == np.int8
    assert scale.dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_rows_are_within_half_a_step(weight: np.ndarray) -> None:
    values, scale = quantize_rows(weight)
    assert values.min() >= -127
    assert (scale > 0).all()
    back = values.astype(np.float64) * scale[:, None]
    assert (np.abs(back - weight) <= 0.5001 * scale[:, None] + 1e-40).all()
    assert (np.abs(values).max(axis=1)[np.abs(weight).max(axis=1) > 1e-30] == 127).all()


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_activations_are_within_a_step_and_zero_is_exact(x: np.ndarray) -> None:
    q, scale, zero_point = quantize_activations(x)
    assert (q.dtype, scale.dtype, zero_point.dtype) == (np.uint8, np.float32, np.uint8)
    back = scale[:, None].astype(np.float64) * (q.astype(int) - zero_point[:, None].astype(int))
    assert (np.abs(back - x) <= 1.001 * scale[:, None]).all()
    assert (q == zero_point[:, None])[x == 0].all()


def test_activations_by_hand() -> None:
    x = np.array([[-1, 0, 1.55], [0, 0, 0], [2, 4, 5.1], [-3, -1, -0.5]], np.float32)
    q, scale, zero_point = quantize_activations(x)
    assert q.tolist() == [[0, 100, 255], [0, 0, 0], [100, 200, 255], [0, 170, 213]]
    assert zero_point.tolist() == [100, 0, 0, 255]
    np.testing.assert_allclose(scale, [0.01, 1, 0.02, 3 / 255], rtol=1e-6)


def test_tokens_do_not_share_a_range() -> None:
    x = np.array([[-0.01, 0.02], [100, -50]], np.float32)
    alone = [quantize_activations(row[None]) for row in x]
    together = quantize_activations(x)
    for part, whole in enumerate(together):
        assert [one[part][0].tolist() for one in alone] == whole.tolist()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_name(value: float) -> None:
    weights = random_weights()
    weights["layers.1.ffn.in.weight"].values[3, 4] = value
    with pytest.raises(ModelError, match=r"layers\.1\.ffn\.in\.weight: .*NaN or infinity"):
        quantize_weights(weights, ENCODER)


def test_which_tensors_take_part() -> None:
    quantized = quantize_weights(random_weights(), ENCODER)
    kinds = {name: row.kind for name, _, row in expected_tensors(ENCODER, None, 0)}
    for name, tensor in quantized.items():
        assert tensor.is_int8 == (kinds[name] != "float"), name
        assert (tensor.scale is not None) == tensor.is_int8
    assert quantized["embeddings.word"].is_int8
    assert not quantized["embeddings.position"].is_int8


def test_quantising_twice_changes_nothing_and_dequantising_undoes_the_format() -> None:
    weights = random_weights()
    once = quantize_weights(weights, ENCODER)
    twice = convert_weights(once, ENCODER, "int8")
    floats = dequantize_weights(once)
    again = quantize_weights(floats, ENCODER)
    for name, tensor in once.items():
        assert twice[name] is tensor
        assert floats[name].values.dtype == np.float32
        assert np.array_equal(floats[name].dense(), tensor.dense())
        assert np.array_equal(again[name].values, tensor.values)
    unchanged = convert_weights(weights, ENCODER, "fp32")
    assert all(unchanged[name] is tensor for name, tensor in weights.items())


def test_block_sparse_tensors_stay_so() -> None:
    weights = random_weights()
    name = "layers.0.ffn.in.weight"
    dense = weights[name].values.copy()
    keep = np.random.default_rng(3).random((6, 4)) < 0.4
    dense *= np.kron(keep, np.ones((4, 4), np.float32))
    weights[name] = artifact.encode_blocks(Tensor(shape=dense.shape, values=dense), (4, 4))
    sparse = quantize_weights(weights, ENCODER)[name]
    weights[name] = Tensor(shape=dense.shape, values=dense)
    plain = quantize_weights(weights, ENCODER)[name]
    assert sparse.block == (4, 4)
    assert sparse.values.shape == (int(keep.sum()), 16)
    assert np.array_equal(sparse.stored(), plain.values)
    assert np.array_equal(sparse.scale, plain.scale)  # type: ignore[arg-type]
    back = dequantize_weights({name: sparse})[name]
    assert np.array_equal(back.dense(), plain.dense())


def test_rows_too_long_for_an_accumulator() -> None:
    hidden = 2 * (MAX_INT8_INPUTS // 2) + 2
    encoder = EncoderSpec(
        architecture="bert", layers=1, hidden=hidden, heads=2, ffn=8, vocab=5, positions=5
    )
    with pytest.raises(ModelError, match=f"at most {MAX_INT8_INPUTS} inputs"):
        quantize_weights({}, encoder)
