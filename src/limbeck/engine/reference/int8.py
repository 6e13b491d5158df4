"""The forward pass of int8 models, in the engine's arithmetic: the same bits.

Whole numbers are exact in any order; what is float runs through `arithmetic`, which does each
operation in the engine's order. Formulas: docs/numerics.md.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch
from limbeck.engine.quantization import (
    FLAT_RANGE,
    MOST_PROBABILITY,
    SUM_KEYS,
    largest_whole,
    largest_whole_value,
    quantize_activations,
    token_extent,
    whole_numbers,
)
from limbeck.engine.reference import arithmetic
from limbeck.engine.reference.embeddings import embed
from limbeck.spec import EncoderSpec, HeadSpec
from limbeck.tensors import Weights

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

_HALF_MAX = np.float32(65504)


def encode(encoder: EncoderSpec, weights: Weights, batch: PackedBatch) -> F32:
    """Embeddings and all layers -> [T, C]."""
    eps = encoder.norm_eps
    x = layer_norm(embed(encoder, weights, batch), weights, "embeddings.norm", eps)
    for i in range(encoder.layers):
        at = f"layers.{i}."
        mixed = attention(encoder, weights, at + "attention.", x, batch.cu_seqlens)
        x = layer_norm(mixed + x, weights, at + "attention.norm", eps)
        x = layer_norm(feed_forward(encoder, weights, at, x) + x, weights, at + "ffn.norm", eps)
    return x


def linear(
    x: F32, weights: Weights, name: str, *, known: str = "", extent: tuple[F32, F32] | None = None
) -> F32:
    """[T, K] -> [T, F]: the exact integer product, then scales and bias.

    Args:
        known: the tensor with the inputs' static range, where the model has one.
        extent: otherwise low and high end [T] of each token's inputs; None: those of x.
    """
    weight = weights[name + ".weight"]
    static = weights.get(known)
    if static is not None:
        low, high = static.dense()
        x = np.clip(x, low, high)
        extent = (np.full(len(x), low), np.full(len(x), high))
    q, x_scale, zero_point = quantize_activations(x, extent)
    w = weight.stored().astype(np.float64)
    # Integers below 2**53 are exact in float64, so this is the int32 accumulator, by way of BLAS.
    dot = (q.astype(np.float64) @ w.T) - zero_point[:, None].astype(np.float64) * w.sum(axis=1)
    assert weight.scale is not None
    scale = x_scale[:, None] * weight.scale[None, :]
    centred = dot.astype(np.int32).astype(np.float32)
    return arithmetic.fma(centred, scale, weights[name + ".bias"].dense())


def feed_forward(encoder: EncoderSpec, weights: Weights, at: str, x: F32) -> F32:
    """Without a static range, the inner values wait in half precision until theirs is known: it is
    taken before that rounding."""
    inner = linear(x, weights, at + "ffn.in", known=at + "ffn.in.range")
    inner = arithmetic.activate(inner, encoder.activation)
    known = at + "ffn.out.range"
    if known in weights:
        return linear(inner, weights, at + "ffn.out", known=known)
    inner = np.clip(inner, -_HALF_MAX, _HALF_MAX)
    staged = inner.astype(np.float16).astype(np.float32)
    return linear(staged, weights, at + "ffn.out", extent=token_extent(inner))


def attention(encoder: EncoderSpec, weights: Weights, at: str, x: F32, cu_seqlens: I32) -> F32:
    """softmax(Q K^T / sqrt(D)) V for each head, within each sequence, and the output layer."""
    heads, width = encoder.heads, encoder.head_width
    shape = (x.shape[0], heads, width)
    query, key, value = (
        linear(x, weights, at + name, known=at + "range").reshape(shape)
        for name in ("query", "key", "value")
    )
    context = np.empty(shape, dtype=np.float32)
    for start, end in pairwise(cu_seqlens.tolist()):
        for h in range(heads):
            context[start:end, h] = mix(query[start:end, h], key[start:end, h], value[start:end, h])
    return linear(context.reshape(x.shape), weights, at + "output", known=at + "output.range")


def mix(query: F32, key: F32, value: F32) -> F32:
    """One head of one sequence, [n, D] each -> [n, D], in 16-bit whole numbers."""
    length, width = value.shape
    scale = np.float32(1) / np.sqrt(np.float32(width))
    most = largest_whole(width)
    q, q_scale = whole_numbers(query, most)
    k, k_scale = whole_numbers(key, most)
    v, v_scale = whole_numbers(value, largest_whole_value(length))
    scores = (q @ k.T).astype(np.float32) * ((q_scale * scale)[:, None] * k_scale)
    p = arithmetic.exp(scores - scores.max(axis=1, keepdims=True))
    top = v_scale.max()
    flat = not top > FLAT_RANGE
    most_probable = np.float32(MOST_PROBABILITY)
    up = np.float32(0) if flat else most_probable / top
    u = np.clip(np.rint(p * (v_scale * up)), 0, MOST_PROBABILITY).astype(np.int64)
    mixed = np.zeros((length, width), dtype=np.float32)
    for start in range(0, length, SUM_KEYS):
        block = slice(start, start + SUM_KEYS)
        mixed += (u[:, block] @ v[block]).astype(np.float32)
    down = np.float32(0) if flat else top * (np.float32(1) / most_probable)
    mixed = mixed * down
    return mixed / arithmetic.total(p, 1)[:, None]


def layer_norm(x: F32, weights: Weights, name: str, eps: float) -> F32:
    """Zero mean and unit (biased) variance over C, then gain and bias."""
    gain, bias = weights[name + ".gain"].dense(), weights[name + ".bias"].dense()
    return arithmetic.layer_norm(x, gain, bias, eps)


def classify(head: HeadSpec, weights: Weights, x: F32) -> F32:
    """Hidden states [n, C] -> logits [n, L]: the head is float32 in an int8 model too."""

    def dense(x: F32, name: str) -> F32:
        weight, bias = weights[name + ".weight"].dense(), weights[name + ".bias"].dense()
        return arithmetic.linear(x, weight, bias)

    if head.dense is not None:
        x = dense(x, "head.dense")
        x = arithmetic.tanh(x) if head.dense == "tanh" else np.maximum(x, np.float32(0))
    return dense(x, "head.classifier")
