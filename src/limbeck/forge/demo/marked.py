"""Training rows as a detector reads them: one window of each text, its contacts marked.

A text's label says that there is a leak somewhere in it. Cut at the window's length, one text with
a leak in twenty would keep its label and lose its leak.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from limbeck.data import listings
from limbeck.data.listings.grammar import Role
from limbeck.forge.examples import TrainingSet
from limbeck.pipeline.windows import default_stride
from limbeck.text import Tokenizer

# What a token can be part of, the harmless sort first.
ROLES: tuple[Role, ...] = ("text", "value", "third", "leak")


@dataclass(frozen=True)
class Mark:
    """A stretch of a text that is more than wording, in characters of that text."""

    start: int
    stop: int
    role: Role


Marks = tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class MarkedRows:
    """Rows to learn from. marks: one entry a row; None: nobody knows what its words are."""

    rows: TrainingSet
    marks: tuple[Marks, ...] | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Cut:
    """What a detector reads of a text at once."""

    text: str
    marks: Marks


# An example and its number -> what is kept of it.
Cutter = Callable[[listings.Example, int], Cut]


def window_cutter(tokenizer: Tokenizer, max_tokens: int, seed: int) -> Cutter:
    """Keep one of the windows in which the pipeline reads a text: of a leak, the one that shows
    most of it; of a harmless text, any."""
    stride = default_stride(max_tokens - tokenizer.special_tokens())

    def cut(example: listings.Example, number: int) -> Cut:
        windows = tokenizer.windows(
            example.text, max_tokens=max_tokens, stride=stride, at_sentences=True
        )
        spans = [window.span for window in windows]
        if example.span is not None:
            first, last = example.span
            shown = [min(last, stop) - max(first, start) for start, stop in spans]
            spans = [span for span, much in zip(spans, shown, strict=True) if much == max(shown)]
        start, stop = random.Random(f"window/{seed}/{number}").choice(spans)
        return Cut(example.text[start:stop], _marks(example, start, stop))

    return cut


def whole(example: listings.Example, number: int = 0) -> Cut:
    """Keep all of it."""
    return Cut(example.text, _marks(example, 0, len(example.text)))


def _marks(example: listings.Example, start: int, stop: int) -> Marks:
    """What lies between two characters of the text, counted from the first."""
    found: list[Mark] = []
    at = 0
    for segment in example.segments:
        first, last = max(at, start), min(at + len(segment.text), stop)
        if segment.role != "text" and first < last:
            found.append(Mark(first - start, last - start, segment.role))
        at += len(segment.text)
    return tuple(found)


def roles_of_tokens(
    offsets: Sequence[tuple[int, int]], special: Sequence[bool], marks: Marks
) -> list[int | None]:
    """What each token is part of, as a place in `ROLES`; None for special tokens."""
    found: list[int | None] = []
    for (start, stop), apart in zip(offsets, special, strict=True):
        over = [mark for mark in marks if mark.start < stop and start < mark.stop]
        # where two meet in a token the graver one counts
        found.append(None if apart else max((ROLES.index(mark.role) for mark in over), default=0))
    return found
