"""A server as users run it, on sockets of its own, in a thread, for clients that block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from limbeck.runtimes import Model
from limbeck.serve.http.front import Front
from limbeck.serve.http.keys import Keys
from limbeck.serve.http.server import Serving, address_of, listen
from limbeck.serve.http.watching import Ended
from limbeck.serve.protocols.base import Context
from limbeck.serve.service import Service
from limbeck.serve.settings import KeySettings, Settings
from loop_thread import in_thread
from served import serving, settings_of
from waiting import PATIENCE_S, until

ADMIN_KEY = "the admin's key"


class _Told:
    def __init__(self) -> None:
        self.begun = 0
        self.all: list[Ended] = []

    def began(self) -> None:
        self.begun += 1

    def ended(self, ended: Ended) -> None:
        self.all.append(ended)


@dataclass
class Live:
    """address: host and port. admin: those of the admin's port."""

    address: str
    admin: str
    service: Service
    server: Serving
    loop: asyncio.AbstractEventLoop
    told: _Told

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def ended(self) -> list[Ended]:
        """Every request so far. A client can have its answer before its request has ended."""
        return self.told.all

    def at_rest(self) -> int:
        """Wait until all requests have ended that have begun; how many they are."""
        until(lambda: len(self.ended) == self.told.begun, "rest")
        return len(self.ended)

    def do(self, work: Callable[[], Any]) -> Any:
        """Call something in the loop of the server."""

        async def called() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(PATIENCE_S)

    def more_ended(self, before: int, count: int) -> list[Ended]:
        """So many that ended since there were `before`."""
        until(lambda: len(self.ended) >= before + count, f"the end of {count} requests")
        return self.ended[before:]


def key(secret: str, **fields: Any) -> dict[str, Any]:
    """[[keys]] of the settings."""
    return {"name": "test", "sha256": sha256(secret.encode()).hexdigest(), **fields}


@contextmanager
def live(
    protocols: Sequence[Any],
    models: Mapping[str, Callable[[], Model]],
    settings: Settings | None = None,
    **sections: Any,
) -> Iterator[Live]:
    """A server with these protocols (whatever has `routes`); those of the scope "admin" are on a
    port of their own.
    """
    settings = settings or settings_of(*models, **sections)

    async def serve(begun: Callable[[Live], None]) -> None:
        async with serving(models, settings) as service:
            context = Context(service=service, settings=settings)
            routes = [route for module in protocols for route in module.routes(context)]
            told = _Told()
            admin = KeySettings.model_validate(key(ADMIN_KEY, scopes=("admin",)))
            fronts = [
                Front(
                    [route for route in routes if (route.scope == "admin") == is_admin],
                    limits=settings.limits,
                    keys=Keys([admin] if is_admin else settings.keys),
                    watchers=[told],
                )
                for is_admin in (False, True)
            ]
            server = Serving(
                list(zip(fronts, sockets, strict=True)),
                limits=settings.limits,
                on_reload=service.reload,
                on_leave=service.leave,
                on_drain=service.drain,
            )
            # Whoever connects from now on is answered: the sockets listen already.
            begun(
                Live(
                    address=address_of(sockets[0]),
                    admin=address_of(sockets[1]),
                    service=service,
                    server=server,
                    loop=asyncio.get_running_loop(),
                    told=told,
                )
            )
            await server.run()

    with ExitStack() as stack:
        sockets = [stack.enter_context(listen("127.0.0.1", 0)) for _ in range(2)]
        yield stack.enter_context(in_thread(serve, lambda made: made.server.stop()))
