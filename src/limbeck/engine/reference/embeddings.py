"""What a token begins with, in either precision: its rows of the three embedding tables."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch
from limbeck.spec import EncoderSpec
from limbeck.tensors import Tensor, Weights

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


def embed(encoder: EncoderSpec, weights: Weights, batch: PackedBatch) -> F32:
    """Word + type + position embeddings -> [T, C], before their norm."""
    x = _rows(weights["embeddings.word"], batch.ids)
    if encoder.types:
        types = np.zeros_like(batch.ids) if batch.type_ids is None else batch.type_ids
        x = x + weights["embeddings.type"].dense()[types]
    return x + weights["embeddings.position"].dense()[_positions(encoder, batch)]


def _rows(table: Tensor, ids: I32) -> F32:
    """Rows of an embedding table as float32, without converting the rest of it."""
    rows = table.stored()[ids].astype(np.float32)
    return rows if table.scale is None else rows * table.scale[ids, None]


def _positions(encoder: EncoderSpec, batch: PackedBatch) -> I32:
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
