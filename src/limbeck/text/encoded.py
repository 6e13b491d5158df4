"""The token ids of one sequence, as they go into a model, with the way back to characters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tokenizers import Encoding

_Value = TypeVar("_Value")


class Columns:
    """The columns of one tokenizer run, fetched on first use.

    Fetching a column copies all of it, so the windows of one text share one instance.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding

    def __len__(self) -> int:
        return len(self._encoding)

    @cached_property
    def ids(self) -> list[int]:
        return self._encoding.ids

    @cached_property
    def type_ids(self) -> list[int]:
        return self._encoding.type_ids

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        return self._encoding.offsets

    @cached_property
    def special(self) -> list[bool]:
        return [flag == 1 for flag in self._encoding.special_tokens_mask]

    @cached_property
    def word_ids(self) -> list[int | None]:
        return self._encoding.word_ids

    @cached_property
    def sequence_ids(self) -> list[int | None]:
        return self._encoding.sequence_ids


class Encoded:
    """Token ids of one sequence (one text, one pair, or one window of a text).

    ids, type_ids: what the model reads; offsets: for each token its first character and the one
    after its last, counted in characters of its own text, (0, 0) for special tokens; special:
    tokens that the tokenizer added around the text (a "[SEP]" written in the text itself is not
    special); word_ids: which word of the text a token belongs to, None for special tokens;
    sequence_ids: 0 for the text, 1 for its pair, None for special tokens; truncated: whether
    tokens were dropped to keep within a maximum.
    """

    def __init__(self, columns: Columns, kept: Sequence[slice] | None, *, truncated: bool) -> None:
        self._columns = columns
        self._kept = None if kept is None else tuple(kept)
        self.truncated = truncated

    def _take(self, column: list[_Value]) -> list[_Value]:
        if self._kept is None:
            return column
        return [value for part in self._kept for value in column[part]]

    def __len__(self) -> int:
        if self._kept is None:
            return len(self._columns)
        return sum(part.stop - part.start for part in self._kept)

    @cached_property
    def ids(self) -> list[int]:
        return self._take(self._columns.ids)

    @cached_property
    def type_ids(self) -> list[int]:
        return self._take(self._columns.type_ids)

    @cached_property
    def offsets(self) -> list[tuple[int, int]]:
        return self._take(self._columns.offsets)

    @cached_property
    def special(self) -> list[bool]:
        return self._take(self._columns.special)

    @cached_property
    def word_ids(self) -> list[int | None]:
        return self._take(self._columns.word_ids)

    @cached_property
    def sequence_ids(self) -> list[int | None]:
        return self._take(self._columns.sequence_ids)

    @property
    def span(self) -> tuple[int, int]:
        """First character and the one after the last that the tokens of the text cover.

        (0, 0) where there is none. For a pair: of the text, not of its pair.
        """
        covered = [
            offset
            for offset, special, sequence in zip(
                self.offsets, self.special, self.sequence_ids, strict=True
            )
            if not special and sequence != 1
        ]
        if not covered:
            return (0, 0)
        return (min(start for start, _ in covered), max(end for _, end in covered))

    def __repr__(self) -> str:
        return f"Encoded({len(self)} tokens{', truncated' if self.truncated else ''})"
