"""limbeck's own protocol: the pipeline's answers by name, and what cannot be asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from exchange import Exchange, Said, exchanging
from fake_model import TAGS, FakeModel
from limbeck.pipeline import pipeline
from limbeck.serve.protocols import own
from limbeck.serve.request import Tenant
from limbeck.spec import Threshold
from served import settings_of

LEAK = Threshold(label="leak", value=0.5, false_alarm_rate=0.01)
MODELS: dict[str, Callable[[], Any]] = {
    "labels": lambda: FakeModel(threshold=LEAK),
    "tags": lambda: FakeModel("token-classification", labels=TAGS),
    "vectors": lambda: FakeModel("feature-extraction"),
    "sentences": lambda: FakeModel("sentence-embedding", pooling=("mean",), normalize=True),
    "questions": lambda: FakeModel(
        "question-answering", labels=("start", "end"), max_tokens=32, positions=32
    ),
}


class QuestionModel(FakeModel):
    """Two logits a token, as its labels ask for."""

    def forward(self, *args: Any, **named: Any) -> Any:
        return super().forward(*args, **named)[:, 1:]


MODELS["questions"] = lambda: QuestionModel(
    "question-answering", labels=("start", "end"), max_tokens=32, positions=32
)


def run(body: Callable[[Exchange], Awaitable[None]], **sections: Any) -> None:
    async def whole() -> None:
        async with exchanging([own], MODELS, **sections) as exchange:
            await body(exchange)

    asyncio.run(whole())


def plain(value: Any) -> Any:
    """As JSON gives it back."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def close(found: Any, expected: Any) -> None:
    if isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)
    elif isinstance(expected, dict):
        assert set(found) == set(expected)
        for name, value in expected.items():
            close(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            close(one, other)
    else:
        assert found == expected
        assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "inputs", "parameters"),
    [
        ("labels", ["the bell", "a quiet harbour"], {}),
        ("labels", ["the bell", {"text": "the", "text_pair": "bell"}], {"top_k": None}),
        ("labels", ["the bell", ""], {"top_k": 2, "function_to_apply": "sigmoid", "decide": True}),
        ("labels", ["the bell " * 40], {"window": True, "return_window": True, "decide": True}),
        ("labels", ["the bell " * 40], {"truncation": True, "max_length": 7}),
        ("tags", ["the bell in the harbour", ""], {}),
        ("tags", ["the bell in the harbour"], {"aggregation_strategy": "simple"}),
        ("tags", ["the bell"], {"aggregation_strategy": "max", "ignore_labels": ["B-KEY"]}),
        ("vectors", ["the bell", "a"], {}),
        ("sentences", ["the bell", "a"], {"normalize_embeddings": True}),
    ],
)
def test_answers_are_the_pipelines(name: str, inputs: list[Any], parameters: Any) -> None:
    model = MODELS[name]()
    expected = plain(pipeline(model.spec.task.task, model)(inputs, **parameters))

    async def body(exchange: Exchange) -> None:
        path = f"/v1/models/{name}/predict"
        asked: dict[str, Any] = {"inputs": inputs}
        if parameters:
            asked["parameters"] = parameters
        said = await exchange.post(path, asked)
        assert said.status == 200, said.value
        assert (said.value["model"], said.value["version"]) == (name, "1")
        assert said.value["usage"]["tokens"] > 0
        close(said.value["outputs"], expected)
        for value, answer in zip(inputs, expected):
            alone = await exchange.post(
                f"/v1/models/{name}/versions/1/predict", asked | {"inputs": value}
            )
            close(alone.value["outputs"], answer)

    run(body)


def test_questions_alone_and_together() -> None:
    asked = [
        {"question": "the bell", "context": "a quiet harbour and the bell"},
        {"question": "the harbour", "context": "the key is under the mat"},
    ]
    alone = pipeline("question-answering", MODELS["questions"]())

    async def body(exchange: Exchange) -> None:
        path = "/v1/models/questions/predict"
        said = await exchange.post(path, {"inputs": asked})
        close(said.value["outputs"], plain([alone(one) for one in asked]))
        # A list of one is a list, unlike the pipeline's: what came as a list goes as a list.
        said = await exchange.post(path, {"inputs": asked[:1], "parameters": {"top_k": 3}})
        close(said.value["outputs"], [plain(alone(asked[0], top_k=3))])

    run(body)


