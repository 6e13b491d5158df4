"""How many tokens to keep, and which: plain arithmetic on lengths, no tokenizer.

The rules are those of the `tokenizers` library (strategy "longest_first", overlapping parts), which
transformers applies for `truncation=True` and for `return_overflowing_tokens=True`.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence

from limbeck.errors import InputError


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Tokens to keep of each text of a pair, so that both together fit into `room`.

    The longer text gives way until both are equally long; of an odd room, the text that is longer
    keeps the extra token, and the second one does where they are equal.
    """
    if first + second <= room:
        return first, second
    shorter, longer = min(first, second), max(first, second)
    if shorter + shorter < room:
        longer = room - shorter
    else:
        shorter = room // 2
        longer = room - shorter
    return (longer, shorter) if first > second else (shorter, longer)


def window_ranges(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Cover `length` tokens with windows of at most `room`, neighbours sharing `stride` tokens.

    The last window is the one that reaches the end, so it may be shorter. A text without tokens has
    one empty window.

    Raises:
        InputError: no room for a token of the text, or a stride that makes no progress.
    """
    if room < 1:
        raise InputError("windows need room for at least one token beside the special tokens")
    if not 0 <= stride < room:
        raise InputError(
            f"stride must be in 0 .. {room - 1} (a window holds {room} tokens of the text), "
            f"found {stride}"
        )
    if length <= room:
        return [(0, length)]
    step = room - stride
    ranges = []
    start = 0
    while True:
        stop = min(start + room, length)
        ranges.append((start, stop))
        if stop == length:
            return ranges
        start += step


# Behind a full stop and what closes a quotation, at an empty line or a new one; behind the full
# stops of Chinese and Japanese, which no space follows.
_SENTENCE_END = re.compile(
    r"""[.!?\u2026]["'\u201d\u2019)\]]*\s+ | \s*\n\s* | [\u3002\uff01\uff1f]\s*""", re.VERBOSE
)


def sentence_starts(text: str) -> list[int]:
    """Characters at which sentences (and lines) start, the first of them 0."""
    starts = [0]
    for match in _SENTENCE_END.finditer(text):
        if starts[-1] < match.end() < len(text):
            starts.append(match.end())
    return starts


def sentence_window_ranges(
    length: int, room: int, stride: int, starts: Sequence[int]
) -> list[tuple[int, int]]:
    """Like `window_ranges`, in windows that begin and end where sentences do.

    A window ends behind its last whole sentence and the next one repeats whole sentences from its
    end: as many as `stride` tokens hold, and at least one that is no longer than half a window.
    Where sentences are too long for that, windows are cut between tokens and share `stride`.

    Args:
        starts: tokens at which sentences start, rising.

    Raises:
        InputError: as `window_ranges`.
    """
    whole = window_ranges(length, room, stride)
    if len(whole) == 1:
        return whole
    ranges: list[tuple[int, int]] = []
    start = 0
    while start + room < length:
        stop = start + room
        last = starts[bisect.bisect_right(starts, stop) - 1] if starts else 0
        cut = last > start and last - start >= room // 2
        stop = last if cut else stop
        ranges.append((start, stop))
        following = max(stop - stride, start + 1)
        if cut:
            repeated = bisect.bisect_left(starts, following)
            following = starts[repeated]
            if following == stop:  # no sentence fits into the stride: the last one, if not too long
                before = starts[repeated - 1] if repeated else 0
                if before > start and stop - before <= room // 2:
                    following = before
        start = following
    ranges.append((start, length))
    return ranges
