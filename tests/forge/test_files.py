"""Rows of every task from files: formats, columns, bad rows by name, held-out parts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import task_rows
from limbeck.data import Answer
from limbeck.errors import InputError, TrainingError
from limbeck.forge import files
from limbeck.forge.files import Columns
from limbeck.forge.questions import question_set
from limbeck.forge.rows import split_off
from limbeck.forge.sentences import sentence_set
from limbeck.forge.tagged import tagged_set
from limbeck.text import Tokenizer

pytestmark = pytest.mark.torch

CONTEXT = "Anna lives in Rome."


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_tags_from_columns_and_from_lists(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("Anna B-PER\nSmith I-PER\nruns O\n\nRome B-LOC\n")
    rows = files.read(tmp_path / "a.conll", "token-classification")
    assert rows.words == (("Anna", "Smith", "runs"), ("Rome",))
    assert rows.names == ("O", "B-LOC", "B-PER", "I-PER")
    assert [tags.tolist() for tags in rows.tags] == [[2, 3, 0], [1]]
    assert rows.texts == ("Anna Smith runs", "Rome")
    assert not files.read(tmp_path / "a.conll", "token-classification", labels=False).labelled.any()
    path = lines(tmp_path / "a.jsonl", {"w": ["Anna"], "t": ["B-PER"]}, {"w": ["x"], "t": ["B-Q"]})
    columns = Columns(text="w", label="t")
    with pytest.raises(InputError, match=r"a.jsonl:2: tag 'B-Q' is not one of \['O', 'B-PER'\]"):
        files.read(path, "token-classification", columns, names=("O", "B-PER"))
    told: list[str] = []
    rows = files.read(
        path, "token-classification", columns, names=("O", "B-PER"), report=told.append
    )
    assert len(rows) == len(told) == 1
    plain = lines(tmp_path / "b.jsonl", {"text": "Anna, in Rome."})
    rows = files.read(plain, "token-classification", names=("O", "B-PER"), labels=False)
    assert rows.words == (("Anna", ",", "in", "Rome", "."),)
    assert not rows.labelled.any()


@pytest.mark.parametrize("ending", ["txt", "TXT", "txt.gz"])
def test_plain_lines_to_be_tagged(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"more.{ending}"
    text = b"Anna, in Rome.\n\nshe stays there\r\n"
    path.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    columns = Columns(text="2", label="4")  # of the CoNLL file to train on
    rows = files.read(path, "token-classification", columns, names=("O", "B-PER"), labels=False)
    assert rows.words == (("Anna", ",", "in", "Rome", "."), ("she", "stays", "there"))
    assert not rows.labelled.any()
    path.write_bytes(b"Anna B-PER\n" if not ending.endswith("gz") else gzip.compress(b"Anna B-PER"))
    assert files.read(path, "token-classification").words == (("Anna",),)


def test_questions_from_both_formats(tmp_path: Path) -> None:
    good = {"text": ["Rome"], "answer_start": [14]}
    row = {"question": "Where?", "context": CONTEXT}
    path = lines(tmp_path / "a.jsonl", row | {"answers": good}, row | {"answers": {
        "text": [], "answer_start": []}}, row | {"answers": [{"text": "Anna", "answer_start": 0}]},
    )  # fmt: skip
    rows = files.read(path, "question-answering")
    assert rows.answers == ((Answer(text="Rome", start=14),), (), (Answer(text="Anna", start=0),))
    assert not files.read(path, "question-answering", labels=False).labelled.any()
    squad = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": [
        {"id": "1", "question": "Where?", "answers": [{"text": "Rome", "answer_start": 14}]},
        {"id": "2", "question": "When?", "answers": [], "is_impossible": True}]}]}]}  # fmt: skip
    (tmp_path / "squad.json").write_text(json.dumps(squad))
    assert files.read(tmp_path / "squad.json", "question-answering").answers == rows.answers[:2]
    for answers, message in (
        ({"text": ["Rome"], "answer_start": [3]}, "a.jsonl:1: answer 'Rome' does not stand at"),
        ({"text": ["Rome"], "answer_start": []}, "lists of one length"),
        ({"text": ["Rome"], "answer_start": ["14"]}, "its first character"),
        ("Rome", "one must know where"),
        ({"text": [], "answer_start": []}, "no question has an answer"),
    ):
        bad = lines(tmp_path / "a.jsonl", row | {"answers": answers})
        with pytest.raises(InputError, match=message):
            files.read(bad, "question-answering")
    bad = lines(tmp_path / "a.jsonl", row | {"question": " ", "answers": good})
    with pytest.raises(InputError, match="the question or its context is empty"):
        files.read(bad, "question-answering")
    squad["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] = 2
    (tmp_path / "squad.json").write_text(json.dumps(squad))
    with pytest.raises(InputError, match="article 1, paragraph 1, question 1: 1: answer 'Rome'"):
        files.read(tmp_path / "squad.json", "question-answering")


def test_similarities_in_their_range(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"a": "x", "b": "y", "s": 5}, {"a": "x", "b": "z", "s": 2.5})
    columns = Columns(text="a", pair="b", label="s")
    with pytest.raises(InputError, match=r"a.jsonl:1: similarity 5 lies outside -1 to 1"):
        files.read(path, "sentence-embedding", columns)
    columns = Columns(text="a", pair="b", label="s", scale=(0, 5))
    rows = files.read(path, "sentence-embedding", columns)
    np.testing.assert_allclose(rows.labels, [1.0, 0.5])
    alone = files.read(path, "sentence-embedding", Columns(text="a"), labels=False)
    assert alone.pairs == (None, None)
    assert len(rows.joined(alone)) == 4
    with pytest.raises(InputError, match="from 5 to 0 are no range"):
        files.read(path, "sentence-embedding", Columns(text="a", scale=(5, 0)))
    path = lines(tmp_path / "a.jsonl", {"text": "x", "text_pair": "y", "label": None})
    with pytest.raises(InputError, match="no row has a 'label'"):
        files.read(path, "sentence-embedding")
    path = lines(tmp_path / "a.jsonl", {"text": "x", "text_pair": "y", "label": "much"})
    with pytest.raises(InputError, match=r"a.jsonl:1: 'label' is 'much', not a number"):
        files.read(path, "sentence-embedding")


def test_rows_without_a_label_are_bad_where_every_row_needs_one(tmp_path: Path) -> None:
    good = {"text": "x", "text_pair": "y", "label": 1}
    rows = [good, good | {"label": None}, good | {"label": " "}, good, good | {"label": ""}]
    path = lines(tmp_path / "a.jsonl", *rows)
    problem = "'label' is missing or empty"
    with pytest.raises(InputError) as found:
        files.read(path, every=True)
    shown = str(found.value).splitlines()
    assert [line.split(",")[0] for line in shown] == [f"{path}:{n}: {problem}" for n in (2, 3, 5)]
    told: list[str] = []
    path = lines(tmp_path / "a.jsonl", *rows, {"txt": "x"})
    kept, held_out = files.read_and_split(path, None, seed=0, every=True, report=told.append)
    assert len(kept) + len(held_out) == 2
    assert len(told) == 4

    path = lines(tmp_path / "a.jsonl", good, good | {"label": None})
    for options in ({"problem": "regression"}, {"task": "sentence-embedding"}):
        with pytest.raises(InputError, match=f"a.jsonl:2: {problem}"):
            files.read(path, every=True, **options)
        assert len(files.read(path, every=True, report=told.append, **options)) == 1
        assert len(files.read(path, **options)) == 2
    path = lines(tmp_path / "a.jsonl", good | {"label": []}, good | {"label": None})
    with pytest.raises(InputError, match=f"a.jsonl:2: {problem}") as found:
        files.read(path, problem="multi_label", every=True)
    assert "a.jsonl:1" not in str(found.value), "no label is right there"
    path = lines(tmp_path / "a.jsonl", good | {"label": None}, good | {"label": None})
    with pytest.raises(InputError, match="no row has a 'label'"):
        files.read(path, every=True, report=told.append)


def test_tasks_that_nothing_is_trained_for(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "x"})
    with pytest.raises(InputError, match="nothing is trained for the task 'feature-extraction'"):
        files.read(path, "feature-extraction")


@pytest.mark.parametrize("task", ["token-classification", "question-answering"])
def test_empty_files(tmp_path: Path, task: str) -> None:
    path = tmp_path / "a.conll"
    path.write_text("")
    if task == "question-answering":
        path = tmp_path / "a.json"
        path.write_text('{"data": []}')
    with pytest.raises((TrainingError, InputError), match=r"no (rows|sentences)"):
        files.read(path, task)


def test_rows_that_teach_nothing() -> None:
    assert "every word has the tag 'O'" in (tagged_set([(["a"], ["O"])]).nothing_to_learn() or "")
    assert "none of the questions" in (question_set([("a", "b", ())]).nothing_to_learn() or "")
    same = sentence_set([("a", "b", 0.5), ("a", "c", 0.5)])
    assert "every pair has the similarity 0.5" in (same.nothing_to_learn() or "")
    for make in (task_rows.tags, task_rows.questions, task_rows.sentences):
        assert make(20).nothing_to_learn() is None
    with pytest.raises(InputError, match="row 1 has 2 words but 1 tags"):
        tagged_set([(["a", "b"], ["O"])])
    with pytest.raises(InputError, match="row 1 has tag 'X'; the tags are"):
        tagged_set([(["a"], ["X"])], ("O",))
    with pytest.raises(InputError, match="row 1: answer 'x' does not stand at character 0"):
        question_set([("a", "b", (Answer(text="x", start=0),))])
    with pytest.raises(InputError, match="row 1 has a similarity and no second text"):
        sentence_set([("a", None, 1.0)])


@pytest.mark.parametrize("make", [task_rows.tags, task_rows.questions, task_rows.sentences])
def test_digests_and_parts(make) -> None:
    rows = make(30)
    bare = rows.without_labels()
    assert bare.text_digest == rows.text_digest
    assert len({bare.digest, rows.digest, rows.take(range(29)).digest}) == 3
    assert rows.take([2, 0]).take([1]).digest == rows.take([0]).digest
    assert rows.joined(bare).labelled.tolist() == [True] * 30 + [False] * 30
    kept, held = split_off(rows.joined(bare), 0.3, seed=3)
    assert len(kept) + len(held) == 60
    assert not set(kept.keys()) & set(held.keys())
    assert 8 <= len(held) <= 28


def test_a_question_longer_than_its_window(zoo) -> None:
    tokenizer = Tokenizer.from_directory(zoo("bert", "feature-extraction"))
    rows = question_set([("who ?", CONTEXT, ()), ("where " * 30, CONTEXT, ())])
    with pytest.raises(InputError, match=r"row 2, 'where .*the question has 30 tokens"):
        rows.tokenised(tokenizer, 24)


def test_sentences_without_a_token(zoo) -> None:
    from limbeck.forge import tagged

    tokenizer = Tokenizer.from_directory(zoo("bert", "feature-extraction"))
    with pytest.raises(InputError, match="no word of the sentences gives a token"):
        tagged.features(tagged_set([(["\u200b"], ["O"])]), tokenizer, 24)
