"""The classic protocol: softmax [B][L] in the order of the labels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from exchange import Exchange, exchanging
from fake_model import FakeModel
from limbeck.serve.protocols import classic
from limbeck.serve.refused import RefusedError
from limbeck.tasks.scores import softmax

TEXTS = ["the bell", "a quiet harbour, and the key is under the mat", ""]


def run(body: Callable[[Exchange], Awaitable[None]], model: Callable[[], Any] = FakeModel) -> None:
    async def whole() -> None:
        async with exchanging([classic], {"m": model}) as exchange:
            await body(exchange)

    asyncio.run(whole())


def expected(model: Any, texts: list[str], max_tokens: int) -> list[list[float]]:
    """Straight from the model's logits."""
    encoded = model.tokenizer().encode(texts, max_tokens=max_tokens)
    rows: list[list[float]] = softmax(model.forward([one.ids for one in encoded])).tolist()
    return rows


@pytest.mark.parametrize("problem", ["single_label", "multi_label"])
def test_probabilities_in_label_order(problem: Any) -> None:
    model = FakeModel(problem=problem)

    async def body(exchange: Exchange) -> None:
        for text, texts in ((TEXTS, TEXTS), (TEXTS[1], TEXTS[1:2])):
            said = await exchange.post("/classify", {"text": text})
            assert said.status == 200
            assert set(said.value) == {"predictions"}
            np.testing.assert_allclose(
                said.value["predictions"], expected(model, texts, 24), rtol=1e-6
            )
            np.testing.assert_allclose(np.sum(said.value["predictions"], axis=1), 1, rtol=1e-6)
        # Not sorted: some text's best label is not the first.
        best = np.argmax((await exchange.post("/classify", {"text": TEXTS})).value["predictions"])
        assert best != 0

    run(body, lambda: FakeModel(problem=problem))


def test_max_length_cuts() -> None:
    async def body(exchange: Exchange) -> None:
        said = await exchange.post("/classify", {"text": TEXTS, "max_length": 5})
        found = said.value["predictions"]
        np.testing.assert_allclose(found, expected(FakeModel(), TEXTS, 5), rtol=1e-6)
        whole = (await exchange.post("/classify", {"text": TEXTS, "max_length": None})).value
        assert whole["predictions"][1] != found[1]

    run(body)


def test_no_texts() -> None:
    async def body(exchange: Exchange) -> None:
        assert (await exchange.post("/classify", {"text": []})).value == {"predictions": []}

    run(body)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, ["'text'"]),
        ({"texts": "a"}, 400, ["did you mean 'text'?"]),
        ({"text": None}, 400, ["null"]),
        ({"text": {"text": "a"}}, 400, ["an object"]),
        ({"text": ["a", 5]}, 400, ["text[1]", "a number"]),
        ({"text": "a", "max_length": "5"}, 400, ["max_length"]),
        ({"text": "a", "max_length": 5.0}, 400, ["max_length"]),
        ({"text": "a", "max_length": True}, 400, ["max_length"]),
        ({"text": "a", "max_length": 0}, 400, ["max_length"]),
        ({"text": "a", "max_length": 33}, 422, ["max_length 33", "32"]),
        ({"text": "a", "max_length": 1}, 422, ["special tokens"]),
        ({"text": ["a"] * 1025}, 413, ["1024"]),
        (b"text=a", 400, ["JSON"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_requests(body: Any, status: int, words: list[str]) -> None:
    async def check(exchange: Exchange) -> None:
        said = await exchange.post("/classify", body)
        assert (said.status, said.value["error"]["code"]) == (status, said.reason)
        for word in words:
            assert word in said.value["error"]["message"]

    run(check)


def test_a_model_of_another_task_is_refused() -> None:
    async def check(exchange: Exchange) -> None:
        said = await exchange.post("/classify", {"text": "a"})
        assert said.status == 422
        assert "feature-extraction" in said.value["error"]["message"]

    run(check, lambda: FakeModel("feature-extraction"))


def test_labels_that_share_a_name_cannot_be_told_apart() -> None:
    with pytest.raises(RefusedError) as caught:
        classic.in_label_order([], ("a", "b", "a"))
    assert caught.value.reason == "unprocessable"
