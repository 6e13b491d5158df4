"""Listening, and leaving in good order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import uvicorn

from limbeck.errors import InputError
from limbeck.serve.http.connection import protocol
from limbeck.serve.http.front import Front
from limbeck.serve.settings import LimitSettings

_log = logging.getLogger("limbeck.serve.http")

# The kernel keeps so many connections that nobody has accepted yet; more is capped by somaxconn.
_BACKLOG = 2048
# How long cancelled requests have to say that they were cancelled.
_CANCELLED_S = 1.0


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket. shared: other processes may listen on the same port too.

    Raises:
        InputError: the address is in use, not ours, or no address.
    """
    listening = _bound(host, port, shared=shared)
    try:
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot(host, port, error) from None
    listening.setblocking(False)
    return listening


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except OSError as error:
        raise InputError(f"there is no address {host!r}: {error.strerror}") from None
    family, kind, number, _, address = found[0]
    bound = socket.socket(family, kind, number)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Inherited by accepted connections: answers are written whole and must not wait for more.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.bind(address)
    except (OSError, OverflowError) as error:
        bound.close()
        raise _cannot(host, port, error) from None
    return bound


def _cannot(host: str, port: int, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(
        f"cannot listen on {host} port {port}: {reason}; "
        "end what listens there, or choose another address with --host and --port"
    )


def hold(host: str, port: int) -> socket.socket:
    """A port that others may listen on with `listen(shared=True)`, and nobody else.

    Raises:
        InputError: see `listen`.
    """
    # Sharing would succeed beside another server that shares; listening alone does not.
    with listen(host, port) as alone:
        host, port = alone.getsockname()[:2]
    return _bound(host, port, shared=True)


def address_of(listening: socket.socket) -> str:
    """As in URLs."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(uvicorn.Server):
    """Signals are `Serving`'s."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Serving:
    """Fronts behind listening sockets, until a signal or `stop`.

    on_reload: called at SIGHUP. on_leave: called when the end begins; on_drain: when the grace is
    over, before anything closes. trusted_proxies: addresses and networks whose X-Forwarded-For
    tells who asks; of a chain, the last address that is none of theirs.
    """

    def __init__(
        self,
        fronts: Sequence[tuple[Front, socket.socket]],
        *,
        limits: LimitSettings,
        on_reload: Callable[[], Awaitable[Any]],
        on_leave: Callable[[], Any] = lambda: None,
        on_drain: Callable[[], Any],
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        self._limits = limits
        self._trusted_proxies = list(trusted_proxies)
        self._fronts = [front for front, _ in fronts]
        self._sockets = [listening for _, listening in fronts]
        self._on_reload = on_reload
        self._on_leave = on_leave
        self._on_drain = on_drain
        self._servers = [_Server(self._config(front)) for front in self._fronts]
        self._stopping = asyncio.Event()
        self._reloads: set[asyncio.Task[Any]] = set()

    def _config(self, front: Front) -> uvicorn.Config:
        return uvicorn.Config(
            front,
            http=protocol(self._limits),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            # What it says of itself at "info" we say in words of our own.
            log_level="warning",
            access_log=False,
            proxy_headers=bool(self._trusted_proxies),
            forwarded_allow_ips=self._trusted_proxies,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=self._limits.idle_timeout_s,  # type: ignore[arg-type]
            timeout_graceful_shutdown=self._limits.drain_s,  # type: ignore[arg-type]
        )

    @property
    def connections(self) -> int:
        """Those that are open."""
        return sum(len(server.server_state.connections) for server in self._servers)

    def stop(self) -> None:
        """Drain and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve until told to stop, then drain."""
        with self._signals():
            running = [
                asyncio.create_task(server.serve(sockets=[listening]))
                for server, listening in zip(self._servers, self._sockets, strict=True)
            ]
            told = asyncio.create_task(self._stopping.wait())
            try:
                # A server that ends unasked takes the others down.
                await asyncio.wait([told, *running], return_when=asyncio.FIRST_COMPLETED)
                await self._drain()
            finally:
                told.cancel()
                for server in self._servers:
                    server.should_exit = True
            await asyncio.gather(*running)
            await self._cancelled()

    async def _drain(self) -> None:
        for front in self._fronts:
            front.draining = True
        self._on_leave()
        in_flight = sum(front.in_flight for front in self._fronts)
        _log.info("draining: %d requests in flight", in_flight)
        if self._limits.drain_grace_s > 0:
            await asyncio.sleep(self._limits.drain_grace_s)
        self._on_drain()

    async def _cancelled(self) -> None:
        tasks = [task for server in self._servers for task in server.server_state.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCELLED_S)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's
            return
        loop = asyncio.get_running_loop()
        ending = (signal.SIGTERM, signal.SIGINT)
        for number in ending:
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            yield
        finally:
            for number in (*ending, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _end(self, number: int) -> None:
        if self._stopping.is_set():
            _log.warning("a second signal: leaving at once")
            # Threads may be in the engine; nothing waits for them.
            os._exit(128 + number)
        self._stopping.set()

    def _reload(self) -> None:
        async def reload() -> None:
            try:
                await self._on_reload()
            except Exception as error:
                _log.error("reload failed, all stays as it was: %s", error)

        task = asyncio.get_running_loop().create_task(reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
