"""The texts that are sent: from a data set, or made of words in lengths that are asked for."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limbeck import data
from limbeck.errors import InputError

# Common words of one to three word pieces in most vocabularies: what counts is the length.
_COMMON = """
the of and to in a is that for it as was with be by on not he this are or his from at which but
have an had they you were their one all we can her has there been if more when will would who so
no out up into than its about time them some could these two may first then do any house flat room
kitchen garden bath terrace beach station street harbour village mountain quiet bright modern large
small clean warm view towel parking breakfast key owner guest week night summer winter booking
price walk minute metre floor stairs balcony window heating pool
"""
_WORDS = tuple(_COMMON.split())
_NUMBER = r"\d+(?:\.\d+)?"


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How many words a text has.

    As options write it: `32` (all alike), `8-128` (any in between), `8,16,128` (one of them), or
    `lognormal:48:0.7` (median, and the spread of the logarithm; real texts look like that).
    """

    spec: str = "lognormal:48:0.7"
    longest: int = 2000

    def __post_init__(self) -> None:
        self._drawn(1, np.random.default_rng(0))

    def words(self, count: int, generator: np.random.Generator) -> list[int]:
        """So many lengths."""
        return np.clip(self._drawn(count, generator), 1, self.longest).tolist()  # type: ignore[no-any-return]

    def _drawn(
        self, count: int, generator: np.random.Generator
    ) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        spec = self.spec.replace(" ", "")
        if re.fullmatch(r"[1-9]\d{0,5}(,[1-9]\d{0,5})*", spec):
            return generator.choice(np.array([int(each) for each in spec.split(",")]), count)
        if found := re.fullmatch(r"([1-9]\d{0,5})-([1-9]\d{0,5})", spec):
            low, high = int(found[1]), int(found[2])
            if low <= high:
                return generator.integers(low, high + 1, count)
        if found := re.fullmatch(rf"lognormal:({_NUMBER}):({_NUMBER})", spec):
            median, sigma = float(found[1]), float(found[2])
            if median >= 1 and sigma <= 3:
                drawn = generator.lognormal(math.log(median), sigma, count)
                return np.minimum(drawn, 1e6).round().astype(np.int64)
        raise InputError(
            f"lengths {self.spec!r} are none of 32, 8-128, 8,16,128 or lognormal:48:0.7 (words)"
        )


def synthetic(count: int, lengths: Lengths, seed: int) -> list[str]:
    """Texts of common words; the same for the same seed."""
    generator = np.random.default_rng(seed)
    texts = []
    for words in lengths.words(count, generator):
        drawn = generator.integers(0, len(_WORDS), words)
        texts.append(" ".join(_WORDS[n] for n in drawn))
    return texts


def from_file(
    path: str | Path,
    *,
    text_column: str | None = None,
    at_most: int = 10_000,
    report: Callable[[str], None] | None = None,
) -> list[str]:
    """The first texts of a CSV, JSONL, Parquet or text file; empty ones are left out.

    Raises:
        InputError: it cannot be read, or has no text.
    """
    rows = data.read_rows(path, text_column=text_column, report=report)
    texts = [row.text for row in itertools.islice(rows, at_most) if row.text.strip()]
    if not texts:
        raise InputError(f"{path} has no texts to send")
    return texts
