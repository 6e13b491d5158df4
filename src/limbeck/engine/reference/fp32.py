"""The forward pass of float32 models, in numpy's own arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch
from limbeck.engine.reference.embeddings import embed
from limbeck.spec import Activation, EncoderSpec, HeadSpec
from limbeck.tensors import Weights

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


# What sees the inputs [T, K] of linear layers, with the name of the range that they would have.
Observer = Callable[[str, F32], None]


def unobserved(name: str, x: F32) -> None:
    """The observer that looks at nothing."""


def encode(
    encoder: EncoderSpec, weights: Weights, batch: PackedBatch, observe: Observer = unobserved
) -> F32:
    """Embeddings and all layers -> [T, C]."""
    eps = encoder.norm_eps
    x = layer_norm(embed(encoder, weights, batch), weights, "embeddings.norm", eps)
    for i in range(encoder.layers):
        at = f"layers.{i}."
        observe(at + "attention.range", x)
        mixed = attention(encoder, weights, at + "attention.", x, batch.cu_seqlens, observe)
        x = layer_norm(x + mixed, weights, at + "attention.norm", eps)
        observe(at + "ffn.in.range", x)
        inner = activate(linear(x, weights, at + "ffn.in"), encoder.activation)
        observe(at + "ffn.out.range", inner)
        x = layer_norm(x + linear(inner, weights, at + "ffn.out"), weights, at + "ffn.norm", eps)
    return x


def linear(x: F32, weights: Weights, name: str) -> F32:
    """[T, K] -> [T, F]: x times weight transposed, plus bias."""
    y: F32 = x @ weights[name + ".weight"].dense().T + weights[name + ".bias"].dense()
    return y


def attention(
    encoder: EncoderSpec,
    weights: Weights,
    at: str,
    x: F32,
    cu_seqlens: I32,
    observe: Observer = unobserved,
) -> F32:
    """softmax(Q K^T / sqrt(D)) V for each head, within each sequence, and the output layer."""
    heads, width = encoder.heads, encoder.head_width
    shape = (x.shape[0], heads, width)
    query = linear(x, weights, at + "query").reshape(shape)
    key = linear(x, weights, at + "key").reshape(shape)
    value = linear(x, weights, at + "value").reshape(shape)
    context = np.empty(shape, dtype=np.float32)
    scale = np.float32(1 / math.sqrt(width))
    for start, end in pairwise(cu_seqlens.tolist()):
        for h in range(heads):
            scores = query[start:end, h] @ key[start:end, h].T * scale
            context[start:end, h] = softmax(scores) @ value[start:end, h]
    joined = context.reshape(x.shape)
    observe(at + "output.range", joined)
    return linear(joined, weights, at + "output")


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


def classify(head: HeadSpec, weights: Weights, x: F32) -> F32:
    """Hidden states [n, C] -> logits [n, L]."""
    if head.dense is not None:
        x = linear(x, weights, "head.dense")
        x = np.tanh(x) if head.dense == "tanh" else np.maximum(x, np.float32(0))
    return linear(x, weights, "head.classifier")
