"""Windows that begin and end where sentences do."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.errors import InputError
from limbeck.text import Tokenizer
from limbeck.text.truncation import sentence_starts, sentence_window_ranges, window_ranges
from tokenizer_files import tokenizer_json


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", [""]),
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ('He said "no." Then\n\n  left.', ['He said "no." ', "Then\n\n  ", "left."]),
        ("Room 3.5 by www.example.com/x is fine", ["Room 3.5 by www.example.com/x is fine"]),
        ("一つ。二つ。", ["一つ。", "二つ。"]),
        ("\n\nfirst", ["\n\n", "first"]),
        ("wait... what", ["wait... ", "what"]),
    ],
)
def test_where_sentences_start(text: str, sentences: list[str]) -> None:
    starts = sentence_starts(text)
    assert [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)])] == sentences


@given(
    sentences=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    room=st.integers(1, 50),
    data=st.data(),
)
def test_every_token_is_read_and_windows_fit(
    sentences: list[int], room: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(0, room - 1))
    starts = [sum(sentences[:i]) for i in range(len(sentences))]
    length = sum(sentences)
    ranges = sentence_window_ranges(length, room, stride, starts)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == length
    assert all(0 < stop - start <= room for start, stop in ranges)
    for (start, stop), (following, _) in pairwise(ranges):
        assert start < following <= stop
    if max(sentences) <= room // 2:  # then every window begins and ends with a sentence
        assert {start for start, _ in ranges} <= set(starts)
        assert {stop for _, stop in ranges[:-1]} <= set(starts)
        for (_, stop), (following, _) in pairwise(ranges):
            assert following < stop, "neighbours share a sentence"


@given(length=st.integers(0, 200), room=st.integers(1, 50), data=st.data())
def test_a_text_of_one_sentence_is_cut_between_tokens(
    length: int, room: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(0, room - 1))
    assert sentence_window_ranges(length, room, stride, [0]) == window_ranges(length, room, stride)


def test_a_stride_that_makes_no_progress() -> None:
    with pytest.raises(InputError, match="stride"):
        sentence_window_ranges(100, 10, 10, [0])


def test_windows_of_a_text() -> None:
    tokenizer = Tokenizer.from_bytes(tokenizer_json("wordpiece"))
    text = "the harbour is quiet. " * 12
    windows = tokenizer.windows(text, max_tokens=16, stride=3, at_sentences=True)
    assert len(windows) > 2
    for window in windows:
        first, last = window.span
        assert text[first:].startswith("the harbour")
        assert text[first:last].endswith(".")
    assert windows[-1].span[1] == len(text.rstrip())
