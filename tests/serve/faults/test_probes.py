"""Live, ready and started, while a model loads, once it is there, and at the end."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from fake_model import FakeModel
from limbeck.errors import ModelError
from limbeck.serve.http import probes
from limbeck.serve.protocols.base import Call
from limbeck.serve.refused import RefusedError
from limbeck.serve.service import Service
from served import settings_of


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
            await asyncio.sleep(0.01)
            assert service.not_ready() == ["model m version 1 is loading"]
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