def test_the_default_model_and_versions() -> None:
    async def body() -> None:
        settings = settings_of("m/1", "m/2", "other", default_model="other")
        models = dict.fromkeys(("m", "other"), FakeModel)
        async with exchanging([own], models, settings=settings) as exchange:
            for path, expected in (
                ("/v1/predict", ("other", "1")),
                ("/v1/models/m/predict", ("m", "2")),
                ("/v1/models/m/versions/1/predict", ("m", "1")),
            ):
                said = await exchange.post(path, {"inputs": "the bell"})
                assert (said.value["model"], said.value["version"]) == expected
            listed = (await exchange.get("/v1/models")).value
            assert listed["object"] == "list"
            assert [(one["id"], one["default"]) for one in listed["data"]] == [
                ("m", False),
                ("other", True),
            ]
            assert listed["data"][0]["versions"] == ["1", "2"]
            assert listed["data"][0]["default_version"] == "2"

    asyncio.run(body())


def test_a_model_describes_itself() -> None:
    async def body(exchange: Exchange) -> None:
        said = await exchange.get("/v1/models/labels")
        assert 0 <= time.time() - said.value["created"] < 600
        assert said.value == {
            "created": said.value["created"],
            "id": "labels",
            "object": "model",
            "owned_by": "limbeck",
            "versions": ["1"],
            "default_version": "1",
            "version": "1",
            "task": "text-classification",
            "labels": ["clean", "odd", "leak"],
            "threshold": {"label": "leak", "value": 0.5},
            "max_tokens": 24,
            "precision": "fp32",
            "architecture": "bert",
            "digest": "fake",
        }
        assert (await exchange.get("/v1/models/labels/versions/1")).value == said.value
        assert (await exchange.get("/v1/models/vectors")).value["labels"] == []
        assert (await exchange.get("/v1/models/nobody")).status == 404
        assert (await exchange.get("/v1/models/labels/versions/9")).status == 404

    run(body)


def test_an_empty_list_gets_an_empty_list() -> None:
    async def body(exchange: Exchange) -> None:
        said = await exchange.post("/v1/models/tags/predict", {"inputs": []})
        assert said.value == {
            "model": "tags",
            "version": "1",
            "outputs": [],
            "usage": {"tokens": 0},
        }
        assert (await exchange.post("/v1/models/nobody/predict", {"inputs": []})).status == 404

    run(body)


def test_keys_that_may_use_some_models() -> None:
    tenant = Tenant(name="t", models=frozenset({"labels"}))

    async def body(exchange: Exchange) -> None:
        listed = (await exchange.get("/v1/models", tenant=tenant)).value["data"]
        assert [one["id"] for one in listed] == ["labels"]
        asked = {"inputs": "the bell"}
        for inputs in ("the bell", []):
            path = "/v1/models/{}/predict"
            good = await exchange.post(path.format("labels"), {"inputs": inputs}, tenant=tenant)
            assert good.status == 200
            bad = await exchange.post(path.format("tags"), {"inputs": inputs}, tenant=tenant)
            assert bad.status == 403
        assert (await exchange.get("/v1/models/tags", tenant=tenant)).status == 403
        assert (await exchange.post("/v1/predict", asked, tenant=tenant)).status == 200

    run(body)


