"""Rows of unequal length <-> the rectangles that peers take. With numpy alone, of any version."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


def pad(
    rows: Sequence[Sequence[int]], *, value: int = 0, length: int | None = None
) -> tuple[I64, I64]:
    """Rows of token ids -> ids [B, S], `value` behind the end, and mask [B, S].

    S is the longest row's length, or `length` where that is more.
    """
    longest = max(*(len(row) for row in rows), length or 0)
    ids = np.full((len(rows), longest), value, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return ids, mask


def unpad(values: F32, rows: Sequence[Sequence[int]]) -> F32:
    """[B, S, ...] -> [T, ...], what stands behind a row's end left out; [B, L] stays as it is."""
    if values.ndim == 2:
        return values
    return np.concatenate([values[number, : len(row)] for number, row in enumerate(rows)])
