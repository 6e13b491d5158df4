"""Live, ready and started, while a model loads, once it is there, and at the end."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
import urllib.error
import urllib.request

import pytest

from crowd import ask
from fake_model import FakeModel
from limbeck.errors import ModelError
from limbeck.serve.http import probes
from limbeck.serve.protocols.base import Call
from limbeck.serve.refused import RefusedError
from limbeck.serve.service import Service
from served import settings_of
from waiting import comes, until


async def statuses(service: Service, started: bool) -> dict[str, int]:
    """What the probes say, by the last word of their paths."""
    found = {}
    for route in probes.routes(started=lambda: started, not_ready=service.not_ready):
        call = Call(
            method="GET", path={}, query={}, headers={}, body=b"", arrived_s=time.monotonic()
        )
        try:
            reply = await route.handle(call)
        except RefusedError as refused:
            reply = route.error(refused)
        found[route.path.rpartition("/")[2]] = reply.status
    return found


def test_live_always_ready_with_the_models_and_not_ready_first_of_all_at_the_end() -> None:
    async def body() -> None:
        loading = threading.Event()

        def load(_: object) -> FakeModel:
            assert loading.wait(60)
            return FakeModel()

        service = Service(settings_of("m"), loading=load)
        try:
            starting = asyncio.create_task(service.start())
            await comes(lambda: service.not_ready() == ["model m version 1 is loading"])
            assert await statuses(service, False) == {"live": 200, "ready": 503, "startup": 503}
            loading.set()
            await starting
            assert await statuses(service, True) == {"live": 200, "ready": 200, "startup": 200}
            service.drain()
            assert await statuses(service, True) == {"live": 200, "ready": 503, "startup": 200}
        finally:
            loading.set()
            await service.close()

    asyncio.run(body())


def test_a_required_model_that_is_broken_is_not_ready_and_still_live() -> None:
    async def body() -> None:
        def load(_: object) -> FakeModel:
            raise ModelError("the file is damaged")

        service = Service(settings_of("m"), loading=load)
        try:
            with pytest.raises(ModelError):
                await service.start()
            assert service.not_ready() == ["model m version 1 is failed: the file is damaged"]
            assert await statuses(service, False) == {"live": 200, "ready": 503, "startup": 503}
        finally:
            await service.close()

    asyncio.run(body())


def test_every_probe_turns_first_and_requests_are_answered_on(stored, program, tmp_path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("[limits]\ndrain_grace_s = 60\n", encoding="utf-8")
    server = program(str(stored.path), "--config", str(config), "--port", "0", "--name", "m")
    url = server.ready()
    ready = ("/health/ready", "/v2/health/ready")
    assert [status(url + path) for path in ready] == [200, 200]
    server.send(signal.SIGTERM)
    until(lambda: [status(url + path) for path in ready] == [503, 503], "the end of being ready")
    assert "limbeck_ready 0.0" in text(url + "/metrics")
    assert "limbeck_draining 1.0" in text(url + "/metrics")
    assert status(url + "/health/live") == 200
    said = ask(url, "/v1/models/m/predict", stored.bodies[0])
    assert said.status == 200
    assert stored.right(0, said.value)


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def text(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())
