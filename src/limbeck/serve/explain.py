"""Which sentences of a text made its score: each is left out, and the score is read again.

Leave-one-out (occlusion; Li, Monroe and Jurafsky 2016, "Understanding neural networks through
representation erasure"). With p(x) the probability of the positive class for the text x and x \\ i
the text without its part i:

    drop_i = p(x) - p(x \\ i)
    error  = | sum_i drop_i - (p(x) - p("")) |

Drops that added up to what the whole text makes of an empty one would explain the score exactly;
the error says by how much they do not: sentences that say the same thing twice hide each other,
and sentences that only mean something together count twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.text.truncation import sentence_starts

METHOD = "leave-one-out over sentences"


@dataclass(frozen=True, kw_only=True)
class Span:
    """Characters start to end of a text, and by how much the score drops without them."""

    start: int
    end: int
    drop: float


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """spans: largest drop first, equals in the order of the text. error: see above."""

    spans: tuple[Span, ...]
    error: float


def parts(text: str, *, most: int) -> list[tuple[int, int]]:
    """The sentences of a text as characters (start, end), the end being the next one's start.

    Where there are more than `most`, neighbours are taken together, as equally many as can be.
    """
    assert most >= 1
    if not text:
        return []
    starts = sentence_starts(text)
    count = min(most, len(starts))
    first = [starts[at * len(starts) // count] for at in range(count)]
    return list(zip(first, [*first[1:], len(text)], strict=True))


def variants(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """What has to be scored: the empty text, then the text without each part."""
    return ["", *(text[:start] + text[end:] for start, end in spans)]


def explain(
    text: str, spans: Sequence[tuple[int, int]], whole: float, scores: Sequence[float]
) -> Explanation:
    """Args:
    whole: p(text). scores: of `variants`, in their order.
    """
    empty, without = scores[0], scores[1:]
    found = [
        Span(start=start, end=_visible_end(text, start, end), drop=whole - score)
        for (start, end), score in zip(spans, without, strict=True)
    ]
    total = sum(one.drop for one in found)
    return Explanation(
        spans=tuple(sorted(found, key=lambda one: -one.drop)),
        error=abs(total - (whole - empty)),
    )


def _visible_end(text: str, start: int, end: int) -> int:
    """Where a sentence ends for the eye: before the space that separates it from the next."""
    return start + len(text[start:end].rstrip()) or end
