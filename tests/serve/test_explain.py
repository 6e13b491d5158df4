"""Leave-one-out over sentences: parts, spans and the error, against direct calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_model import FakeModel
from limbeck.pipeline import pipeline
from limbeck.serve import explain
from tokenizer_files import hard_texts

TEXT = "A quiet harbour. Ring the bell!  The key is under the mat.\nNo. "


def test_parts_are_sentences() -> None:
    spans = explain.parts(TEXT, most=64)
    assert [TEXT[start:end] for start, end in spans] == [
        "A quiet harbour. ",
        "Ring the bell!  ",
        "The key is under the mat.\n",
        "No. ",
    ]
    together = explain.parts(TEXT, most=2)
    assert [TEXT[start:end] for start, end in together] == [
        "A quiet harbour. Ring the bell!  ",
        "The key is under the mat.\nNo. ",
    ]
    assert explain.parts("", most=3) == []
    assert explain.parts("bell", most=1) == [(0, 4)]


@given(
    text=st.one_of(st.lists(hard_texts, max_size=9).map(". ".join), st.text(max_size=40)),
    most=st.integers(1, 5),
)
def test_parts_cover_the_text(text: str, most: int) -> None:
    spans = explain.parts(text, most=most)
    assert "".join(text[start:end] for start, end in spans) == text
    assert len(spans) <= most
    assert all(start < end for start, end in spans)
    found = explain.explain(text, spans, 0.5, [0.25] * (len(spans) + 1))
    for span in found.spans:
        assert 0 <= span.start < span.end <= len(text)


def test_written_out_against_the_pipeline() -> None:
    pipe = pipeline("text-classification", FakeModel())

    def leak(text: str) -> float:
        return float(
            next(row["score"] for row in pipe([text], top_k=None)[0] if row["label"] == "odd")
        )

    spans = explain.parts(TEXT, most=64)
    asked = explain.variants(TEXT, spans)
    found = explain.explain(TEXT, spans, leak(TEXT), [leak(text) for text in asked])
    sentences = ["A quiet harbour. ", "Ring the bell!  ", "The key is under the mat.\n", "No. "]
    drops = {}
    for sentence in sentences:
        start = TEXT.index(sentence)
        without = TEXT.replace(sentence, "")
        drops[start, start + len(sentence.rstrip())] = leak(TEXT) - leak(without)
    assert {(one.start, one.end): one.drop for one in found.spans} == pytest.approx(drops)
    falling = [one.drop for one in found.spans]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) == 4
    expected = abs(sum(drops.values()) - (leak(TEXT) - leak("")))
    assert found.error == pytest.approx(expected)
    assert found.error > 0


def test_one_sentence_explains_itself() -> None:
    spans = explain.parts("Ring the bell", most=64)
    assert explain.variants("Ring the bell", spans) == ["", ""]
    found = explain.explain("Ring the bell", spans, 0.75, [0.25, 0.25])
    assert found.spans == (explain.Span(start=0, end=13, drop=0.5),)
    assert found.error == 0


def test_an_empty_text_has_nothing_to_leave_out() -> None:
    found = explain.explain("", [], 0.5, [0.5])
    assert (found.spans, found.error) == ((), 0)


def test_a_part_of_nothing_but_space_keeps_its_place() -> None:
    found = explain.explain("   ", [(0, 3)], 0.5, [0.5, 0.5])
    assert [(one.start, one.end) for one in found.spans] == [(0, 3)]
