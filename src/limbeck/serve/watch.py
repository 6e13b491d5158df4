"""All watching of one server in one place: what counts, logs, traces and guards memory."""

from __future__ import annotations

import asyncio
import contextlib

from limbeck.serve.access import AccessLog
from limbeck.serve.counting import Counting
from limbeck.serve.dispatch import BatchDone
from limbeck.serve.logs import Logs
from limbeck.serve.memory import Guard, container_limit_bytes, own_bytes, soft_limit_bytes
from limbeck.serve.metrics import Metrics
from limbeck.serve.service import Service
from limbeck.serve.settings import Settings
from limbeck.serve.state import state_of
from limbeck.serve.tracing import Tracing


class Watch:
    """Made first; `on_batch` and `on_reload` go to the service, `watchers` to the HTTP layer, and
    `attach` gets the service once it is there. `open` and `close` are for as long as it runs.

    watchers: in order, for the access log writes the trace that tracing has made.
    """

    def __init__(self, settings: Settings, *, descriptor: int = 2) -> None:
        """descriptor: where logs go; 2 is the standard error.

        Raises:
            MissingExtraError: tracing is asked for, and OpenTelemetry is not installed.
        """
        self._settings = settings
        self._service: Service | None = None
        self._guarding: asyncio.Task[None] | None = None
        self.tracing = Tracing() if settings.tracing else None
        self.logs = Logs(settings.log, descriptor=descriptor)
        self.metrics = Metrics((model.name, model.version) for model in settings.models)
        self.metrics.dropped_log_lines = lambda: self.logs.dropped
        self.watchers = (
            *((self.tracing,) if self.tracing is not None else ()),
            AccessLog(self.logs),
            Counting(self.metrics),
        )

    def on_batch(self, done: BatchDone) -> None:
        """For `Service(on_batch=...)`."""
        self.metrics.batch(
            model=done.hosted.name,
            version=done.hosted.version,
            tokens=done.tokens,
            rows=done.rows,
            seconds=done.seconds,
        )

    def on_reload(self, ok: bool) -> None:
        """For `Service(on_reload=...)`."""
        self.metrics.reload(ok)

    def attach(self, service: Service) -> None:
        """Ask it at every scrape."""
        self._service = service
        self.metrics.service = lambda: state_of(service)

    def open(self) -> None:
        """In the event loop: take over logging, and guard the memory of what is attached."""
        self.logs.open()
        service = self._service
        assert service is not None
        limit_bytes = soft_limit_bytes(
            self._settings.memory.soft_limit_bytes,
            container_limit_bytes(),
            processes=self._settings.server.processes,
        )
        if limit_bytes is None:
            return
        self.metrics.own_bytes = own_bytes
        self.metrics.soft_limit_bytes = limit_bytes
        guard = Guard(
            limit_bytes,
            check_s=self._settings.memory.check_s,
            cache=_Cache(service),
            reload=service.reload_models,
            on_action=self.metrics.guard,
        )
        self._guarding = asyncio.create_task(guard.run())

    async def close(self) -> None:
        """After the last request: write and send what is left."""
        if self._guarding is not None:
            self._guarding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._guarding
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
        await asyncio.to_thread(self.logs.close)


class _Cache:
    """The service's cache as the guard sees it."""

    def __init__(self, service: Service) -> None:
        self._cache = service.cache

    @property
    def size_bytes(self) -> int:
        return self._cache.stats.size_bytes

    def shrink(self, to_bytes: int) -> None:
        self._cache.shrink(to_bytes)

    def restore(self) -> None:
        self._cache.restore()
