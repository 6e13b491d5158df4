"""A small HTTP server for tests, in a thread of its own, that behaves as it is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httptools


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is answered. action: "answer"; "hang" (never), "close" (before a byte), "cut" (within
    the answer), "garbage" (no HTTP), "until_close" (no length, as HTTP/1.0 does)."""

    status: int = 200
    body: bytes = b'{"predictions": [[0.25, 0.75]]}'
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    action: str = "answer"


@dataclass(frozen=True, kw_only=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """url, and what it was asked so far."""

    behave: Callable[[Asked, int], Reply]
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    listening: asyncio.Server = field(init=False)
    transports: set[asyncio.Transport] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Within its loop: listen no more, and drop what is open."""
        self.listening.close()
        for transport in list(self.transports):
            transport.abort()

    def stall(self, seconds: float) -> None:
        """Answer nobody for so long, beginning now."""
        self.loop.call_soon_threadsafe(time.sleep, seconds)


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.transports.add(transport)
        self.server.connections += 1
        self._clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.transports.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.path += url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        asked = Asked(method=method, path=self.path, headers=self.headers, body=self.body)
        number = len(self.server.asked)
        self.server.asked.append(asked)
        self._clear()
        reply = self.server.behave(asked, number)
        if reply.delay_s:
            self.server.loop.call_later(reply.delay_s, self._answer, reply)
        else:
            self._answer(reply)

    def _clear(self) -> None:
        self.path, self.headers, self.body = "", {}, b""

    def _answer(self, reply: Reply) -> None:
        extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
        head = f"HTTP/1.1 {reply.status} X\r\n{extra}"
        length = f"Content-Length: {len(reply.body)}\r\n\r\n"
        write = self.transport.write
        match reply.action:
            case "answer":
                write((head + length).encode() + reply.body)
            case "close":
                self.transport.close()
            case "cut":
                write((head + length).encode() + reply.body[:3])
                self.transport.close()
            case "garbage":
                write(b"220 smtp.example ESMTP\r\n")
            case "until_close":
                write((head + "Connection: close\r\n\r\n").encode() + reply.body)
                self.transport.close()
            case "hang":
                pass
            case other:
                raise AssertionError(other)


@contextmanager
def serve(behave: Callable[[Asked, int], Reply] | Reply | None = None) -> Iterator[Server]:
    """A server while the block runs. behave: a reply, or (what was asked, its number) -> reply."""
    reply = Reply() if behave is None else behave
    server = Server(behave=(lambda _, __: reply) if isinstance(reply, Reply) else reply)
    started = threading.Event()
    stop: list[asyncio.Event] = []

    async def main() -> None:
        server.listening = await server.loop.create_server(
            lambda: _Connection(server), "127.0.0.1", 0, backlog=1000
        )
        server.port = server.listening.sockets[0].getsockname()[1]
        stop.append(asyncio.Event())
        started.set()
        await stop[0].wait()
        server.close()

    def work() -> None:
        asyncio.set_event_loop(server.loop)
        server.loop.run_until_complete(main())
        server.loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield server
    finally:
        server.loop.call_soon_threadsafe(stop[0].set)
        thread.join(30)
