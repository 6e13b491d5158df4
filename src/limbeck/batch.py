"""Token ids of several sequences -> one packed batch, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedBatch:
    """B sequences laid end to end.

    ids: [T] int32; type_ids: [T] int32 or None (all zero); cu_seqlens: [B + 1] int32, where
    sequence b holds tokens cu_seqlens[b] .. cu_seqlens[b + 1] - 1. No sequence is empty.
    """

    ids: npt.NDArray[np.int32]
    type_ids: npt.NDArray[np.int32] | None
    cu_seqlens: npt.NDArray[np.int32]

    @property
    def tokens(self) -> int:
        """T, the number of tokens."""
        return int(self.ids.shape[0])

    @property
    def sequences(self) -> int:
        """B, the number of sequences."""
        return int(self.cu_seqlens.shape[0]) - 1

    @property
    def longest(self) -> int:
        """S, the length of the longest sequence; 0 for an empty batch."""
        return int(np.diff(self.cu_seqlens).max(initial=0))


def _concatenate(rows: Sequence[Sequence[int]], total: int, what: str) -> npt.NDArray[np.int32]:
    try:
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=total)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} must be integers: {error}") from None
    if total and (int(flat.min()) < 0 or int(flat.max()) > np.iinfo(np.int32).max):
        raise InputError(f"{what} must be in 0 .. 2**31 - 1")
    return flat.astype(np.int32)


def pack(
    ids: Sequence[Sequence[int]], type_ids: Sequence[Sequence[int]] | None = None
) -> PackedBatch:
    """Lay sequences end to end.

    Args:
        ids: B sequences of token ids, each with at least one token.
        type_ids: as ids, or None for all zero.

    Raises:
        InputError: a sequence is empty, values are no integers or out of range, or the lengths of
            ids and type_ids differ.
    """
    lengths = [len(row) for row in ids]
    if 0 in lengths:
        raise InputError(
            f"sequence {lengths.index(0)} has no tokens; "
            "an empty text still carries the tokenizer's special tokens"
        )
    total = sum(lengths)
    if total > np.iinfo(np.int32).max:
        raise InputError(f"{total} tokens do not fit one batch; split it")
    if type_ids is not None and [len(row) for row in type_ids] != lengths:
        raise InputError("type_ids must have one value for each token id")
    cu_seqlens = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=cu_seqlens[1:])
    return PackedBatch(
        ids=_concatenate(ids, total, "token ids"),
        type_ids=None if type_ids is None else _concatenate(type_ids, total, "token type ids"),
        cu_seqlens=cu_seqlens,
    )
