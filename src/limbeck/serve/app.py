"""One process of a server: the service, its protocols, and the ports they are spoken on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from limbeck.serve.http import admin, openapi, probes
from limbeck.serve.http.front import Front
from limbeck.serve.http.keys import Keys
from limbeck.serve.http.pages import Pages
from limbeck.serve.http.server import Serving
from limbeck.serve.http.watching import Watcher
from limbeck.serve.protocols import registry
from limbeck.serve.protocols.base import Context, Route
from limbeck.serve.service import Service
from limbeck.serve.settings import AdminSettings, KeySettings, Settings


class App:
    """Made and run in one event loop.

    reread: reads the settings again, for reloads; its InputError leaves all as it is.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reread: Callable[[], Settings],
        service: Service | None = None,
    ) -> None:
        self.settings = settings
        self.service = service or Service(settings)
        self._reread = reread
        self._started = False
        watchers: Sequence[Watcher] = ()
        found = registry.routes(Context(service=self.service, settings=settings))
        found += probes.routes(started=lambda: self._started, not_ready=self._not_ready)
        self.front = self._front(
            [route for route in found if route.scope != "admin"], Keys(settings.keys), watchers
        )
        self.admin: Front | None = None
        if settings.admin is not None:
            administer = [route for route in found if route.scope == "admin"]
            administer += admin.routes(self.service, self.reload)
            self.admin = self._front(administer, Keys([_admin_key(settings.admin)]), watchers)

    def _front(self, routes: Sequence[Route], keys: Keys, watchers: Sequence[Watcher]) -> Front:
        pages = None
        if self.settings.server.docs:
            pages = Pages(lambda: openapi.document(routes, keys=bool(keys)))
        return Front(routes, limits=self.settings.limits, keys=keys, watchers=watchers, pages=pages)

    def _not_ready(self) -> list[str]:
        if self.front.draining:
            return ["the server is draining"]
        return self.service.not_ready()

    async def reload(self) -> None:
        """Take over what the configuration says of models now; all or nothing.

        Raises:
            LimbeckError: why not.
        """
        await self.service.reload(self._reread())

    async def run(
        self,
        listening: socket.socket,
        listening_admin: socket.socket | None,
        *,
        on_ready: Callable[[], object],
    ) -> None:
        """Listen, load, serve until a signal, drain.

        Raises:
            LimbeckError: a required model cannot be loaded.
        """
        fronts = [(self.front, listening)]
        if self.admin is not None and listening_admin is not None:
            fronts.append((self.admin, listening_admin))
        serving = Serving(
            fronts,
            limits=self.settings.limits,
            on_reload=self.reload,
            on_drain=self.service.drain,
        )

        async def start() -> None:
            try:
                await self.service.start()
            except BaseException:
                serving.stop()
                raise
            self._started = True
            on_ready()

        starting = asyncio.create_task(start())
        try:
            await serving.run()
        finally:
            if not starting.done():
                starting.cancel()
            await asyncio.wait([starting])
            await self.service.close()
        if not starting.cancelled():
            starting.result()


def _admin_key(settings: AdminSettings) -> KeySettings:
    return KeySettings(name="admin", sha256=settings.sha256, scopes=("admin",))
