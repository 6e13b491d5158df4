"""Pipelines whose work somebody else does: in common batches they give the same answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fake_model import FakeModel
from limbeck.errors import InputError
from limbeck.pipeline import Asked, Pipeline, follow, pipeline, together
from limbeck.spec import Threshold

CASES: list[tuple[Any, Any, dict[str, Any]]] = [
    ("text-classification", ["the bell", "harbour"], {"top_k": None}),
    ("text-classification", [{"text": "the bell", "text_pair": "a harbour"}], {}),
    ("text-classification", ["the quiet harbour " * 200, "the bell"], {"window": True}),
    ("token-classification", ["the bell in the harbour"], {"aggregation_strategy": "simple"}),
    ("feature-extraction", ["the bell"], {"return_tensors": True}),
    ("sentence-embedding", ["the bell", "a quiet harbour"], {"normalize_embeddings": True}),
]


def made(task: Any) -> Pipeline[Any]:
    fields: dict[str, Any] = {}
    if task == "text-classification":
        fields["threshold"] = Threshold(label="leak", value=0.2, false_alarm_rate=0.01)
    if task == "sentence-embedding":
        fields["pooling"] = ("mean",)
    return pipeline(task, FakeModel(task, **fields))


@pytest.mark.parametrize(("task", "inputs", "options"), CASES)
def test_common_batches_give_the_same_answers(
    task: Any, inputs: list[Any], options: dict[str, Any]
) -> None:
    pipe = made(task)
    both = [pipe.steps(inputs, **options), pipe.steps(inputs[:1], **options)]
    answers: dict[int, list[Any]] = {}
    asked = {number: next(steps) for number, steps in enumerate(both)}
    rounds = 0
    while asked:
        rounds += 1
        [output] = {one.output for one in asked.values()}
        flat = [sequence for one in asked.values() for sequence in one.encoded]
        rows = iter(together(pipe.model, flat, output) if flat else [])
        for number, one in list(asked.items()):
            try:
                asked[number] = both[number].send([next(rows) for _ in one.encoded])
            except StopIteration as end:
                answers[number] = end.value
                del asked[number]
    assert rounds >= 1
    alone = [pipe(value, **options) for value in inputs]
    for number, own in answers.items():
        assert len(own) == len(inputs[: None if number == 0 else 1])
        for answer, expected in zip(own, alone, strict=False):
            if isinstance(answer, np.ndarray):
                np.testing.assert_array_equal(answer, expected)
            else:
                # A str alone gives a list of one dictionary where top_k is not given.
                assert answer in (expected, expected[0] if isinstance(expected, list) else None)


def test_what_is_wrong_is_said_at_once_or_on_the_way() -> None:
    pipe = made("text-classification")
    with pytest.raises(InputError, match="no option 'nonsense'"):
        pipe.steps(["a"], nonsense=1)
    with pytest.raises(InputError, match="text 1 must be a str"):
        pipe.steps(["a", 5])
    steps = pipe.steps(["the bell " * 600], truncation=False)
    with pytest.raises(InputError, match="positions for"):
        next(steps)


def test_follow_computes_what_is_asked_for() -> None:
    pipe = made("sentence-embedding")
    seen: list[Asked] = []

    def compute(asked: Asked) -> list[Any]:
        seen.append(asked)
        return together(pipe.model, asked.encoded, asked.output)

    [vector] = follow(pipe.steps(["the bell"]), compute)
    np.testing.assert_array_equal(vector, pipe("the bell"))
    assert [len(one.encoded) for one in seen] == [1]
