"""The oracle: the whole forward pass in numpy, written to be read.

It defines what the engine computes. Letters as in limbeck.spec: B sequences, T tokens of the packed
batch, H heads, D head width, C hidden, F feed-forward, L labels. Models in float32 are computed in
numpy's own arithmetic, within rounding of the engine; int8 models in the engine's, bit for bit.

The architecture is the post-norm encoder of Devlin et al. 2018 (arXiv:1810.04805), section 3, whose
attention is equation 1 of Vaswani et al. 2017 (arXiv:1706.03762).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch
from limbeck.engine.quantization import convert_weights
from limbeck.engine.reference import fp32, int8
from limbeck.errors import InputError
from limbeck.spec import EncoderSpec, HeadSpec, ModelSpec, Precision
from limbeck.tensors import Weights

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
    hidden = encode(spec.encoder, weights, batch, precision)
    if output == "hidden":
        return hidden
    if output != "logits":
        return pool(hidden, batch.cu_seqlens, output)
    if spec.task.head is None:
        raise InputError("this model has no classification head; ask for output='hidden'")
    return classify(spec.task.head, weights, hidden, batch.cu_seqlens, precision)


def encode(encoder: EncoderSpec, weights: Weights, batch: PackedBatch, precision: Precision) -> F32:
    """Embeddings and all layers -> [T, C]. The weights are already in this precision."""
    if precision == "int8":
        return int8.encode(encoder, weights, batch)
    return fp32.encode(encoder, weights, batch)


def classify(
    head: HeadSpec, weights: Weights, hidden: F32, cu_seqlens: I32, precision: Precision
) -> F32:
    """Logits from the first token of each sequence [B, L], or from every token [T, L]."""
    x = hidden[cu_seqlens[:-1]] if head.kind == "sequence" else hidden
    if precision == "int8":
        return int8.classify(head, weights, x)
    return fp32.classify(head, weights, x)


def pool(hidden: F32, cu_seqlens: I32, how: Literal["mean", "cls", "max"]) -> F32:
    """[T, C] -> [B, C]: mean or maximum over a sequence's tokens, or its first token."""
    starts = cu_seqlens[:-1]
    if how == "cls":
        return hidden[starts]
    if how == "max":
        highest: F32 = np.maximum.reduceat(hidden, starts)
        return highest
    # token by token, as the engine adds them
    pooled: F32 = hidden[starts].copy()
    lengths = np.diff(cu_seqlens)
    for token in range(1, int(lengths.max())):
        going = lengths > token
        pooled[going] += hidden[starts[going] + token]
    pooled /= lengths[:, None].astype(np.float32)
    return pooled
