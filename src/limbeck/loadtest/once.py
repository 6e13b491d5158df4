"""One request over a connection of its own."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from limbeck.loadtest.connection import Connection
from limbeck.loadtest.target import Wire


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a single request got."""

    status: int
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where connections go: a numeric address, and the name that a certificate must have."""

    host: str
    port: int
    secure: bool
    server_name: str

    def context(self) -> ssl.SSLContext | None:
        """What TLS needs, for the connections of one loop; None for plain HTTP."""
        return ssl.create_default_context() if self.secure else None


async def ask(
    door: Door, wire: Wire, timeout_s: float, context: ssl.SSLContext | None
) -> Answer | None:
    """Send one request; None where no whole answer came in that time.

    Raises:
        OSError: no connection.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Answer | None] = loop.create_future()
    connection = Connection(_Once(done), 0, wire)
    try:
        async with asyncio.timeout(timeout_s):
            await loop.create_connection(
                lambda: connection,
                door.host,
                door.port,
                ssl=context,
                server_hostname=door.server_name if context is not None else None,
            )
            return await done
    except TimeoutError:
        return None
    finally:
        connection.close()


class _Once:
    """The owner of such a connection."""

    def __init__(self, done: asyncio.Future[Answer | None]) -> None:
        self._done = done

    def connected(self, connection: Connection) -> None:
        connection.keep_body = True
        connection.send(connection.wire.numbered(0))

    def answered(self, connection: Connection, status: int) -> None:
        connection.number = -1
        self._settle(Answer(status=status, body=b"".join(connection.body)))

    def timing(self, connection: Connection, header: bytes) -> None:
        pass

    def retry_after(self) -> None:
        pass

    def broke(self, connection: Connection, problem: str) -> None:
        self._settle(None)

    def _settle(self, answer: Answer | None) -> None:
        if not self._done.done():
            self._done.set_result(answer)
