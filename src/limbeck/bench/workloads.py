"""What is asked of every contestant: grids of batch x tokens, the same token ids for all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.errors import InputError


@dataclass(frozen=True, kw_only=True, order=True)
class Point:
    """B sequences of equal length, so that a peer that pads loses nothing by it."""

    batch: int
    tokens: int

    def __str__(self) -> str:
        return f"{self.batch}x{self.tokens}"

    @classmethod
    def parse(cls, text: str) -> Point:
        """ "32x128" -> Point.

        Raises:
            InputError: not of that form.
        """
        found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text.strip())
        if found is None:
            raise InputError(f"a point is written BATCHxTOKENS, as in 32x128; found {text!r}")
        return cls(batch=int(found[1]), tokens=int(found[2]))


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one call of a contestant gets; `pad_to` and `static` as in `protocol.Loaded.prepare`."""

    ids: Sequence[Sequence[int]]
    pad_to: int | None = None
    static: bool = True


DEFAULT = (Point(batch=1, tokens=128), Point(batch=32, tokens=128))
GRID = tuple(Point(batch=b, tokens=t) for b in (1, 8, 32) for t in (32, 128, 384))
# Answers are compared on this one before anything is timed: enough sequences to centre over.
ERRORS = Point(batch=32, tokens=48)
