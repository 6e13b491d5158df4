"""Token ids of rows, as a training loop batches them; plain lists and numpy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from limbeck.text import Encoded

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenisedSet:
    """Token ids of N windows, cut at a maximum, ready to be padded batch by batch.

    A window is what a loss looks at: a text, a pair in one sequence, a part of a long context, or,
    with `partners`, two sequences that are compared. ids and type_ids have one entry a sequence:
    those of the windows, then their partners.

    rows: [N] the row that a window belongs to; None: its own number. partners: [N] the place of a
    window's second sequence in `ids`, or -1; None: no window has one. lengths: [N] tokens.
    """

    ids: list[list[int]]
    type_ids: list[list[int]]
    rows: Integers | None = None
    partners: Integers | None = None
    lengths: Integers = field(init=False)

    def __post_init__(self) -> None:
        lengths = np.array([len(row) for row in self.ids], dtype=np.int64)
        if self.partners is not None:
            partners = self.partners
            both = lengths[: len(partners)].copy()
            both[partners >= 0] += lengths[partners[partners >= 0]]
            lengths = both
        object.__setattr__(self, "lengths", lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def sequences(self, windows: Sequence[int] | Integers) -> Integers:
        """The places in `ids` of these windows, then of their partners."""
        places = np.asarray(windows, dtype=np.int64)
        if self.partners is None:
            return places
        partners = self.partners[places]
        return np.concatenate([places, partners[partners >= 0]])

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(map(len, self.ids), default=0)

    @cached_property
    def offsets(self) -> Integers:
        """[sequences + 1]: where each begins when all are laid end to end."""
        return np.concatenate([[0], np.cumsum([len(one) for one in self.ids])]).astype(np.int64)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the tokens of all sequences."""
        hasher = hashlib.sha256()
        for one in self.ids:
            hasher.update(np.array([len(one), *one], dtype="<i8").tobytes())
        return hasher.hexdigest()


def from_encoded(encoded: Iterable[Encoded]) -> TokenisedSet:
    """One window a sequence."""
    some = list(encoded)
    return TokenisedSet(
        ids=[list(one.ids) for one in some], type_ids=[list(one.type_ids) for one in some]
    )
