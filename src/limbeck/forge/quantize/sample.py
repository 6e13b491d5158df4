"""Are these the texts to take static ranges from? What speaks against it, with figures.

A range that was measured on texts of another language, or on much shorter ones, cuts off what the
model will really compute.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.errors import InputError
from limbeck.text import Tokenizer

_MOST_UNKNOWN = 0.01
# A vocabulary spells its own language with 1.1 to 1.5 pieces a word, others with 2.2 and more.
_MOST_PIECES = 2.0
_MOST_CUT = 0.5
_SHORTEST_SHARE = 0.25
# Scripts without spaces between words: how many pieces one "word" has says nothing there.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What sample texts look like to a model.

    unknown: share of tokens that the vocabulary lacks. pieces_per_word: mean, over words between
    spaces; NaN where there is none. mean_tokens, longest: special tokens included. cut: share of
    texts that are longer than max_tokens.
    """

    texts: int
    unknown: float
    pieces_per_word: float
    mean_tokens: float
    longest: int
    cut: float
    max_tokens: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against these texts, each with its figure; empty if nothing does."""
        found = []
        if self.unknown > _MOST_UNKNOWN:
            found.append(
                f"{self.unknown:.1%} of the tokens are unknown to the vocabulary "
                f"(usual: below {_MOST_UNKNOWN:.0%}); another language, or not text?"
            )
        if self.pieces_per_word > _MOST_PIECES:
            found.append(
                f"{self.pieces_per_word:.2f} pieces a word (usual: 1.1 to 1.5); the vocabulary was "
                "made for another language"
            )
        if self.cut > _MOST_CUT:
            found.append(
                f"{self.cut:.0%} of the texts are longer than {self.max_tokens} tokens and are cut"
            )
        if self.longest < _SHORTEST_SHARE * self.max_tokens:
            found.append(
                f"the longest text has {self.longest} tokens and the model reads up to "
                f"{self.max_tokens}; take longer ones, or cut at less (max_tokens)"
            )
        return tuple(f"texts to calibrate with: {one}" for one in found)


def look_at(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> Sample:
    """Describe sample texts as a model reads them.

    Raises:
        InputError: no texts.
    """
    if not texts:
        raise InputError("static ranges need at least one text to be measured on")
    tokens = unknown = words = pieces = 0
    lengths = []
    for text, row in zip(texts, tokenizer.encode(list(texts), max_tokens=None), strict=True):
        lengths.append(len(row))
        inner = [one for one, special in zip(row.ids, row.special, strict=True) if not special]
        tokens += len(inner)
        unknown += sum(one == tokenizer.unknown_id for one in inner)
        if not _UNSPACED.search(text):
            words += len(re.findall(r"\w+|[^\w\s]", text))
            pieces += len(inner)
    return Sample(
        texts=len(lengths),
        unknown=unknown / max(1, tokens),
        pieces_per_word=pieces / words if words else float("nan"),
        mean_tokens=sum(lengths) / len(lengths),
        longest=max(lengths),
        cut=sum(length > max_tokens for length in lengths) / len(lengths),
        max_tokens=max_tokens,
    )
