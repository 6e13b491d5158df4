"""The admin's port: models come and go, and what the server holds can be seen."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fake_model import FakeModel
from limbeck.errors import InputError
from limbeck.serve.protocols import admin, own
from limbeck.serve.settings import Settings
from live_server import ADMIN_KEY, Live, live

SETTINGS = {
    "models": [
        {"name": "first", "path": "good", "deadline_ms": 20_000},
        {"name": "first", "version": "2", "path": "good", "preload": False},
        {"name": "second", "path": "breaks", "preload": False, "required": False},
    ]
}


class Workshop:
    """Makes models; what it makes can be broken, and has another digest each time."""

    def __init__(self) -> None:
        self.broken = False
        self.made = 0

    def good(self) -> FakeModel:
        if self.broken:
            raise ValueError("the file is damaged")
        model = FakeModel("text-classification")
        self.made += 1
        model.digest = f"digest {self.made}"
        return model

    def breaks(self) -> FakeModel:
        raise ValueError("there is no such file")


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture
def server(workshop: Workshop) -> Iterator[Live]:
    models = {"good": workshop.good, "breaks": workshop.breaks}
    with live([admin, own], models, Settings.model_validate(SETTINGS)) as server:
        yield server


def ask(
    server: Live, method: str, path: str, body: bytes = b"", secret: str | None = ADMIN_KEY
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.admin, timeout=60)
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    read = json.loads(answer.read())
    connection.close()
    return answer.status, read


def predict(server: Live, text: str) -> int:
    connection = http.client.HTTPConnection(server.address, timeout=60)
    connection.request("POST", "/v1/models/first/predict", json.dumps({"inputs": text}))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def state(server: Live, name: str, version: str = "1") -> dict[str, Any]:
    status, answer = ask(server, "GET", "/admin/models")
    assert status == 200
    [found] = [o for o in answer["models"] if (o["name"], o["version"]) == (name, version)]
    return found


def test_nothing_without_the_key(server: Live) -> None:
    for method, path in [
        ("GET", "/admin/models"),
        ("GET", "/admin/scheduler"),
        ("POST", "/admin/reload"),
        ("POST", "/admin/cache/clear"),
        ("POST", "/admin/models/first/load"),
        ("POST", "/admin/models/first/versions/1/unload"),
    ]:
        for secret in (None, "guessed"):
            status, answer = ask(server, method, path, secret=secret)
            assert (status, answer["error"]["code"]) == (401, "unauthorized")
    assert state(server, "first")["state"] == "ready"


def test_every_route_is_for_admins(server: Live) -> None:
    from limbeck.serve.protocols.base import Context

    routes = admin.routes(Context(service=server.service, settings=server.service.settings))
    assert {route.scope for route in routes} == {"admin"}
    assert len({route.operation["operationId"] for route in routes}) == len(routes)


def test_models_and_their_states(server: Live) -> None:
    loaded = state(server, "first")
    assert loaded["state"] == "ready"
    assert loaded["digest"] == "digest 1"
    assert loaded["in_flight"] == 0
    assert not loaded["default"]
    assert state(server, "first", "2")["state"] == "unloaded"


def test_loading_and_unloading(server: Live) -> None:
    status, answer = ask(server, "POST", "/admin/models/first/versions/2/load")
    assert status == 200
    assert (answer["version"], answer["state"]) == ("2", "ready")
    before = answer["generation"]
    status, answer = ask(server, "POST", "/admin/models/first/versions/2/load", b"{}")
    assert status == 200
    assert answer["generation"] > before
    status, answer = ask(server, "POST", "/admin/models/first/versions/2/unload")
    assert (status, answer["state"]) == (200, "unloaded")
    assert state(server, "first", "1")["state"] == "ready"
    # The default version where none is named, and a request loads it again.
    status, answer = ask(server, "POST", "/admin/models/first/load")
    assert (status, answer["version"]) == (200, "2")
    assert ask(server, "POST", "/admin/models/first/unload")[1]["version"] == "2"
    assert predict(server, "the bell") == 200
    assert state(server, "first", "2")["state"] == "ready"


def test_what_cannot_be_loaded(server: Live) -> None:
    status, answer = ask(server, "POST", "/admin/models/second/load")
    assert status == 503
    assert "there is no such file" in answer["error"]["message"]
    failed = state(server, "second")
    assert failed["state"] == "failed"
    assert "there is no such file" in failed["reason"]


@pytest.mark.parametrize("verb", ["load", "unload"])
@pytest.mark.parametrize(
    ("place", "status"),
    [("nothing", 404), ("first/versions/9", 404), ("a%20b", 400), ("first/versions/..", 400)],
)
def test_unknown_models(server: Live, verb: str, place: str, status: int) -> None:
    found, answer = ask(server, "POST", f"/admin/models/{place}/{verb}")
    assert found == status
    assert answer["error"]["message"]


@pytest.mark.parametrize("path", ["reload", "cache/clear", "models/first/load"])
@pytest.mark.parametrize("body", [b'{"version": "2"}', b"[]", b"{"])
def test_bodies_that_would_be_ignored(server: Live, path: str, body: bytes) -> None:
    status, answer = ask(server, "POST", f"/admin/{path}", body)
    assert (status, answer["error"]["code"]) == (400, "bad_request")


def test_reload(server: Live, workshop: Workshop) -> None:
    before = state(server, "first")
    status, answer = ask(server, "POST", "/admin/reload")
    assert status == 200
    assert len(answer["models"]) == 3
    after = state(server, "first")
    assert after["digest"] == "digest 2"
    assert after["generation"] > before["generation"]


def test_a_reload_that_fails_leaves_the_old_model(server: Live, workshop: Workshop) -> None:
    before = state(server, "first")
    workshop.broken = True
    status, answer = ask(server, "POST", "/admin/reload")
    assert status == 503
    assert "stays as it was" in answer["error"]["message"]
    assert "the file is damaged" in answer["error"]["message"]
    assert state(server, "first") == before
    assert ask(server, "POST", "/admin/models/first/versions/1/load")[0] == 503
    assert state(server, "first")["generation"] == before["generation"]
    assert state(server, "first")["state"] == "ready"


def test_reload_reads_the_configuration(workshop: Workshop) -> None:
    told: list[str] = []

    def routes(context: Any) -> Any:
        async def reload() -> None:
            told.append("reload")
            if len(told) == 2:
                raise InputError("models.0.path: there is no such field")
            await context.service.reload()

        return admin.routes(replace(context, reload=reload))

    models = {"good": workshop.good, "breaks": workshop.breaks}
    module = SimpleNamespace(routes=routes)
    with live([module], models, Settings.model_validate(SETTINGS)) as server:
        assert ask(server, "POST", "/admin/reload")[0] == 200
        assert state(server, "first")["digest"] == "digest 2"
        status, answer = ask(server, "POST", "/admin/reload")
        assert (status, answer["error"]["code"]) == (422, "unprocessable")
        assert "there is no such field" in answer["error"]["message"]
        assert state(server, "first")["digest"] == "digest 2"


def test_no_request_is_lost_while_models_change(server: Live) -> None:
    statuses: list[int] = []
    done = threading.Event()

    def asking() -> None:
        number = 0
        while not done.is_set():
            number += 1
            statuses.append(predict(server, f"the bell {number}"))

    thread = threading.Thread(target=asking)
    thread.start()
    try:
        for path in ["reload", "models/first/load", "models/first/unload", "reload"] * 3:
            assert ask(server, "POST", f"/admin/{path}")[0] == 200
    finally:
        done.set()
        thread.join()
    assert set(statuses) == {200}


def test_scheduler(server: Live) -> None:
    assert predict(server, "the bell") == 200
    status, answer = ask(server, "GET", "/admin/scheduler")
    assert status == 200
    assert answer["draining"] is False
    assert answer["queue"]["queued_tokens"] == 0
    assert {cost["name"] for cost in answer["costs"]} == {"first"}
    for cost in answer["costs"]:
        assert cost["c0_s"] + cost["c1_s"] + cost["c2_s"] > 0
        assert cost["batches"] > 0


def test_clearing_the_cache(server: Live) -> None:
    for _ in range(2):
        assert predict(server, "the bell") == 200
    status, answer = ask(server, "POST", "/admin/cache/clear")
    assert status == 200
    assert answer["entries"] == 1
    assert answer["size_bytes"] > 0
    assert answer["cache"]["entries"] == 0
    assert answer["cache"]["hits"] == 1
    # It stores again.
    assert predict(server, "the bell") == 200
    assert predict(server, "the bell") == 200
    assert ask(server, "POST", "/admin/cache/clear")[1]["entries"] == 1
