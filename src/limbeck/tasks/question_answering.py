"""Start and end logits of a question's windows -> answers, as transformers 4.57 gives them.

A span's score is the product of the probabilities of its first and its last token, each a softmax
over the tokens of the context in its window (Devlin et al. 2019, section 4.2, in probabilities).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.text import Encoded

# Logit of a token that no answer may begin or end with.
_EXCLUDED = np.float32(-10_000.0)
# Aligned to words, several spans of tokens become one: more of them are looked at than are wanted.
_MORE_FACTOR, _MORE = 2, 10

_Floats = npt.NDArray[np.float32]


def question_answering(
    logits: Sequence[_Floats],
    windows: Sequence[Encoded],
    context: str,
    *,
    top_k: int = 1,
    max_answer_len: int = 15,
    handle_impossible_answer: bool = False,
    align_to_words: bool = True,
) -> list[dict[str, Any]]:
    """The best answers to one question, best first.

    Args:
        logits: for each window [S, 2] float32: start and end.
        windows: question and context as encoded, the context in overlapping windows; their first
            token stands for "no answer".
        top_k: at most so many answers.
        max_answer_len: longest answer in tokens.
        handle_impossible_answer: "" may be an answer, with the lowest score that a window gives
            to its first token.
        align_to_words: widen answers to whole words.

    Returns:
        Dictionaries {"score", "start", "end", "answer"}; start and end count the context's
        characters. Spans that read alike, whatever their case, are one answer with the sum of
        their scores.
    """
    found: dict[str, dict[str, Any]] = {}
    impossible = 1.0
    wanted = _MORE_FACTOR * top_k + _MORE if align_to_words else top_k
    for scores, window in zip(logits, windows, strict=True):
        allowed = np.array([sequence == 1 for sequence in window.sequence_ids])
        allowed[0] = True  # it takes its share of the softmax, and is no answer
        first, last = (_probabilities(scores[:, side], allowed) for side in (0, 1))
        impossible = min(impossible, float(first[0] * last[0]))
        first[0] = last[0] = 0.0
        for start, end, score in _spans(first, last, allowed, wanted, max_answer_len):
            begin, stop = _characters(window, start, end, align_to_words)
            answer = context[begin:stop]
            known = found.setdefault(
                answer.lower(), {"score": 0.0, "start": begin, "end": stop, "answer": answer}
            )
            known["score"] += score
    answers = list(found.values())
    if handle_impossible_answer:
        answers.append({"score": impossible, "start": 0, "end": 0, "answer": ""})
    return sorted(answers, key=lambda one: one["score"], reverse=True)[:top_k]


def _probabilities(logits: _Floats, allowed: npt.NDArray[np.bool_]) -> _Floats:
    """Softmax over the tokens that may be in an answer; [S] -> [S]."""
    kept: _Floats = np.where(allowed, logits, _EXCLUDED).astype(np.float32)
    shares: _Floats = np.exp(kept - kept.max())
    shares /= shares.sum()
    return shares


def _spans(
    first: _Floats,
    last: _Floats,
    allowed: npt.NDArray[np.bool_],
    count: int,
    most_tokens: int,
) -> list[tuple[int, int, float]]:
    """The `count` best (start, end, score) in which start <= end < start + most_tokens."""
    table = np.tril(np.triu(np.outer(first, last)), most_tokens - 1)
    flat = table.reshape(-1)
    if count == 1:
        best = np.array([flat.argmax()])
    elif len(flat) <= count:
        best = np.argsort(-flat, kind="stable")
    else:
        best = np.argpartition(-flat, count)[:count]
        least = flat[best].min()
        if least > 0:
            # Of equals the first: which of them a partition leaves in front differs between CPUs.
            # Spans without a score stay as transformers has them.
            best = np.flatnonzero(flat >= least)
        best = best[np.argsort(-flat[best], kind="stable")][:count]
    starts, ends = np.unravel_index(best, table.shape)
    return [
        (int(start), int(end), float(table[start, end]))
        for start, end in zip(starts, ends, strict=True)
        if allowed[start] and allowed[end]
    ]


def _characters(window: Encoded, start: int, end: int, align_to_words: bool) -> tuple[int, int]:
    """First character of the span of tokens, and the one after its last."""
    if align_to_words:
        words = (window.word_ids[start], window.word_ids[end])
        if None not in words:
            spans = [
                (word, offset)
                for word, sequence, offset in zip(
                    window.word_ids, window.sequence_ids, window.offsets, strict=True
                )
                if sequence == 1
            ]
            begins = [offset[0] for word, offset in spans if word == words[0]]
            stops = [offset[1] for word, offset in spans if word == words[1]]
            if begins and stops:
                return begins[0], stops[-1]
    return window.offsets[start][0], window.offsets[end][1]
