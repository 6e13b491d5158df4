"""Answers from logits against the definition written out, span by span."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.tasks import question_answering

CONTEXT = "ab cd ef gh ij kl"


@dataclass(frozen=True)
class Window:
    """What the function reads of an encoded window: [CLS] q [SEP] a word a token [SEP]."""

    first: int
    count: int

    @property
    def sequence_ids(self) -> list[int | None]:
        return [None, 0, None, *[1] * self.count, None]

    @property
    def word_ids(self) -> list[int | None]:
        # the first two words of the context are one word of the tokenizer
        words = [max(0, self.first + i - 1) for i in range(self.count)]
        return [None, 0, None, *words, None]

    @property
    def offsets(self) -> list[tuple[int, int]]:
        places = [(3 * (self.first + i), 3 * (self.first + i) + 2) for i in range(self.count)]
        return [(0, 0), (0, 1), (0, 0), *places, (0, 0)]


def written_out(
    logits: list[np.ndarray], windows: list[Window], most: int, top_k: int, impossible: bool
) -> list[tuple[float, str]]:
    scores: dict[str, float] = {}
    nothing = 1.0
    for table, window in zip(logits, windows, strict=True):
        allowed = [0, *range(3, 3 + window.count)]
        p = [np.exp(table[allowed, side].astype(float)) for side in (0, 1)]
        start, end = (dict(zip(allowed, one / one.sum(), strict=True)) for one in p)
        nothing = min(nothing, start[0] * end[0])
        for i in allowed[1:]:
            for j in allowed[1:]:
                if i <= j < i + most:
                    answer = CONTEXT[window.offsets[i][0] : window.offsets[j][1]]
                    scores[answer] = scores.get(answer, 0.0) + start[i] * end[j]
    if impossible:
        scores[""] = nothing
    ranked = sorted(((score, answer) for answer, score in scores.items()), reverse=True)
    return ranked[:top_k]


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    windows=st.lists(
        st.builds(Window, first=st.integers(0, 2), count=st.integers(1, 4)), min_size=1, max_size=3
    ),
    most=st.integers(1, 5),
    top_k=st.integers(1, 40),
    impossible=st.booleans(),
)
def test_spans_by_the_definition(seed, windows, most, top_k, impossible):
    dice = np.random.default_rng(seed)
    logits = [dice.normal(0, 2, (one.count + 4, 2)).astype(np.float32) for one in windows]
    found = question_answering(
        logits,
        windows,
        CONTEXT,
        top_k=40,  # of all spans: what is cut off early could have been added to
        max_answer_len=most,
        handle_impossible_answer=impossible,
        align_to_words=False,
    )
    expected = written_out(logits, windows, most, 40, impossible)
    # like transformers, spans that cannot be answers come behind all others, with no score
    found = [one for one in found if one["score"] > 0]
    assert len(found) == len(expected)
    for one, (score, _) in list(zip(found, expected, strict=True))[:top_k]:
        assert one["score"] == pytest.approx(score, rel=1e-4)
        assert CONTEXT[one["start"] : one["end"]] == one["answer"]
        assert one["score"] == pytest.approx(
            next(s for s, a in expected if a == one["answer"]), rel=1e-4
        )


def test_words_are_widened_and_their_scores_added():
    window = Window(first=0, count=3)
    logits = np.full((7, 2), -20.0, dtype=np.float32)
    logits[3:5] = 0.0  # "ab" and "cd", one word
    [one] = question_answering([logits], [window], CONTEXT, top_k=1)
    assert one["answer"] == "ab cd"
    assert one["score"] == pytest.approx(0.75)  # (ab, ab), (ab, cd) and (cd, cd), 1/4 each
    parts = question_answering([logits], [window], CONTEXT, top_k=3, align_to_words=False)
    assert {part["answer"] for part in parts} == {"ab", "cd", "ab cd"}


@pytest.mark.parametrize("top_k", [2, 4, 6])
def test_of_equally_likely_spans_the_first_are_the_answers(top_k):
    window = Window(first=0, count=6)
    logits = np.zeros((10, 2), dtype=np.float32)
    found = question_answering([logits], [window], CONTEXT, top_k=top_k, align_to_words=False)
    words = CONTEXT.split()
    assert [one["answer"] for one in found] == [" ".join(words[: i + 1]) for i in range(top_k)]


def test_whatever_stands_before_the_context_is_no_answer():
    window = Window(first=0, count=2)
    logits = np.zeros((6, 2), dtype=np.float32)
    logits[1] = 50.0  # the question itself
    found = question_answering([logits], [window], CONTEXT, top_k=9)
    assert [one["answer"] for one in found if one["score"] > 0] == ["ab cd"]
