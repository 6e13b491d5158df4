"""How many tokens to keep, and which: plain arithmetic on lengths, no tokenizer.

The rules are those of the `tokenizers` library (strategy "longest_first", overlapping parts), which
transformers applies for `truncation=True` and for `return_overflowing_tokens=True`.
"""

from __future__ import annotations

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
