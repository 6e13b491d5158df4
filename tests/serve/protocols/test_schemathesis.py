"""The OpenAPI document of these protocols is true: schemathesis asks, and looks at what comes."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from fake_model import FakeModel
from limbeck.serve.http import openapi
from limbeck.serve.protocols import admin, oip, openai
from limbeck.serve.protocols import describing as d
from limbeck.serve.protocols.base import Context, Route
from limbeck.serve.settings import Settings
from live_server import ADMIN_KEY, Live, live

schemathesis: Any = pytest.importorskip("schemathesis")
checks: Any = pytest.importorskip("schemathesis.checks")
checks.load_all_checks()

# "a" is a model whose name random names often are.
MODELS = {
    "a": lambda: FakeModel("text-classification"),
    "vectors": lambda: FakeModel("sentence-embedding", pooling=("mean",)),
}
ASKED = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def routes_of(server: Live, *, is_admin: bool) -> list[Route]:
    context = Context(service=server.service, settings=server.service.settings)
    routes = [one for module in (oip, openai, admin) for one in module.routes(context)]
    return [one for one in routes if (one.scope == "admin") == is_admin]


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    values = {
        "models": [{"name": n, "path": n, "deadline_ms": 60_000} for n in MODELS],
        # So that texts of any length can be sent without being refused for load.
        "queue": {"max_tokens": 10_000_000},
    }
    with live([oip, openai, admin], MODELS, Settings.model_validate(values)) as server:
        yield server


@pytest.fixture(scope="module")
def public(server: Live) -> Any:
    document = openapi.document(routes_of(server, is_admin=False), keys=False)
    return schemathesis.openapi.from_dict(with_models(document))


@pytest.fixture(scope="module")
def private(server: Live) -> Any:
    document = openapi.document(routes_of(server, is_admin=True), keys=False)
    return schemathesis.openapi.from_dict(with_models(document))


def with_models(document: dict[str, Any]) -> dict[str, Any]:
    """The document with names, shapes and options that there are, so that much is answered."""
    document = copy.deepcopy(document)
    for path in document["paths"].values():
        for operation in path.values():
            # Most lengths of time are either too long for the server or too short for an answer.
            operation["parameters"] = [
                one for one in operation.get("parameters", ()) if one["in"] == "path"
            ]
            for one in operation["parameters"]:
                names = ["1", "9"] if one["name"] == "version" else [*MODELS, "nothing"]
                one["schema"] = {"type": "string", "enum": names}
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            fields = {} if body is None else body["schema"]["properties"]
            fields.pop("timeout_ms", None)
            if "model" in fields:
                names = [*MODELS, "vectors/1", "nothing"]
                fields["model"] = {"type": "string", "enum": names}
            if "inputs" in fields:
                fields["inputs"]["maxItems"] = 1
                fields["inputs"]["items"]["properties"] |= {
                    "name": {"type": "string", "const": "text"},
                    "shape": {"type": "array", "const": [1]},
                    "data": {"type": "array", "items": d.TEXT, "minItems": 1, "maxItems": 1},
                }
                fields["parameters"]["properties"] = {
                    name: fields["parameters"]["properties"][name]
                    for name in ("priority", "binary_data_output", "padding")
                }
                fields["outputs"]["maxItems"] = 0
    return document


# How many elements data must have follows from the shape, and which inputs and options a model
# takes from its task: no schema can say so. What is refused must still be refused as described.
EXCLUDED = [checks.CHECKS.get_one("positive_data_acceptance")]


def operations(schema: Any) -> list[Any]:
    return [one.ok() for one in schema.get_all_operations()]


FITTING, ODD = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


@pytest.mark.parametrize("mode", [FITTING, ODD])
def test_public(server: Live, public: Any, mode: Any) -> None:
    for operation in operations(public):
        statuses = ask(operation, mode, base_url=server.url)
        if mode == FITTING:
            assert statuses[200] > 0, operation.label
        elif operation.method == "post":
            assert statuses[400] > 0, operation.label


@pytest.mark.parametrize("mode", [FITTING, ODD])
def test_admin(server: Live, private: Any, mode: Any) -> None:
    key = {"Authorization": f"Bearer {ADMIN_KEY}"}
    for operation in operations(private):
        statuses = ask(operation, mode, base_url=f"http://{server.admin}", headers=key)
        if mode == FITTING:
            assert statuses[200] > 0, operation.label


def ask(operation: Any, mode: Any, **how: Any) -> Counter[int]:
    """Requests that fit the description, or do not; the statuses that they got."""
    statuses: Counter[int] = Counter()

    @ASKED
    @given(operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        response = case.call_and_validate(excluded_checks=EXCLUDED, **how)
        statuses[response.status_code] += 1

    try:
        send()
    except Unsatisfiable:  # where everything fits: no parameter, no body
        assert mode == ODD
    return statuses


def test_every_operation_says_what_can_happen(server: Live) -> None:
    routes = routes_of(server, is_admin=False) + routes_of(server, is_admin=True)
    assert len({one.operation["operationId"] for one in routes}) == len(routes)
    for route in routes:
        operation = route.operation
        assert operation["summary"]
        assert "200" in operation["responses"]
        assert ("requestBody" in operation) == (route.method == "POST") or route.scope == "admin"
        if route.scope != "open":
            assert {"401", "403"} <= set(operation["responses"])
