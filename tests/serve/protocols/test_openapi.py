"""What OpenAPI says of own, classic, decision and Hugging Face is true: schemathesis asks, and
looks at what comes.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from fake_model import TAGS, FakeModel
from golden.serve_exchanges import LEAK
from limbeck.serve.http import openapi
from limbeck.serve.protocols import classic, decision, huggingface, own
from limbeck.serve.protocols.base import Context
from limbeck.serve.settings import Settings
from live_server import Live, live

schemathesis: Any = pytest.importorskip("schemathesis")
checks: Any = pytest.importorskip("schemathesis.checks")
checks.load_all_checks()

MODELS = {
    "texts": lambda: FakeModel(threshold=LEAK),
    "tags": lambda: FakeModel("token-classification", labels=TAGS),
}
PROTOCOLS = [own, classic, decision, huggingface]
ASKED = settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
# Which inputs and options a model takes follows from its task: no schema can say so. What is
# refused must still be refused as described.
EXCLUDED = [checks.CHECKS.get_one("positive_data_acceptance")]
FITTING, ODD = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    values = {
        "models": [{"name": n, "path": n, "deadline_ms": 60_000} for n in MODELS],
        # So that texts of any length can be sent without being refused for load.
        "queue": {"max_tokens": 10_000_000},
    }
    with live(PROTOCOLS, MODELS, Settings.model_validate(values)) as server:
        yield server


@pytest.fixture(scope="module")
def operations(server: Live) -> list[Any]:
    context = Context(service=server.service, settings=server.service.settings)
    routes = [route for one in PROTOCOLS for route in one.routes(context)]
    schema = schemathesis.openapi.from_dict(narrowed(openapi.document(routes, keys=False)))
    return [one.ok() for one in schema.get_all_operations()]


def narrowed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with names and options that there are, so that much is answered."""
    document = copy.deepcopy(document)
    for path in document["paths"].values():
        for operation in path.values():
            # Most lengths of time are either too long for the server or too short for an answer.
            given = operation.get("parameters", [])
            operation["parameters"] = [one for one in given if one["in"] != "header"]
            for one in operation["parameters"]:
                if one["name"] in ("name", "version"):
                    names = ["1", "9"] if one["name"] == "version" else [*MODELS, "nothing"]
                    one["schema"] = {"type": "string", "enum": names}
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            fields = {} if body is None else body["schema"]["properties"]
            fields.pop("timeout_ms", None)
            if "parameters" in fields:
                fields["parameters"] = {
                    "type": "object",
                    "properties": {"batch_size": {"type": "integer", "minimum": 1}},
                }
    return document


@pytest.mark.parametrize("mode", [FITTING, ODD])
def test_what_comes_is_as_described(server: Live, operations: list[Any], mode: Any) -> None:
    assert len(operations) == 13
    for operation in operations:
        statuses: Counter[int] = Counter()

        @ASKED
        @given(operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:
            response = case.call_and_validate(base_url=server.url, excluded_checks=EXCLUDED)
            statuses[response.status_code] += 1  # noqa: B023 - called in the same turn

        try:
            send()
        except Unsatisfiable:  # where everything fits: no parameter, no body
            assert mode == ODD
            continue
        if mode == FITTING:
            assert statuses[200] > 0, (operation.label, statuses)
        elif operation.method == "post":
            assert statuses[400] > 0, (operation.label, statuses)