def refused(said: Said, status: int, *words: str) -> None:
    assert said.status == status, said.value
    assert set(said.value) == {"error"}
    assert said.value["error"]["code"] == said.reason
    for word in words:
        assert word in said.value["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, ["empty"]),
        (b"{", 400, ["JSON"]),
        (b'{"inputs": "\xff"}', 400, ["UTF-8"]),
        (b'{"inputs": NaN}', 400, ["JSON"]),
        (b"[" * 40 + b"]" * 40, 400, ["nests"]),
        ([], 400, ["the body must be an object"]),
        ({}, 400, ["lacks", "inputs"]),
        ({"input": "a"}, 400, ["did you mean 'inputs'?"]),
        ({"inputs": None}, 400, ["inputs must be a string or an object", "null"]),
        ({"inputs": 5}, 400, ["a number"]),
        ({"inputs": ["a", 5]}, 400, ["inputs[1]", "a number"]),
        ({"inputs": ["a", ["b"]]}, 400, ["inputs[1]", "an array"]),
        ({"inputs": ["a", {"txt": "b"}]}, 400, ["inputs[1]", "did you mean 'text'?"]),
        ({"inputs": ["a", {}]}, 400, ["inputs[1]", "'text'"]),
        ({"inputs": [{"text": "a", "context": "b"}]}, 400, ["inputs[0]"]),
        ({"inputs": [{"text": 5}]}, 400, ["inputs[0].text", "a number"]),
        ({"inputs": [{"text": "a", "text_pair": None}]}, 400, ["inputs[0].text_pair", "null"]),
        ({"inputs": "a", "parameters": []}, 400, ["parameters must be an object"]),
        ({"inputs": "a", "parameters": {"topk": 1}}, 422, ["'topk'", "top_k"]),
        ({"inputs": "a", "parameters": {"first": 1}}, 422, ["'first'"]),
        ({"inputs": "a", "parameters": {"inputs": 1}}, 422, ["'inputs'"]),
        ({"inputs": "a", "parameters": {"top_k": "2"}}, 422, ["top_k"]),
        ({"inputs": "a", "parameters": {"top_k": True}}, 422, ["top_k"]),
        ({"inputs": "a", "parameters": {"top_k": {}}}, 422, ["top_k"]),
        ({"inputs": "a", "parameters": {"window": "yes"}}, 422, ["window"]),
        ({"inputs": "a", "parameters": {"window_label": []}}, 422, ["window_label"]),
        ({"inputs": "a", "parameters": {"max_length": 999}}, 422, ["999", "32"]),
        ({"inputs": "a", "parameters": {"max_length": 1e99}}, 422, ["max_length"]),
        ({"inputs": ["a", {"question": "b", "context": "c"}]}, 422, ["text 1"]),
        ({"inputs": "a", "timeout_ms": "5"}, 400, ["timeout_ms", "a string"]),
        ({"inputs": "a", "timeout_ms": -5}, 400, ["timeout_ms"]),
        ({"inputs": "a", "timeout_ms": 1e300}, 400, ["timeout_ms"]),
        ({"inputs": "a", "timeout_ms": 0}, 504, ["timeout_ms is 0"]),
        ({"inputs": "a", "priority": "urgent"}, 400, ["'urgent'", "'high'"]),
        ({"inputs": "a", "priority": 4}, 400, ["priority"]),
        ({"inputs": "a", "priority": True}, 400, ["priority"]),
        ({"inputs": ["a"] * 1025}, 413, ["1025", "1024"]),
        ({"inputs": "a" * 1_000_001}, 413, ["1000001"]),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("cached", [True, False])
def test_bad_requests(body: Any, status: int, words: list[str], cached: bool) -> None:
    async def check(exchange: Exchange) -> None:
        headers = {} if cached else {"cache-control": "no-cache"}
        said = await exchange.post("/v1/models/labels/predict", body, headers=headers)
        refused(said, status, *words)
        # And nobody else is disturbed.
        assert (await exchange.post("/v1/models/labels/predict", {"inputs": "a"})).status == 200

    run(check)


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("tags", {"inputs": "a", "parameters": {"ignore_labels": 5}}, ["ignore_labels"]),
        ("tags", {"inputs": "a", "parameters": {"ignore_labels": [5]}}, ["ignore_labels"]),
        ("tags", {"inputs": "a", "parameters": {"aggregation_strategy": []}}, ["aggregation"]),
        ("tags", {"inputs": ["a", {"text": "b"}]}, ["text 1"]),
        ("vectors", {"inputs": "a", "parameters": {"tokenize_kwargs": 5}}, ["tokenize_kwargs"]),
        ("vectors", {"inputs": "a", "parameters": {"return_tensors": "pt"}}, ["return_tensors"]),
        ("sentences", {"inputs": "a", "parameters": {"normalize_embeddings": 1}}, ["normalize"]),
        ("questions", {"inputs": ["a"]}, ["input 0", "question"]),
        ("questions", {"inputs": [{"question": "", "context": "a"}]}, ["question 0 is empty"]),
        (
            "questions",
            {"inputs": {"question": "a", "context": "b"}, "parameters": {"top_k": None}},
            ["top_k"],
        ),
    ],
    ids=str,
)
def test_what_other_tasks_cannot_do(name: str, body: Any, words: list[str]) -> None:
    async def check(exchange: Exchange) -> None:
        for headers in ({}, {"cache-control": "no-cache"}):
            said = await exchange.post(f"/v1/models/{name}/predict", body, headers=headers)
            refused(said, 422, *words)

    run(check)


@pytest.mark.parametrize("name", ["nobody", "..", "a b", "%2e%2e", "x" * 200])
def test_unknown_models(name: str) -> None:
    async def check(exchange: Exchange) -> None:
        said = await exchange.post(f"/v1/models/{name}/predict", {"inputs": "a"})
        refused(said, 404 if name == "nobody" else 400)

    run(check)


def test_deadlines_in_the_header() -> None:
    async def check(exchange: Exchange) -> None:
        path = "/v1/models/labels/predict"
        for value, status in (("20000", 200), ("0", 504), ("-1", 400), ("soon", 400)):
            headers = {"x-request-timeout-ms": value}
            said = await exchange.post(path, {"inputs": "the bell"}, headers=headers)
            assert said.status == status

    run(check)


def test_log_and_metrics_know_what_was_asked() -> None:
    async def check(exchange: Exchange) -> None:
        said = await exchange.post("/v1/predict", {"inputs": ["the bell", "a"]})
        noted = said.call.noted
        assert (noted["model"], noted["version"], noted["rows"]) == ("labels", "1", 2)
        assert noted["tokens"] == said.value["usage"]["tokens"]
        assert noted["timing"].total_s > 0

    run(check)
