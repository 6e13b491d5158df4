"""Spans: known predictions as SQuAD's script scores them, entities as seqeval finds them."""

from __future__ import annotations

import json

import pytest

from golden import entities as golden
from limbeck.errors import InputError
from limbeck.tasks import span_metrics as spans


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "f1"),
    [
        ("Paris", ["Paris"], 1, 1),
        ("the Paris!", ["paris"], 1, 1),
        ("a  red\tfox", ["The red fox."], 1, 1),
        ("Denver Broncos", ["Broncos", "The Denver Broncos"], 1, 1),
        ("Broncos", ["Denver Broncos"], 0, 2 / 3),
        ("in the year 1987", ["1987"], 0, 0.5),
        ("1987 1987", ["1987"], 0, 2 / 3),
        ("London", ["Paris"], 0, 0),
        ("", ["Paris"], 0, 0),
        ("", [], 1, 1),  # SQuAD 2.0: nothing is the right answer
        ("Paris", [], 0, 0),
        ("the", [], 1, 1),  # nothing is left of it
        ("", ["the"], 1, 1),
        ("$400,000", ["400000"], 1, 1),
        ("theatre", ["atre"], 0, 0),  # an article is a word of its own
        ("naïve café", ["naive cafe"], 0, 0),
    ],
)
def test_answers(prediction, answers, exact, f1):
    assert spans.answer_scores(prediction, answers) == pytest.approx((exact, f1))


def test_means_over_questions():
    answers = {"1": ["Paris"], "2": ["Denver Broncos"], "3": [], "4": ["x"]}
    predictions = {"1": "paris", "2": "Broncos", "3": "", "5": "not asked"}
    assert spans.squad_scores(predictions, answers) == pytest.approx((0.5, (1 + 2 / 3 + 1) / 4))
    with pytest.raises(InputError, match="no questions"):
        spans.squad_scores({}, {})


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", []),
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("I-PER I-PER", [("PER", 0, 2)]),
        ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("B-PER I-LOC", [("PER", 0, 1), ("LOC", 1, 2)]),
        ("S-PER I-PER E-PER", [("PER", 0, 1), ("PER", 1, 3)]),
        ("I-PER E-PER E-PER", [("PER", 0, 2), ("PER", 2, 3)]),
        ("PER PER O LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-A-B I-A-B", [("A-B", 0, 2)]),
        ("", []),
    ],
)
def test_entities(tags, expected):
    assert spans.entities(tags.split()) == expected


def test_spans_are_those_of_seqeval():
    cases = json.loads(golden.FILE.read_text("utf-8"))["cases"]
    for case in cases:
        for tags, theirs in zip(case["said"], case["entities"], strict=True):
            assert spans.entities(tags) == [(kind, first, last + 1) for kind, first, last in theirs]
        assert spans.span_f1(case["said"], case["right"]) == pytest.approx(case["scores"])
    assert sum(0 < case["scores"][2] < 1 for case in cases) > 50


def test_uneven_tags():
    with pytest.raises(InputError, match="1 tagged sentences but 2"):
        spans.span_f1([["O"]], [["O"], ["O"]])
    with pytest.raises(InputError, match="sentence 1: 1 tags but 2 labels"):
        spans.span_f1([["O"], ["O"]], [["O"], ["O", "O"]])
    assert spans.span_f1([["O"]], [["O"]]) == (0, 0, 0)
