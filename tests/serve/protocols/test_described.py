"""What OpenAPI says of the protocols holds: golden exchanges, examples, statuses."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from typing import Any

import pytest

from exchange import exchanging
from golden import serve_exchanges as golden
from limbeck.serve.protocols.base import Route

jsonschema_rs: Any = pytest.importorskip("jsonschema_rs")

KEPT = {
    name: json.loads((golden.DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))
    for name in golden.PROTOCOLS
}


@pytest.fixture(scope="module")
def routes() -> dict[str, list[Route]]:
    async def whole() -> dict[str, list[Route]]:
        modules = {
            name: importlib.import_module(f"limbeck.serve.protocols.{name}")
            for name in golden.PROTOCOLS
        }
        async with exchanging([], golden.MODELS) as exchange:
            return {name: one.routes(exchange.context) for name, one in modules.items()}

    return asyncio.run(whole())


def valid(schema: Any, value: Any) -> bool:
    checker = jsonschema_rs.Draft202012Validator(schema)
    return bool(checker.is_valid(value))


@pytest.mark.parametrize("protocol", golden.PROTOCOLS)
def test_golden_exchanges(protocol: str) -> None:
    """To write them anew, see tests/golden/serve_exchanges.py."""
    found = golden.answers(protocol)
    assert [one["case"] for one in found] == [one["case"] for one in KEPT[protocol]]
    for one, kept in zip(found, KEPT[protocol]):
        # As text: the order of keys counts too.
        assert json.dumps(one, indent=1) == json.dumps(kept, indent=1)


@pytest.mark.parametrize("protocol", golden.PROTOCOLS)
def test_golden_exchanges_are_as_described(protocol: str, routes: dict[str, list[Route]]) -> None:
    for kept in KEPT[protocol]:
        request, response = kept["request"], kept["response"]
        [operation] = [
            route.operation
            for route in routes[protocol]
            if route.method == request["method"]
            and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route.path), request["path"])
        ][:1]
        described = operation["responses"][str(response["status"])]
        schema = described["content"]["application/json"]["schema"]
        assert valid(schema, response["body"]), kept["case"]
        if "body" in request:
            content = operation["requestBody"]["content"]["application/json"]
            # 504: of no time at all, which the schema does not offer. Whether the model can do it
            # (422) is nothing that a schema knows.
            if response["status"] != 422:
                understood = response["status"] not in (400, 504)
                assert valid(content["schema"], request["body"]) == understood, kept["case"]


@pytest.mark.parametrize("protocol", golden.PROTOCOLS)
def test_examples_are_as_described(protocol: str, routes: dict[str, list[Route]]) -> None:
    seen = 0
    for route in routes[protocol]:
        operation = route.operation
        bodies = [one["content"]["application/json"] for one in operation["responses"].values()]
        if route.method == "POST":
            bodies.append(operation["requestBody"]["content"]["application/json"])
        for body in bodies:
            jsonschema_rs.meta.validate(body["schema"])
            for example in body.get("examples", {}).values():
                seen += 1
                assert valid(body["schema"], example["value"]), example
    assert seen >= 3


def test_operations_have_names_of_their_own(routes: dict[str, list[Route]]) -> None:
    every = [route for of_protocol in routes.values() for route in of_protocol]
    names = [route.operation["operationId"] for route in every]
    assert len(set(names)) == len(names)
    for route in every:
        placed = {
            one["name"] for one in route.operation.get("parameters", ()) if one["in"] == "path"
        }
        assert placed == set(re.findall(r"\{(\w+)\}", route.path))
        assert route.protocol in golden.PROTOCOLS


@pytest.mark.parametrize("name", ["own", "huggingface"])
def test_all_options_of_all_tasks_are_described(name: str, routes: dict[str, list[Route]]) -> None:
    [schema] = [
        route.operation["requestBody"]["content"]["application/json"]["schema"]
        for route in routes[name]
        if route.path in ("/v1/predict", "/")
    ]
    for parameters, expected in (
        ({"top_k": None, "window": True, "window_reduce": "mean", "stride": 3}, True),
        ({"aggregation_strategy": "max", "ignore_labels": ["O"]}, True),
        ({"top_k": "many"}, False),
        ({"window": "yes"}, False),
        ({"window_reduce": "min"}, False),
        ({"ignore_labels": [5]}, False),
    ):
        assert valid(schema, {"inputs": "a", "parameters": parameters}) is expected, parameters
