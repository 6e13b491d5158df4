"""Hidden states -> sentence vectors: pooling and normalising as sentence-transformers does them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from limbeck.spec import Pooling, TaskSpec


def pool(hidden: npt.NDArray[np.float32], poolings: Sequence[Pooling]) -> npt.NDArray[np.float32]:
    """Hidden states of one sequence [S, C] -> [len(poolings) * C], concatenated in their order.

    Special tokens count like all others.
    """
    assert hidden.shape[0] > 0
    parts = []
    for pooling in poolings:
        if pooling == "cls":
            parts.append(hidden[0])
        elif pooling == "max":
            parts.append(hidden.max(axis=0))
        else:
            parts.append(hidden.mean(axis=0, dtype=np.float32))
    return np.concatenate(parts)


def normalize(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[N, C] -> [N, C], each of length 1; a zero vector stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    # The floor is that of torch.nn.functional.normalize.
    normal: npt.NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(1e-12))
    return normal


def sentence_embedding(pooled: npt.NDArray[np.float32], task: TaskSpec) -> npt.NDArray[np.float32]:
    """Pooled vectors [N, C] -> the model's sentence vectors [N, C] float32."""
    return normalize(pooled) if task.normalize else pooled
