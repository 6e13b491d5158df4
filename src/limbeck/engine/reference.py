"""The oracle: the whole forward pass in numpy, written to be read.

It defines what the engine computes. Letters as in limbeck.spec: B sequences, T tokens of the packed
batch, H heads, D head width, C hidden, F feed-forward, L labels. Everything is float32, but for the
integer accumulators of int8.

The architecture is the post-norm encoder of Devlin et al. 2018 (arXiv:1810.04805), section 3, whose
attention is equation 1 of Vaswani et al. 2017 (arXiv:1706.03762).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch
from limbeck.engine.quantization import (
    FLAT_RANGE,
    MOST_PROBABILITY,
    SUM_KEYS,
    convert_weights,
    largest_whole,
    largest_whole_value,
    quantize_activations,
    whole_numbers,
)
from limbeck.errors import InputError
from limbeck.spec import Activation, EncoderSpec, HeadSpec, ModelSpec, Precision
from limbeck.tensors import Tensor, Weights

Output = Literal["logits", "hidden", "mean", "cls", "max"]
F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


def forward(
    spec: ModelSpec,
    weights: Weights,
    batch: PackedBatch,
    precision: Precision = "fp32",
    output: Output = "logits",
) -> F32:
    """One pass over a packed batch of at least one sequence.

    Returns:
        "logits": [B, L] for a sequence head, [T, L] for a token head. "hidden": [T, C], the last
        layer. "mean", "cls", "max": [B, C], pooled over each sequence's tokens.

    Raises:
        InputError: logits asked of a model without a head.
    """
    weights = convert_weights(weights, spec.encoder, precision)
    hidden = encode(spec.encoder, weights, batch)
    if output == "hidden":
        return hidden
    if output != "logits":
        return pool(hidden, batch.cu_seqlens, output)
    if spec.task.head is None:
        raise InputError("this model has no classification head; ask for output='hidden'")
    return classify(spec.task.head, weights, hidden, batch.cu_seqlens)


def encode(encoder: EncoderSpec, weights: Weights, batch: PackedBatch) -> F32:
    """Embeddings and all layers -> [T, C]."""
    x = embed(encoder, weights, batch)
    for i in range(encoder.layers):
        at = f"layers.{i}."
        mixed = attention(encoder, weights, at + "attention.", x, batch.cu_seqlens)
        x = layer_norm(x + mixed, weights, at + "attention.norm", encoder.norm_eps)
        inner = activate(linear(x, weights, at + "ffn.in"), encoder.activation)
        if weights[at + "ffn.out.weight"].is_int8:
            inner = half_precision(inner)
        outer = linear(inner, weights, at + "ffn.out")
        x = layer_norm(x + outer, weights, at + "ffn.norm", encoder.norm_eps)
    return x


def embed(encoder: EncoderSpec, weights: Weights, batch: PackedBatch) -> F32:
    """Word + position + type embeddings, normalised -> [T, C]."""
    x = embedding_rows(weights["embeddings.word"], batch.ids)
    x = x + weights["embeddings.position"].dense()[positions(encoder, batch)]
    if encoder.types:
        types = np.zeros_like(batch.ids) if batch.type_ids is None else batch.type_ids
        x = x + weights["embeddings.type"].dense()[types]
    return layer_norm(x, weights, "embeddings.norm", encoder.norm_eps)


def embedding_rows(table: Tensor, ids: I32) -> F32:
    """Rows of an embedding table as float32, without converting the rest of it."""
    rows = table.stored()[ids].astype(np.float32)
    return rows if table.scale is None else rows * table.scale[ids, None]


def positions(encoder: EncoderSpec, batch: PackedBatch) -> I32:
    """Row of the position table for each token -> [T].

    "after_padding" counts tokens that differ from pad_id, from pad_id + 1 on; a pad token that
    stands in a text takes position pad_id.
    """
    result = np.empty_like(batch.ids)
    for start, end in pairwise(batch.cu_seqlens.tolist()):
        if encoder.position_mode == "absolute":
            result[start:end] = np.arange(end - start)
        else:
            counts = batch.ids[start:end] != encoder.pad_id
            result[start:end] = np.cumsum(counts) * counts + encoder.pad_id
    return result


def linear(x: F32, weights: Weights, name: str) -> F32:
    """[T, K] -> [T, F]: x times weight transposed, plus bias; integer-exact for int8 weights."""
    weight, bias = weights[name + ".weight"], weights[name + ".bias"].dense()
    if not weight.is_int8:
        return x @ weight.dense().T + bias
    q, x_scale, zero_point = quantize_activations(x)
    w = weight.stored().astype(np.float64)
    # Integers below 2**53 are exact in float64, so this is the int32 accumulator, by way of BLAS.
    dot = (q.astype(np.float64) @ w.T) - zero_point[:, None].astype(np.float64) * w.sum(axis=1)
    assert weight.scale is not None
    scale = x_scale[:, None] * weight.scale[None, :]
    y: F32 = dot.astype(np.int32).astype(np.float32) * scale
    return y + bias


def attention(encoder: EncoderSpec, weights: Weights, at: str, x: F32, cu_seqlens: I32) -> F32:
    """softmax(Q K^T / sqrt(D)) V for each head, within each sequence, and the output layer."""
    heads, width = encoder.heads, encoder.head_width
    shape = (x.shape[0], heads, width)
    query = linear(x, weights, at + "query").reshape(shape)
    key = linear(x, weights, at + "key").reshape(shape)
    value = linear(x, weights, at + "value").reshape(shape)
    context = np.empty(shape, dtype=np.float32)
    scale = np.float32(1 / math.sqrt(width))
    mix = mix_int8 if weights[at + "output.weight"].is_int8 else mix_floats
    for start, end in pairwise(cu_seqlens.tolist()):
        for h in range(heads):
            context[start:end, h] = mix(
                query[start:end, h], key[start:end, h], value[start:end, h], scale
            )
    return linear(context.reshape(x.shape), weights, at + "output")


def mix_floats(query: F32, key: F32, value: F32, scale: np.float32) -> F32:
    """One head of one sequence: [n, D] each -> [n, D]."""
    return softmax(query @ key.T * scale) @ value


def mix_int8(query: F32, key: F32, value: F32, scale: np.float32) -> F32:
    """`mix_floats` in the whole numbers that int8 models multiply: see docs/numerics.md."""
    length, width = value.shape
    most = largest_whole(width)
    q, q_scale = whole_numbers(query, most)
    k, k_scale = whole_numbers(key, most)
    v, v_scale = whole_numbers(value, largest_whole_value(length))
    scores = (q @ k.T).astype(np.float32) * (q_scale * scale)[:, None] * k_scale
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    top = v_scale.max()
    flat = not top > FLAT_RANGE
    up = np.float32(0) if flat else np.float32(MOST_PROBABILITY) / top
    u = np.rint(p * (v_scale * up)).astype(np.int64)
    mixed = np.zeros((length, width), dtype=np.float32)
    for start in range(0, length, SUM_KEYS):
        block = slice(start, start + SUM_KEYS)
        mixed += (u[:, block] @ v[block]).astype(np.float32)
    down = np.float32(0) if flat else top * np.float32(1 / MOST_PROBABILITY)
    return mixed * down / p.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def half_precision(x: F32) -> F32:
    """Rounded to float16 on the way to the quantiser."""
    return np.clip(x, -65504, 65504).astype(np.float16).astype(np.float32)


def softmax(scores: F32) -> F32:
    """Over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]


