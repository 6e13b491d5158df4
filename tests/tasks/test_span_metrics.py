"""Spans: known predictions as SQuAD's script scores them, entities as seqeval finds them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


tag = st.sampled_from(["O", *(f"{p}-{kind}" for p in "BIES" for kind in ("PER", "LOC"))])
sentences = st.lists(st.lists(st.tuples(tag, tag), min_size=1, max_size=8), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(sentences)
def test_spans_are_those_of_seqeval(pairs):
    seqeval = pytest.importorskip("seqeval.metrics")
    from seqeval.metrics.sequence_labeling import get_entities

    said = [[one for one, _ in sentence] for sentence in pairs]
    right = [[other for _, other in sentence] for sentence in pairs]
    for sentence in said:
        theirs = [(kind, first, last + 1) for kind, first, last in get_entities(sentence)]
        assert spans.entities(sentence) == theirs
    found = spans.span_f1(said, right)
    assert found.f1 == pytest.approx(seqeval.f1_score(right, said, zero_division=0))
    assert found.precision == pytest.approx(seqeval.precision_score(right, said, zero_division=0))
    assert found.recall == pytest.approx(seqeval.recall_score(right, said, zero_division=0))


def test_uneven_tags():
    with pytest.raises(InputError, match="1 tagged sentences but 2"):
        spans.span_f1([["O"]], [["O"], ["O"]])
    with pytest.raises(InputError, match="sentence 1: 1 tags but 2 labels"):
        spans.span_f1([["O"], ["O"]], [["O"], ["O", "O"]])
    assert spans.span_f1([["O"]], [["O"]]) == (0, 0, 0)
