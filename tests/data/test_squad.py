"""SQuAD files, good and bad."""

from __future__ import annotations

import gzip
import json

import pytest

from limbeck.data import Answer, read_squad
from limbeck.errors import InputError

CONTEXT = "The flat was built in 1987 by Anna Berg."


def write(path, questions, context=CONTEXT, **article):
    document = {
        "version": "1.1",
        "data": [
            {"title": "flat", "paragraphs": [{"context": context, "qas": questions}]} | article
        ],
    }
    data = json.dumps(document).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def asked(name="q1", text="1987", start=22, **more):
    return {
        "id": name,
        "question": "When was it built?",
        "answers": [{"text": text, "answer_start": start}],
    } | more


@pytest.mark.parametrize("name", ["squad.json", "squad.json.gz"])
def test_questions_with_their_answers(tmp_path, name):
    twice = asked("q2")
    twice["answers"].append({"text": "in 1987", "answer_start": 19})
    impossible = asked("q3", answers=[], is_impossible=True)
    plausible = asked("q4", is_impossible=True, plausible_answers=[])
    found = list(read_squad(write(tmp_path / name, [asked(), twice, impossible, plausible])))
    assert [one.id for one in found] == ["q1", "q2", "q3", "q4"]
    assert found[0].answers == (Answer(text="1987", start=22),)
    assert [one.text for one in found[1].answers] == ["1987", "in 1987"]
    assert found[2].answers == found[3].answers == ()
    assert {one.title for one in found} == {"flat"}
    assert {one.context for one in found} == {CONTEXT}


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        (asked(start=21), "answer '1987' does not stand at character 21, where the context has"),
        (asked(start=-4), "does not stand at character -4"),
        (asked(start="22"), "needs text and answer_start"),
        (asked(start=True), "needs text and answer_start"),
        (asked(text=""), "an answer is empty"),
        (asked(question=" "), "no question"),
        (asked(question=None), "no question"),
        (asked(answers="1987"), "answers are not a list"),
        (asked(name=None), "no id"),
        (asked(name="good"), "id good is there twice"),
        (7, "not an object"),
    ],
)
def test_a_bad_question_is_named_and_left_out(tmp_path, question, problem):
    path = write(tmp_path / "squad.json", [asked("good"), question, asked("fine")])
    told = []
    assert [one.id for one in read_squad(path, report=told.append)] == ["good", "fine"]
    assert len(told) == 1
    assert told[0].startswith(f"{path}:article 1, paragraph 1, question 2: ")
    assert problem in told[0]
    with pytest.raises(InputError, match="article 1, paragraph 1, question 2"):
        list(read_squad(path))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "not valid JSON"),
        (b'{"rows": []}', "not in SQuAD's format"),
        (b"[]", "not in SQuAD's format"),
        (b'{"data": [3]}', "article 1: no list of paragraphs"),
        (b'{"data": [{"paragraphs": [{"qas": []}]}]}', "article 1, paragraph 1: no context"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_squad_file(tmp_path, data, problem):
    path = tmp_path / "squad.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=problem):
        list(read_squad(path))


def test_an_absent_or_broken_file(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        list(read_squad(tmp_path / "squad.json"))
    path = write(tmp_path / "squad.json.gz", [asked()])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="cannot be read"):
        list(read_squad(path))


@pytest.mark.shared_data
def test_the_development_set(shared_data):
    found = list(read_squad(shared_data / "squad" / "dev-v1.1.json.gz"))
    assert len(found) == 10_570
    assert all(one.answers for one in found)
