"""The pair of sockets between the supervisor and a worker: beats one way, an end both ways.

A worker beats from its event loop, so that one which is stopped, or stuck in its loop, is silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

BEAT: Final = b"."
READY: Final = b"R"
BEAT_S: Final = 0.5


class Lifeline:
    """A worker's end."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._next: asyncio.TimerHandle | None = None

    def start(self, on_orphaned: Callable[[], object]) -> None:
        """Beat from now on. on_orphaned: called once, when the supervisor is no more."""
        loop = asyncio.get_running_loop()

        def heard() -> None:
            try:
                alive = bool(self._socket.recv(64))
            except BlockingIOError:
                return
            except OSError:
                alive = False
            if not alive:
                loop.remove_reader(self._socket)
                on_orphaned()

        def beat() -> None:
            self._tell(BEAT)
            self._next = loop.call_later(BEAT_S, beat)

        loop.add_reader(self._socket, heard)
        beat()

    def ready(self) -> None:
        """All models are loaded."""
        self._tell(READY)

    def stop(self) -> None:
        """Beat no more."""
        if self._next is not None:
            self._next.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _tell(self, what: bytes) -> None:
        # A supervisor that does not read for long has other troubles than our beats.
        with contextlib.suppress(OSError):
            self._socket.send(what)
