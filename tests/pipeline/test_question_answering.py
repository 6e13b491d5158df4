"""question-answering against answers that transformers 4.57 gave, and against bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from golden import question_answering as golden
from limbeck.errors import InputError, LimbeckError
from limbeck.pipeline import QuestionAnsweringPipeline, pipeline

GOLDEN = json.loads(golden.FILE.read_text("utf-8"))
Ask = Callable[[str], QuestionAnsweringPipeline]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    root = tmp_path_factory.mktemp("questions")

    @cache
    def get(architecture: str) -> QuestionAnsweringPipeline:
        directory = golden.write_model(root / architecture, architecture)
        return pipeline("question-answering", directory)

    return get


def same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, list):
        assert type(found) is list
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
        return
    assert list(found) == list(wanted)
    assert found["score"] == pytest.approx(wanted["score"], rel=1e-4)
    places = ("start", "end", "answer")
    assert [found[name] for name in places] == [wanted[name] for name in places]


@pytest.mark.parametrize("architecture", golden.TOKENIZERS)
@pytest.mark.parametrize("case", range(len(golden.CASES)))
def test_answers_are_those_of_transformers(ask: Ask, architecture: str, case: int) -> None:
    same(ask(architecture)(**golden.CASES[case]), GOLDEN["answers"][architecture][case])


@pytest.mark.parametrize("architecture", golden.TOKENIZERS)
def test_lists_are_those_of_transformers(ask: Ask, architecture: str) -> None:
    for some, wanted in zip(golden.LISTS, GOLDEN["lists"][architecture], strict=True):
        asked = [{key: golden.CASES[i][key] for key in ("question", "context")} for i in some]
        same(ask(architecture)(asked), wanted)


def test_the_golden_answers_differ() -> None:
    for answers in GOLDEN["answers"].values():
        best = [one[0] if isinstance(one, list) else one for one in answers]
        assert len({one["answer"] for one in best}) > 8


def test_ways_to_ask(ask: Ask) -> None:
    answer = ask("bert")
    question, context = golden.CASES[0]["question"], golden.CASES[0]["context"]
    one = answer(question=question, context=context)
    assert answer({"question": question, "context": context}) == one
    assert answer(question=[question, question], context=context) == [one, one]
    assert answer(question=[question], context=[context]) == one
    assert list(answer(iter([{"question": question, "context": context}]))) == [one]
    assert answer([]) == []
    assert context[one["start"] : one["end"]] == one["answer"]


def test_a_long_question_narrows_the_stride_by_itself(ask: Ask) -> None:
    question, context = "Where is it? " * 9, "It is by the sea. " * 60
    assert ask("bert")(question=question, context=context)["answer"]
    with pytest.raises(InputError, match="stride must be in 0"):
        ask("bert")(question=question, context=context, doc_stride=60)


def test_batches_do_not_change_answers(ask: Ask) -> None:
    asked = [{key: case[key] for key in ("question", "context")} for case in golden.CASES]
    together = ask("roberta")(asked)
    assert ask("roberta")(asked, max_batch_tokens=1) == together
    assert [ask("roberta")(one) for one in asked] == together


def test_int8_answers_in_words_of_the_context(ask: Ask, tmp_path: Path) -> None:
    directory = golden.write_model(tmp_path / "bert", "bert")
    answer = pipeline("question-answering", directory, precision="int8")
    context = golden.CASES[9]["context"]
    for one in answer(question="Which room?", context=context, top_k=5):
        assert context[one["start"] : one["end"]] == one["answer"]
        assert 0 < one["score"] <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({}, "give question= and context="),
        ({"question": "Where?"}, "needs its context"),
        ({"question": "", "context": "Here."}, "the question 0 is empty"),
        ({"question": "Where?", "context": ""}, "the context 0 is empty"),
        ({"question": ["a", "b"], "context": ["c"]}, "2 questions but 1 contexts"),
        ({"inputs": "Where?"}, "must be a dictionary"),
        ({"inputs": [{"question": "Where?"}]}, r"found \['question'\]"),
        ({"inputs": {"question": 3, "context": "Here."}}, "question 0 must be a str"),
        ({"question": "Where?", "context": "\ud800"}, "context 0 has a lone surrogate"),
        ({"question": "a " * 200, "context": "b"}, "leaves no room for its context"),
        ({"question": "a", "context": "b", "top_k": 0}, "top_k must be an integer from 1"),
        ({"question": "a", "context": "b", "max_answer_len": 0}, "max_answer_len must be"),
        ({"question": "a", "context": "b", "max_seq_len": 999}, "has positions for"),
        ({"question": "a", "context": "b", "max_seq_len": 2}, "leaves no room"),
        ({"question": "a", "context": "b", "stride": 2}, "has no option 'stride'"),
        ({"inputs": {"question": "a", "context": "b"}, "context": "c"}, "not both"),
    ],
)
def test_bad_input(ask: Ask, call: dict[str, Any], message: str) -> None:
    call = dict(call)
    arguments = [call.pop("inputs")] if "inputs" in call else []
    with pytest.raises(LimbeckError, match=message):
        ask("bert")(*arguments, **call)
