"""The one definition of int8: scales, rounding, and which weights take part.

x = scale * (q - zero_point). Weights are s8, symmetric, one scale an output row. Activations are
u8, asymmetric, one scale and zero point a token, found when the token comes by. Rounding is half
to even everywhere. docs/numerics.md says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from limbeck.errors import ModelError
from limbeck.spec import MAX_INT8_INPUTS, EncoderSpec, Precision
from limbeck.tensors import TENSOR_TABLE, Tensor, Weights

F32 = npt.NDArray[np.float32]

# -128 stays unused, so that a row and its negative quantise alike.
_WEIGHT_MAX = np.float32(127)
_ACTIVATION_MAX = np.float32(255)
# A token whose values span no more than this counts as all zero: 255 / range stays finite above.
FLAT_RANGE = np.float32(1e-30)


def quantize_rows(weight: F32) -> tuple[npt.NDArray[np.int8], F32]:
    """[F, K] f32 -> ([F, K] s8, scale [F] f32), scale = absmax / 127; an all-zero row gets scale 1.

    Raises:
        ModelError: NaN or infinity.
    """
    largest = np.abs(weight).max(axis=1, initial=0).astype(np.float32)
    if not np.isfinite(largest).all():
        raise ModelError("a weight holds NaN or infinity and cannot be quantised")
    scale = largest / _WEIGHT_MAX
    # A row so small that its scale underflows is as good as zero.
    scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
    values = np.rint(weight / scale[:, None])
    return np.clip(values, -_WEIGHT_MAX, _WEIGHT_MAX).astype(np.int8), scale


def quantize_activations(
    x: F32, extent: tuple[F32, F32] | None = None
) -> tuple[npt.NDArray[np.uint8], F32, npt.NDArray[np.uint8]]:
    """[T, K] f32 -> ([T, K] u8, scale [T] f32, zero point [T] u8).

    The range of a token always includes zero, so that zero is exact. Every operation is one float32
    operation, in this order; the native kernels do the same and get the same bits.

    Args:
        extent: low and high end [T] of each token, known beforehand; None: those of x.
    """
    low, high = token_extent(x) if extent is None else extent
    spread = high - low
    flat = ~(spread > FLAT_RANGE)
    divisor = np.where(flat, np.float32(1), spread)
    scale = np.where(flat, np.float32(1), spread * (np.float32(1) / _ACTIVATION_MAX))
    inverse = np.where(flat, np.float32(1), _ACTIVATION_MAX / divisor)
    zero_point = np.clip(np.rint(-low * inverse), 0, _ACTIVATION_MAX)
    values = np.rint(x * inverse[:, None]) + zero_point[:, None]
    return (
        np.clip(values, 0, _ACTIVATION_MAX).astype(np.uint8),
        scale.astype(np.float32),
        zero_point.astype(np.uint8),
    )


def token_extent(x: F32) -> tuple[F32, F32]:
    """Low and high end [T] of the range of each token's values and zero."""
    zero = np.float32(0)
    return np.minimum(x.min(axis=1), zero), np.maximum(x.max(axis=1), zero)


# Attention of int8 models, in 16-bit whole numbers: probabilities of 14 bits, and how many keys one
# 32-bit sum holds. The native kernel: native/kernels/attention_s16.
MOST_PROBABILITY = 16383
SUM_KEYS = 512
_MOST_WHOLE = 8191
_INT32_MAX = 2**31 - 1


def largest_whole(head_width: int) -> int:
    """Queries and keys become whole numbers up to this: head_width products of two fit int32."""
    return max(1, min(_MOST_WHOLE, math.isqrt(_INT32_MAX // head_width)))


def largest_whole_value(length: int) -> int:
    """Values become whole numbers up to this: with probabilities, SUM_KEYS products fit int32."""
    return min(_MOST_WHOLE, _INT32_MAX // (MOST_PROBABILITY * min(length, SUM_KEYS)))


def whole_numbers(x: F32, most: int) -> tuple[npt.NDArray[np.int64], F32]:
    """[n, D] f32 -> (whole numbers [n, D] from -most to most, scale [n]): x = scale * whole."""
    largest = np.abs(x).max(axis=1)
    flat = ~(largest > FLAT_RANGE)
    inverse = np.where(flat, np.float32(0), np.float32(most) / np.where(flat, 1, largest))
    scale = np.where(flat, np.float32(0), largest * (np.float32(1) / np.float32(most))).astype(
        np.float32
    )
    whole = np.clip(np.rint(x * inverse.astype(np.float32)[:, None]), -most, most)
    return whole.astype(np.int64), scale


def _kind(name: str) -> str:
    """The table's kind for a tensor name with its layer number filled in."""
    parts = name.split(".")
    row_name = ".".join(["layers", "{i}", *parts[2:]]) if parts[0] == "layers" else name
    return next((row.kind for row in TENSOR_TABLE if row.name == row_name), "float")


def _quantize(tensor: Tensor) -> Tensor:
    """int8 rows of a dense or block-sparse float32 tensor, in the same encoding."""
    if tensor.is_int8:
        return tensor
    if tensor.block is None:
        values, scale = quantize_rows(tensor.dense())
        return Tensor(shape=tensor.shape, values=values, scale=scale)
    # Zeros do not move a row's maximum, so the kept blocks get the scales of the dense row.
    dense, scale = quantize_rows(tensor.dense())
    return Tensor(
        shape=tensor.shape,
        values=_kept_blocks(dense, tensor),
        scale=scale,
        block=tensor.block,
        bitmap=tensor.bitmap,
    )


def _kept_blocks(dense: npt.NDArray[np.int8], like: Tensor) -> npt.NDArray[np.int8]:
    """The blocks of `dense` that `like` keeps, [kept, rows * cols], in bitmap order."""
    assert like.block is not None
    assert like.bitmap is not None
    rows, cols = like.block
    grid = (like.shape[0] // rows, like.shape[1] // cols)
    kept = np.unpackbits(like.bitmap, count=grid[0] * grid[1], bitorder="little").astype(bool)
    blocks = dense.reshape(grid[0], rows, grid[1], cols).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(blocks.reshape(-1, rows * cols)[kept])


def quantize_weights(weights: Weights, encoder: EncoderSpec) -> dict[str, Tensor]:
    """int8 rows for the encoder's linear layers and for the word embeddings; the rest as it is.

    Raises:
        ModelError: NaN weights, or rows so long that an int32 accumulator could overflow.
    """
    longest = max(encoder.hidden, encoder.ffn)
    if longest > MAX_INT8_INPUTS:
        raise ModelError(
            f"int8 supports at most {MAX_INT8_INPUTS} inputs a layer, this model has {longest}"
        )
    quantized = {}
    for name, tensor in weights.items():
        try:
            quantized[name] = tensor if _kind(name) == "float" else _quantize(tensor)
        except ModelError as error:
            raise ModelError(f"tensor {name}: {error}") from None
    return quantized


def dequantize_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """float32 for every tensor: scale times value. Block-sparse tensors become dense."""
    return {
        name: Tensor(shape=tensor.shape, values=tensor.dense()) if tensor.is_int8 else tensor
        for name, tensor in weights.items()
    }


def convert_weights(weights: Weights, encoder: EncoderSpec, precision: Precision) -> Weights:
    """The weights in the number format that `precision` computes with."""
    if precision == "int8":
        return quantize_weights(weights, encoder)
    return dequantize_weights(weights)
