"""Hugging Face's shapes: what comes back for each task, for one input and for several."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from exchange import Exchange, exchanging
from fake_model import TAGS, FakeModel
from limbeck import load
from limbeck.serve.protocols import huggingface
from limbeck.serve.refused import RefusedError
from limbeck.serve.request import Tenant
from limbeck.serve.settings import Settings

Zoo = Callable[..., Path]
SENTENCES = [models.SENTENCES[0], models.SENTENCES[5]]


def run(
    body: Callable[[Exchange], Awaitable[None]], made: dict[str, Callable[[], Any]], **sections: Any
) -> None:
    async def whole() -> None:
        async with exchanging([huggingface], made, **sections) as exchange:
            await body(exchange)

    asyncio.run(whole())


def fake(task: Any = "text-classification", **fields: Any) -> dict[str, Callable[[], Any]]:
    if task == "token-classification":
        fields["labels"] = TAGS
    if task == "sentence-embedding":
        fields["pooling"] = ("mean",)
    return {"m": lambda: FakeModel(task, **fields)}


def test_texts_get_a_list_of_lists_best_first() -> None:
    async def body(exchange: Exchange) -> None:
        one = (await exchange.post("/", {"inputs": "the bell"})).value
        assert len(one) == 1
        assert {row["label"] for row in one[0]} == {"clean", "odd", "leak"}
        scores = [row["score"] for row in one[0]]
        assert scores == sorted(scores, reverse=True)
        two = (await exchange.post("/", {"inputs": ["the bell", "a"]})).value
        assert len(two) == 2
        assert two[0] == one[0]
        top = (await exchange.post("/", {"inputs": "the bell", "parameters": {"top_k": 1}})).value
        assert top == [one[0][:1]]
        best = await exchange.post("/", {"inputs": "the bell", "parameters": {"top_k": "top"}})
        assert best.value == [one[0][:1]]
        pair = {"inputs": {"text": "the bell", "text_pair": "rings"}}
        assert (await exchange.post("/", pair)).value != one

    run(body, fake())


def test_entities_are_groups_unless_asked_otherwise() -> None:
    async def body(exchange: Exchange) -> None:
        one = (await exchange.post("/", {"inputs": "the bell in the harbour"})).value
        assert one
        assert set(one[0]) == {"entity_group", "score", "word", "start", "end"}
        two = (await exchange.post("/", {"inputs": ["the bell in the harbour", "a"]})).value
        assert two[0] == one
        asked = {"inputs": "the bell", "parameters": {"aggregation_strategy": "none"}}
        single = (await exchange.post("/models/m", asked)).value
        assert set(single[0]) == {"entity", "score", "index", "word", "start", "end"}

    run(body, fake("token-classification"))


def test_vectors() -> None:
    async def body(exchange: Exchange) -> None:
        one = (await exchange.post("/", {"inputs": "the bell"})).value
        two = (await exchange.post("/", {"inputs": ["the bell", "a"]})).value
        assert np.shape(one) == (1, 4, 4)
        assert [np.shape(row) for row in two] == [(1, 4, 4), (1, 3, 4)]
        short = {"inputs": "the bell", "truncate": True, "parameters": {"max_length": 3}}
        assert np.shape((await exchange.post("/", short)).value) == (1, 3, 4)
        uncut = {"inputs": "the bell " * 40, "parameters": {"truncate": False}}
        assert (await exchange.post("/", uncut)).status == 422

    run(body, fake("feature-extraction"))


def test_sentence_vectors_and_similarities() -> None:
    texts = ["the bell", "a quiet harbour", "the bell"]

    async def body(exchange: Exchange) -> None:
        vectors = np.array((await exchange.post("/", {"inputs": texts})).value)
        assert vectors.shape == (3, 4)
        path = "/models/m/pipeline/feature-extraction"
        alone = (await exchange.post(path, {"inputs": texts[0], "normalize": True})).value
        np.testing.assert_allclose(alone, vectors[0] / np.linalg.norm(vectors[0]), rtol=1e-5)
        asked = {"inputs": {"source_sentence": texts[0], "sentences": texts[1:]}}
        units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for path in ("/", "/models/m", "/pipeline/sentence-similarity/m"):
            said = await exchange.post(path, asked)
            np.testing.assert_allclose(said.value, units[1:] @ units[0], rtol=1e-5)
            assert said.value[1] == pytest.approx(1, abs=1e-6)
        empty = {"inputs": {"source_sentence": "a", "sentences": []}}
        assert (await exchange.post("/", empty)).value == []

    run(body, fake("sentence-embedding"))


def test_a_zero_vector_is_like_nothing() -> None:
    assert huggingface.similarities([np.zeros(3), np.ones(3)]) == [0.0]


def test_empty_lists_get_empty_lists() -> None:
    async def body(exchange: Exchange) -> None:
        assert (await exchange.post("/", {"inputs": []})).value == []

    run(body, fake())


def test_what_a_model_is_configured_for_stands() -> None:
    options = {"aggregation_strategy": "none"}
    settings = Settings.model_validate(
        {"models": [{"name": "m", "path": "m", "options": options, "deadline_ms": 20_000}]}
    )

    async def body(exchange: Exchange) -> None:
        [first, *_] = (await exchange.post("/", {"inputs": "the bell"})).value
        assert "entity" in first

    run(body, fake("token-classification"), settings=settings)


def test_a_key_without_the_model_loads_nothing() -> None:
    settings = Settings.model_validate({"models": [{"name": "m", "path": "m", "preload": False}]})
    tenant = Tenant(name="t", models=frozenset({"other"}))

    async def body(exchange: Exchange) -> None:
        said = await exchange.post("/", {"inputs": "the bell"}, tenant=tenant)
        assert (said.status, said.reason) == (403, "forbidden")
        [state] = [one["state"] for one in exchange.context.service.index()]
        assert state == "unloaded"

    run(body, fake(), settings=settings)


def test_options_of_the_api() -> None:
    async def body(exchange: Exchange) -> None:
        asked: dict[str, Any] = {"inputs": "the bell", "options": {"wait_for_model": True}}
        assert (await exchange.post("/", asked)).call.noted["cached"] == 0
        assert (await exchange.post("/", asked)).call.noted["cached"] == 1
        asked["options"]["use_cache"] = False
        assert (await exchange.post("/", asked)).call.noted["cached"] == 0
        asked["options"] = None
        headers = {"cache-control": "no-cache"}
        assert (await exchange.post("/", asked, headers=headers)).call.noted["cached"] == 0

    run(body, fake())


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/", {}, 400, ["'inputs'"]),
        ("/", {"input": "a"}, 400, ["did you mean 'inputs'?"]),
        ("/", {"inputs": None}, 400, ["null"]),
        ("/", {"inputs": ["a", 3]}, 400, ["inputs[1]"]),
        ("/", {"inputs": {"source_sentence": "a"}}, 400, ["source_sentence"]),
        ("/", {"inputs": {"source_sentence": 1, "sentences": []}}, 400, ["source_sentence"]),
        ("/", {"inputs": {"source_sentence": "a", "sentences": "b"}}, 400, ["an array"]),
        ("/", {"inputs": {"source_sentence": "a", "sentences": [1]}}, 400, ["sentences[0]"]),
        ("/", {"inputs": {"source_sentence": "a", "sentences": ["b"]}}, 422, ["made for"]),
        ("/", {"inputs": "a", "parameters": "x"}, 400, ["parameters"]),
        ("/", {"inputs": "a", "parameters": {"topk": 1}}, 422, ["'topk'"]),
        ("/", {"inputs": "a", "options": {"use_cache": 1}}, 400, ["options.use_cache"]),
        ("/", {"inputs": "a", "options": {"gpu": True}}, 400, ["'gpu'"]),
        ("/", {"inputs": "a", "normalize": True}, 422, ["'normalize'"]),
        (
            "/",
            {"inputs": "a", "normalize": True, "parameters": {"normalize": True}},
            400,
            ["twice"],
        ),
        ("/models/nobody", {"inputs": "a"}, 404, ["nobody"]),
        ("/models/..", {"inputs": "a"}, 400, ["'..'"]),
        ("/pipeline/token-classification/m", {"inputs": "a"}, 422, ["made for"]),
        ("/pipeline/text-generation/m", {"inputs": "a"}, 404, ["text-generation"]),
        ("/", {"inputs": {"question": "a", "context": "b"}}, 422, ["text 0"]),
        ("/", b"{]", 400, ["JSON"]),
    ],
    ids=str,
)
def test_bad_requests(path: str, body: Any, status: int, words: list[str]) -> None:
    async def check(exchange: Exchange) -> None:
        said = await exchange.post(path, body)
        assert said.status == status, said.value
        assert set(said.value) == {"error"}
        for word in words:
            assert word in said.value["error"]

    run(check, fake())


def test_a_model_that_is_not_ready() -> None:
    refused = RefusedError("unavailable", "the model is loading", retry_after_s=2.5)
    reply = huggingface.error(refused)
    assert reply.status == 503
    assert reply.body == b'{"error":"the model is loading","estimated_time":2.5}'


@pytest.mark.torch
@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("text-classification", {"top_k": None}),
        ("text-classification", {"top_k": 2}),
        ("token-classification", {"aggregation_strategy": "simple"}),
        ("token-classification", {"aggregation_strategy": "none"}),
        ("question-answering", {}),
        ("feature-extraction", {}),
    ],
)
def test_shapes_are_those_of_transformers(task: str, options: Any, zoo: Zoo) -> None:
    transformers = pytest.importorskip("transformers")
    directory = zoo("bert", task)
    if not hasattr(transformers.pipelines, "QuestionAnsweringPipeline") and "question" in task:
        pytest.skip("this transformers has no pipeline for questions")
    theirs = transformers.pipeline(task, str(directory))
    inputs: list[Any] = SENTENCES
    if task == "question-answering":
        inputs = [{"question": "Who waits?", "context": text} for text in SENTENCES]
    expected = theirs(inputs, **options)

    async def body(exchange: Exchange) -> None:
        said = await exchange.post("/", {"inputs": inputs, "parameters": options})
        alike(said.value, expected)

    run(body, {"m": lambda: load(directory, precision="fp32", threads=1)})


def alike(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert list(found) == list(expected) or set(found) == set(expected)
        for name, value in expected.items():
            alike(found[name], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            alike(one, other)
    elif isinstance(expected, str | int):
        assert found == expected
    else:
        assert found == pytest.approx(float(expected), abs=1e-4)
