"""Labelled rows of every problem, from every format that holds them."""

from __future__ import annotations

import json

import pytest

from limbeck.errors import InputError
from limbeck.evaluation import Columns, problem_of, read_examples
from limbeck.spec import SPAN_LABELS, HeadSpec, TaskSpec


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_single_labels_and_pairs(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("sentence1,sentence2,label\na,b,yes\nc,d,no\n")
    columns = Columns(text="sentence1", pair="sentence2")
    found = read_examples(path, "single_label", columns)
    assert (found.texts, found.pairs, found.targets) == (("a", "c"), ("b", "d"), ("yes", "no"))
    assert len(read_examples(path, "single_label", columns, at_most=1)) == 1


def test_several_labels(tmp_path):
    path = lines(
        tmp_path / "rows.jsonl",
        {"text": "a", "label": ["x", "y"]},
        {"text": "b", "label": "y | z"},
        {"text": "c", "label": []},
        {"text": "d", "label": None},
    )
    assert read_examples(path, "multi_label").targets == (("x", "y"), ("y", "z"), (), ())


def test_numbers(tmp_path):
    path = lines(
        tmp_path / "rows.jsonl",
        {"text": "a", "text_pair": "b", "label": 2.5},
        {"text": "c", "text_pair": "d", "label": "4"},
    )
    assert read_examples(path, "regression", Columns(pair="text_pair")).targets == (2.5, 4.0)
    assert read_examples(path, "similarity").pairs == ("b", "d")  # pairs by their usual name


def test_questions(tmp_path):
    path = lines(
        tmp_path / "rows.jsonl",
        {"question": "a?", "context": "b", "answers": {"text": ["b", "B"], "answer_start": [0, 0]}},
        {"question": "a?", "context": "b", "answers": ["b"]},
        {"question": "a?", "context": "b", "answers": "b"},
        {"question": "a?", "context": "b", "answers": {"text": [], "answer_start": []}},
    )
    found = read_examples(path, "question-answering")
    assert found.targets == (("b", "B"), ("b",), ("b",), ())
    assert found.pairs == ("b",) * 4


def test_tagged_sentences(tmp_path):
    path = lines(
        tmp_path / "rows.jsonl",
        {"tokens": ["Anna", "sings"], "ner": ["B-PER", "O"]},
        {"tokens": ["Oslo"], "ner": ["B-LOC"]},
    )
    found = read_examples(path, "token-classification", Columns(label="ner"))
    assert found.texts == ("Anna sings", "Oslo")
    assert found.words == (("Anna", "sings"), ("Oslo",))
    assert found.targets == (("B-PER", "O"), ("B-LOC",))
    columns = tmp_path / "rows.conll"
    columns.write_text("Anna B-PER\nsings O\n\nOslo B-LOC\n")
    assert read_examples(columns, "token-classification") == found


@pytest.mark.parametrize(
    ("problem", "row", "message"),
    [
        ("single_label", {"text": "a", "label": None}, "no 'label'"),
        ("single_label", {"text": 3, "label": "x"}, "is int '3', not text"),
        ("regression", {"text": "a", "label": "much"}, "'much', not a number"),
        ("multi_label", {"text": "a", "label": 3}, "must be a list of labels"),
        ("multi_label", {"text": "a", "label": [["x"]]}, "must be a list of labels"),
        ("question-answering", {"question": "a", "context": "b", "answers": 3}, "'answers' must"),
        ("token-classification", {"tokens": ["a"], "tags": []}, "at least one entry"),
        ("token-classification", {"tokens": ["a"], "tags": ["O", "O"]}, "1 words but 2 tags"),
        ("token-classification", {"tokens": ["a"], "tags": [7]}, "hold texts alone"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path, problem, row, message):
    good = {
        "single_label": {"text": "a", "label": "x"},
        "regression": {"text": "a", "label": 1},
        "multi_label": {"text": "a", "label": ["x"]},
        "question-answering": {"question": "a", "context": "b", "answers": "b"},
        "token-classification": {"tokens": ["a"], "tags": ["O"]},
    }[problem]
    path = lines(tmp_path / "rows.jsonl", good, row, good)
    with pytest.raises(InputError, match=message):
        read_examples(path, problem)
    told = []
    assert len(read_examples(path, problem, report=told.append)) == 2
    assert told[0].startswith(f"{path}:2: ")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        read_examples(tmp_path / "rows.jsonl", "single_label")
    with pytest.raises(InputError, match="is not there"):
        read_examples(tmp_path / "rows.jsonl", "token-classification")
    empty = tmp_path / "rows.jsonl"
    empty.write_text("")
    with pytest.raises(InputError, match="no rows to evaluate on"):
        read_examples(empty, "single_label")
    table = tmp_path / "rows.csv"
    table.write_text("tokens,tags\na,O\n")
    with pytest.raises(InputError, match="come as CoNLL columns, JSONL or Parquet"):
        read_examples(table, "token-classification")


def test_the_problem_of_a_model():
    def task(name, labels=("a", "b"), problem=None, head="sequence", **fields):
        kind = None if head is None else HeadSpec(kind=head)
        return TaskSpec(
            task=name, max_tokens=8, labels=labels, problem=problem, head=kind, **fields
        )

    assert problem_of(task("text-classification")) == "single_label"
    assert problem_of(task("text-classification", labels=("score",))) == "regression"
    assert problem_of(task("text-classification", problem="multi_label")) == "multi_label"
    assert problem_of(task("token-classification", head="token")) == "token-classification"
    spans = task("question-answering", labels=SPAN_LABELS, head="token")
    assert problem_of(spans) == "question-answering"
    vectors = task("sentence-embedding", labels=(), head=None, pooling=("mean",))
    assert problem_of(vectors) == "similarity"
    with pytest.raises(InputError, match="no right answers"):
        problem_of(task("feature-extraction", labels=(), head=None))
