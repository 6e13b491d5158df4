"""One process of a server: the service, its protocols, and the ports they are spoken on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from limbeck.serve.http import openapi, probes, scrape
from limbeck.serve.http.front import Front
from limbeck.serve.http.keys import Keys
from limbeck.serve.http.lifeline import Lifeline
from limbeck.serve.http.pages import Pages
from limbeck.serve.http.server import Serving
from limbeck.serve.protocols import registry
from limbeck.serve.protocols.base import Context, Route
from limbeck.serve.service import Service
from limbeck.serve.settings import AdminSettings, KeySettings, Settings
from limbeck.serve.watch import Watch
from limbeck.serve.yielding import settle


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Listening sockets. admin, metrics: None where there is no such port."""

    requests: socket.socket
    admin: socket.socket | None = None
    metrics: socket.socket | None = None


class App:
    """Made and run in one event loop.

    reread: reads the settings again, for reloads; its InputError leaves all as it is.
    """

    def __init__(self, settings: Settings, *, reread: Callable[[], Settings]) -> None:
        self.settings = settings
        self.watch = Watch(settings)
        self.service = Service(
            settings, on_batch=self.watch.on_batch, on_reload=self.watch.on_reload
        )
        self._reread = reread
        self._started = False
        self._serving: Serving | None = None
        found = registry.routes(
            Context(service=self.service, settings=settings, reload=self.reload)
        )
        own = probes.routes(started=lambda: self._started, not_ready=self.service.not_ready)
        metrics = scrape.routes(self.watch.metrics)
        requests = [route for route in found if route.scope != "admin"] + own
        if settings.server.processes == 1:
            requests += metrics
        self.front = self._front(requests, Keys(settings.keys))
        self.metrics = self._front(own + metrics, Keys(()))
        self.admin: Front | None = None
        if settings.admin is not None:
            administer = [route for route in found if route.scope == "admin"]
            self.admin = self._front(administer, Keys([_admin_key(settings.admin)]))
        self.watch.attach(self.service)

    def _front(self, routes: Sequence[Route], keys: Keys) -> Front:
        pages = None
        if self.settings.server.docs:
            pages = Pages(lambda: openapi.document(routes, keys=bool(keys)))
        return Front(
            routes,
            limits=self.settings.limits,
            keys=keys,
            watchers=self.watch.watchers,
            pages=pages,
        )

    async def reload(self) -> None:
        """Take over what the configuration says of models and keys now; all or nothing.

        Raises:
            LimbeckError: why not.
        """
        settings = self._reread()
        await self.service.reload(settings)
        self.front.keys = Keys(settings.keys)

    def stop(self) -> None:
        """End `run`, as a signal does."""
        if self._serving is not None:
            self._serving.stop()

    async def run(
        self, ports: Ports, *, on_ready: Callable[[], object], lifeline: Lifeline | None = None
    ) -> None:
        """Listen, load, serve until a signal, drain.

        lifeline: of a worker; where it breaks, the worker ends.

        Raises:
            LimbeckError: a required model cannot be loaded.
        """
        fronts = [(self.front, ports.requests)]
        if self.admin is not None and ports.admin is not None:
            fronts.append((self.admin, ports.admin))
        if ports.metrics is not None:
            fronts.append((self.metrics, ports.metrics))
        serving = self._serving = Serving(
            fronts,
            limits=self.settings.limits,
            on_reload=self.reload,
            on_leave=self.service.leave,
            on_drain=self.service.drain,
            trusted_proxies=self.settings.server.trusted_proxies,
        )
        self.watch.metrics.connections = lambda: serving.connections
        self.watch.open()
        if lifeline is not None:
            lifeline.start(serving.stop)

        async def start() -> None:
            try:
                await self.service.start()
            except BaseException:
                serving.stop()
                raise
            settle()
            self._started = True
            on_ready()
            if lifeline is not None:
                lifeline.ready()

        starting = asyncio.create_task(start())
        try:
            await serving.run()
        finally:
            starting.cancel()
            await asyncio.wait([starting])
            await self.service.close()
            await self.watch.close()
            if lifeline is not None:
                lifeline.stop()
        if not starting.cancelled():
            starting.result()


def _admin_key(settings: AdminSettings) -> KeySettings:
    return KeySettings(name="admin", sha256=settings.sha256, scopes=("admin",))
