"""One connection: bytes out, an answer in, for a pool that reuses it."""

from __future__ import annotations

import asyncio
from typing import Protocol

import httptools

from limbeck.loadtest.target import Wire


class Owner(Protocol):
    """What a connection tells of itself."""

    def connected(self, connection: Connection) -> None: ...

    def answered(self, connection: Connection, status: int) -> None: ...

    def timing(self, connection: Connection, header: bytes) -> None: ...

    def retry_after(self) -> None: ...

    def broke(self, connection: Connection, problem: str) -> None: ...


class Connection(asyncio.Protocol):
    """`number` is the request in flight, -1 for none; `body` is kept where somebody will look."""

    def __init__(self, owner: Owner, number: int, wire: Wire) -> None:
        self.owner = owner
        self.number = number
        self.wire = wire  # of the request in flight, or of the last one
        self.transport: asyncio.Transport | None = None
        self.keep_body = False
        self.body: list[bytes] = []
        self.idle_since = 0.0
        self.lost = False
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._begun = False
        self._headers_done = False
        self._sized = False

    def send(self, data: bytes) -> None:
        """Write one request; the connection must be open and idle."""
        self._begun = self._headers_done = self._sized = False
        self.body = []
        assert self.transport is not None
        self.transport.write(data)

    def close(self) -> None:
        """Drop the connection at once, whatever is on its way."""
        self.number = -1
        self.lost = True
        if self.transport is not None:
            self.transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]
        if self.lost:  # nobody waits for it any more
            transport.close()
            return
        self.owner.connected(self)

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self.lost:
            return
        if self.number < 0:  # bytes that nobody asked for
            self.close()
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("the answer is not HTTP/1.1")

    def connection_lost(self, exc: Exception | None) -> None:
        parser, self._parser = self._parser, None  # the two hold one another
        was_lost, self.lost = self.lost, True
        if self.number < 0 or was_lost:
            return
        if self._headers_done and not self._sized and exc is None and parser is not None:
            # HTTP/1.0's way: an answer without a length ends with its connection.
            self.owner.answered(self, parser.get_status_code())
            return
        if isinstance(exc, ConnectionResetError):
            problem = "connection reset"
        elif self._begun:
            problem = "connection closed within the answer"
        else:
            problem = "connection closed before the answer"
        self.owner.broke(self, problem)

    # What httptools calls

    def on_header(self, name: bytes, value: bytes) -> None:
        length = len(name)
        if length == 13 and name.lower() == b"server-timing":
            self.owner.timing(self, value)
        elif length in (14, 17) and name.lower() in (b"content-length", b"transfer-encoding"):
            self._sized = True
        elif length == 11 and name.lower() == b"retry-after":
            self.owner.retry_after()

    def on_headers_complete(self) -> None:
        self._headers_done = True
        assert self._parser is not None
        if self._parser.get_status_code() != 200:
            self.keep_body = True

    def on_body(self, body: bytes) -> None:
        if self.keep_body:
            self.body.append(body)

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser is None or self.number < 0:
            return
        status = parser.get_status_code()
        if status < 200:  # 100 Continue, 103 Early Hints: the answer is still to come
            self._headers_done = self._sized = False
            return
        if not parser.should_keep_alive():
            self.lost = True
            if self.transport is not None:
                self.transport.close()
        self.owner.answered(self, status)

    def _fail(self, problem: str) -> None:
        self.owner.broke(self, problem)
        self.close()
