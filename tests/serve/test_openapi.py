"""The OpenAPI document is valid, and what it says holds: schemathesis tries what it can think of.

Against a live server with a small model, its keys configured, on both ports.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from limbeck.serve.app import App, Ports
from limbeck.serve.http.server import listen
from limbeck.serve.settings import (
    AdminSettings,
    KeySettings,
    LimitSettings,
    LogSettings,
    ModelSettings,
    ServerSettings,
    Settings,
)
from loop_thread import in_thread

schemathesis: Any = pytest.importorskip("schemathesis")
checks: Any = pytest.importorskip("schemathesis.specs.openapi.checks")
jsonschema: Any = pytest.importorskip("jsonschema")

KEY = "the key of the tests"
HASH = sha256(KEY.encode()).hexdigest()
TASKS = ("text-classification", "token-classification", "feature-extraction")


@contextlib.contextmanager
def served(models: tuple[ModelSettings, ...]) -> Iterator[tuple[App, str, str]]:
    """An application in a thread, and the URLs of both of its ports."""
    told = Settings(
        server=ServerSettings(port=0, threads=1),
        models=models,
        keys=(KeySettings(name="tests", sha256=HASH),),
        admin=AdminSettings(port=0, sha256=HASH),
        limits=LimitSettings(body_bytes=100_000, drain_s=5.0),
        log=LogSettings(access=False, level="error"),
    )
    ports = Ports(requests=listen("127.0.0.1", 0), admin=listen("127.0.0.1", 0))
    assert ports.admin is not None
    urls = [f"http://127.0.0.1:{one.getsockname()[1]}" for one in (ports.requests, ports.admin)]

    async def serve(begun: Callable[[App], None]) -> None:
        app = App(told, reread=lambda: told)
        await app.run(ports, on_ready=lambda: begun(app))

    with in_thread(serve, App.stop) as app:
        yield app, urls[0], urls[1]


@pytest.fixture(scope="module")
def server(zoo):
    models = tuple(
        ModelSettings(name=task, path=str(zoo("bert", task)), deadline_ms=60_000) for task in TASKS
    )
    with served(models) as found:
        yield found


def schema_of(url: str) -> Any:
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


def no_bug(ctx, response, case):
    """503 and 504 are promises; 500 is our fault."""
    assert response.status_code != 500, response.content


CHECKS = (
    no_bug,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
)
FEW = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


turns = itertools.cycle((*TASKS, None))


def check(case):
    # Made-up names are nobody's; most of the time a model is asked that there is.
    places = case.path_parameters or {}
    if "name" in places and (name := next(turns)) is not None:
        places["name"] = name
        if "version" in places:
            places["version"] = "1"
    case.call_and_validate(headers={"X-API-Key": KEY}, checks=list(CHECKS))


def try_all(url):
    """Every operation; what fails is gathered, so that one does not hide the others."""
    failed = []
    for found in schema_of(url).get_all_operations():
        operation = found.ok()

        @FEW
        @given(operation.as_strategy())
        def tried(case):
            check(case)

        try:
            tried()
        except BaseException as error:
            failed.append(f"{operation.label}: {error}")
    assert not failed, "\n\n".join(failed)


def test_every_operation_keeps_its_word(server):
    try_all(server[1])


def test_every_operation_of_the_admin_port_keeps_its_word(server):
    try_all(server[2])


def test_the_documents_are_valid(server):
    from openapi_spec_validator import OpenAPIV31SpecValidator

    for url in server[1:]:
        OpenAPIV31SpecValidator(schema_of(url).raw_schema).validate()


def test_schemas_in_them_are_schemas(server):
    def walk(value):
        if isinstance(value, dict):
            if isinstance(value.get("schema"), dict):
                jsonschema.Draft202012Validator.check_schema(value["schema"])
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    for url in server[1:]:
        raw = schema_of(url).raw_schema
        walk(raw["paths"])
        for schema in raw["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)


def test_operations_are_named_once_and_ask_for_keys(server):
    app = server[0]
    for url, routes in ((server[1], app.front.table.routes), (server[2], app.admin.table.routes)):
        raw = schema_of(url).raw_schema
        operations = {
            (method.upper(), path): operation
            for path, found in raw["paths"].items()
            for method, operation in found.items()
        }
        assert {(one.method, one.path) for one in routes} == set(operations)
        names = [operation["operationId"] for operation in operations.values()]
        assert len(names) == len(set(names))
        for route in routes:
            asks = "security" in operations[route.method, route.path]
            assert asks == (route.scope != "open"), route.path
        assert set(raw["components"]["securitySchemes"]) == {"bearer", "header"}
