"""A server on sockets of its own, in a thread, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from types import ModuleType
from typing import Any

import uvicorn

from limbeck.runtimes import Model
from limbeck.serve.http.connection import protocol
from limbeck.serve.http.front import Front
from limbeck.serve.http.keys import Keys
from limbeck.serve.http.server import address_of, listen
from limbeck.serve.http.watching import Ended
from limbeck.serve.protocols.base import Context
from limbeck.serve.service import Service
from limbeck.serve.settings import KeySettings, Settings
from served import serving, settings_of

ADMIN_KEY = "the admin's key"
_START_S = 60.0


@dataclass
class Live:
    """address: host and port. admin: those of the admin's port. ended: every request so far."""

    address: str
    admin: str
    service: Service
    loop: asyncio.AbstractEventLoop
    ended: list[Ended] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def do(self, work: Callable[[], Any]) -> Any:
        """Call something in the loop of the server."""

        async def called() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(_START_S)


class _Told:
    def __init__(self, ended: list[Ended]) -> None:
        self._ended = ended

    def ended(self, ended: Ended) -> None:
        self._ended.append(ended)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def key(secret: str, **fields: Any) -> dict[str, Any]:
    """[[keys]] of the settings."""
    return {"name": "test", "sha256": sha256(secret.encode()).hexdigest(), **fields}


@contextmanager
def live(
    protocols: Sequence[ModuleType],
    models: Mapping[str, Callable[[], Model]],
    settings: Settings | None = None,
    **sections: Any,
) -> Iterator[Live]:
    """A server with these protocols, those of the scope "admin" on a port of their own."""
    settings = settings or settings_of(*models, **sections)
    up = threading.Event()
    found: dict[str, Any] = {}

    async def run(sockets: list[Any]) -> None:
        async with serving(models, settings) as service:
            context = Context(service=service, settings=settings)
            routes = [route for module in protocols for route in module.routes(context)]
            ended: list[Ended] = []
            admin = KeySettings.model_validate(key(ADMIN_KEY, scopes=("admin",)))
            fronts = [
                Front(
                    [route for route in routes if (route.scope == "admin") == is_admin],
                    limits=settings.limits,
                    keys=Keys([admin] if is_admin else settings.keys),
                    watchers=[_Told(ended)],
                )
                for is_admin in (False, True)
            ]
            servers = [
                _Server(
                    uvicorn.Config(
                        front,  # type: ignore[arg-type]
                        http=protocol(settings.limits),
                        lifespan="off",
                        interface="asgi3",
                        log_config=None,
                        access_log=False,
                    )
                )
                for front in fronts
            ]
            running = [
                asyncio.create_task(server.serve(sockets=[one]))
                for server, one in zip(servers, sockets, strict=True)
            ]
            found.update(
                live=Live(
                    address=address_of(sockets[0]),
                    admin=address_of(sockets[1]),
                    service=service,
                    loop=asyncio.get_running_loop(),
                    ended=ended,
                ),
                servers=servers,
            )
            while not all(server.started for server in servers):
                await asyncio.sleep(0.005)
            up.set()
            await asyncio.gather(*running)

    def thread(sockets: list[Any]) -> None:
        try:
            asyncio.run(run(sockets))
        except BaseException as error:
            found["error"] = error
            raise
        finally:
            up.set()

    with ExitStack() as stack:
        sockets = [stack.enter_context(listen("127.0.0.1", 0)) for _ in range(2)]
        server = threading.Thread(target=thread, args=(sockets,), daemon=True)
        server.start()
        assert up.wait(_START_S), "the server did not start"
        if "error" in found:
            raise found["error"]
        try:
            yield found["live"]
        finally:
            for one in found["servers"]:
                one.should_exit = True
            server.join(_START_S)
            assert not server.is_alive()
