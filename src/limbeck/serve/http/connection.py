"""One connection: uvicorn's protocol, and what it lacks: time and size limits for heads, a bound on
connections, and word of a client that has gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from limbeck.serve.json_body import dump
from limbeck.serve.settings import LimitSettings

# Keys of the ASGI scope.
CONNECTION: Final = "limbeck.connection"
ARRIVED: Final = "limbeck.arrived_s"

# Connections beyond the limit that are still heard, so that probes get an answer; all else is
# refused in words. Beyond these, connections are closed unheard.
_SPARE = 64

_MESSAGES = {
    400: ("bad_request", "this is no HTTP request"),
    408: ("slow_client", "the head of the request did not arrive in time"),
    431: ("too_large", "the head of the request is too large"),
    503: ("unavailable", "too many connections"),
}


class _HeadTooLargeError(Exception):
    pass


class Connection(HttpToolsProtocol):
    """Made by `protocol`, with its limits.

    on_lost: called when the client goes while its request is being answered. lost: it went.
    broken: it sent a body that is no HTTP, and was told. spare: see _SPARE.

    A client that closes its sending side counts as gone, for nothing tells it from one that has
    closed altogether until something is sent to it.
    """

    limits: LimitSettings

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.on_lost: Callable[[], object] | None = None
        self.lost = False
        self.broken = False
        self.spare = False
        self._in_head = False
        self._deaf = False
        self._repeating = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        # Bytes of answers that the client had not taken when it was last looked.
        self._left: int | None = None

    # What the transport tells.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        beyond = len(self.connections) - self.limits.connections
        self.spare = beyond > 0
        if beyond > _SPARE:
            self._refuse(503)
        else:
            self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._stop_head_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()
            self.on_lost = None

    def data_received(self, data: bytes) -> None:
        if self._deaf or self.parser is None or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        in_head_before = self._in_head
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            too_large = isinstance(error.__context__, _HeadTooLargeError)
            self._refuse(431 if too_large else 400)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400)
        else:
            if in_head_before and self._in_head:
                # The parser keeps an unfinished field to itself, however long it grows.
                self._head_bytes += len(data)
                if self._head_bytes > 2 * self.limits.header_bytes:
                    self._refuse(431)
            if self._idle():
                self._start_head_timer()

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read on in HTTP/1.1, as RFC 9110 lets a server do where it speaks nothing else.

        Clients ask for HTTP/2 beside ordinary requests, and Java's does so by default. The parser
        takes the body for bytes of the other protocol; another one is told that a body comes.
        """
        self.parser = httptools.HttpRequestParser(self)
        framing = [
            name + b": " + value + b"\r\n"
            for name, value in self.headers
            if name in (b"content-length", b"transfer-encoding")
        ]
        self.cycle.more_body = True
        self._repeating = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
        finally:
            self._repeating = False
        if rest:
            self.data_received(rest)

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._repeating:
            return
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        if self._repeating:
            return
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._repeating:
            return
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.limits.header_bytes:
            raise _HeadTooLargeError

    def on_headers_complete(self) -> None:
        if self._repeating:
            return
        self._in_head = False
        self._stop_head_timer()
        self.scope[CONNECTION] = self  # type: ignore[typeddict-unknown-key]
        self.scope[ARRIVED] = time.monotonic()  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    # What the answer tells.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            # What was written before closing is still to be taken, and need not ever be.
            self._unset_keepalive_if_required()
            self._watch_taking()
            return
        if self._in_head and self._idle():
            self._start_head_timer()

    def timeout_keep_alive_handler(self) -> None:
        """Idle for long: close. But a client that is still taking an answer may go on."""
        self.timeout_keep_alive_task = None
        left = self.transport.get_write_buffer_size()
        if left == 0:
            super().timeout_keep_alive_handler()
        elif self._left is None or left < self._left:
            self._left = left
            self._watch_taking()
        else:
            self.transport.abort()

    def _watch_taking(self) -> None:
        if self.transport.get_write_buffer_size() > 0:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.limits.idle_timeout_s, self.timeout_keep_alive_handler
            )

    # Timers and refusals.

    def _idle(self) -> bool:
        """Whether nothing is being answered."""
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def _start_head_timer(self) -> None:
        if self._head_timer is None and not self._deaf:
            self._unset_keepalive_if_required()
            self._head_timer = self.loop.call_later(
                self.limits.header_timeout_s, self._head_is_late
            )

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing() or not self._idle():
            return
        if self._in_head:
            self._refuse(408)
        else:
            self.transport.close()

    def _close_after_answers(self) -> None:
        """Hear no more, and close once all that was asked is answered."""
        self._deaf = True
        self._stop_head_timer()
        last = self.pipeline[0][0] if self.pipeline else self._running
        if last is None or last.response_complete:
            self.transport.close()
        else:
            last.keep_alive = False

    def _refuse(self, status: int) -> None:
        """Say why and close; requests that came before are answered first."""
        if not self._idle() and self.cycle.more_body:  # it is this one's body that is broken
            if self.pipeline:
                self.pipeline.popleft()
                self._close_after_answers()
                return
            if self.cycle is self._running and not self.cycle.response_started:
                self.broken = True
                self._say(status)
            self._deaf = True
            self.transport.close()
            return
        if not self._idle():
            self._close_after_answers()
            return
        self._deaf = True
        self._stop_head_timer()
        self._say(status)
        self.transport.close()

    def _say(self, status: int) -> None:
        code, message = _MESSAGES[status]
        body = dump({"error": {"code": code, "message": message}})
        head = (
            b"content-type: application/json\r\nconnection: close\r\n"
            b"content-length: " + str(len(body)).encode() + b"\r\n"
        )
        if status == 503:
            head += b"retry-after: 1\r\n"
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)


def protocol(limits: LimitSettings) -> type[Connection]:
    """The class of a server's connections; uvicorn makes them with arguments of its own."""
    return type("Connection", (Connection,), {"limits": limits})