def layer_norm(x: F32, weights: Weights, name: str, eps: float) -> F32:
    """Zero mean and unit (biased) variance over C, then gain and bias."""
    centred = x - x.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1, keepdims=True)
    unit = centred / np.sqrt(variance + np.float32(eps))
    gain, bias = weights[name + ".gain"].dense(), weights[name + ".bias"].dense()
    return unit * gain + bias  # type: ignore[no-any-return]


def activate(x: F32, activation: Activation) -> F32:
    """GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415) in either form, or ReLU."""
    if activation == "relu":
        return np.maximum(x, np.float32(0))
    if activation == "gelu":
        bend = erf(x * np.float32(math.sqrt(0.5)))
    else:
        bend = np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3))
    half: F32 = x * np.float32(0.5)
    return half * (bend + np.float32(1))


def erf(x: F32) -> F32:
    """The error function, which numpy lacks."""
    values = [math.erf(v) for v in x.ravel().tolist()]
    return np.array(values, dtype=np.float32).reshape(x.shape)


def pool(hidden: F32, cu_seqlens: I32, how: Literal["mean", "cls", "max"]) -> F32:
    """[T, C] -> [B, C]: mean or maximum over a sequence's tokens, or its first token."""
    if how == "cls":
        return hidden[cu_seqlens[:-1]]
    pooled = [
        hidden[start:end].mean(axis=0) if how == "mean" else hidden[start:end].max(axis=0)
        for start, end in pairwise(cu_seqlens.tolist())
    ]
    return np.stack(pooled)


def classify(head: HeadSpec, weights: Weights, hidden: F32, cu_seqlens: I32) -> F32:
    """Logits from the first token of each sequence [B, L], or from every token [T, L]."""
    x = hidden[cu_seqlens[:-1]] if head.kind == "sequence" else hidden
    if head.dense is not None:
        x = linear(x, weights, "head.dense")
        x = np.tanh(x) if head.dense == "tanh" else np.maximum(x, np.float32(0))
    return linear(x, weights, "head.classifier")
