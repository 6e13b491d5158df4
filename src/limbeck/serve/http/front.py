"""One request from head to answer: the ASGI application before all routes.

No framework stands between a hot route and its handler (docs/decisions/0017-http-front.md). Every
request has exactly one outcome, and all watchers are told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from limbeck.serve.http import body as bodies
from limbeck.serve.http.body import GoneError, Message, Receive
from limbeck.serve.http.connection import ARRIVED, CONNECTION, Connection
from limbeck.serve.http.heads import (
    REQUEST_ID,
    TRACEPARENT,
    request_id,
    retry_after,
    timing_headers,
    traceparent,
)
from limbeck.serve.http.keys import Keys
from limbeck.serve.http.pages import Pages
from limbeck.serve.http.table import Found, Table
from limbeck.serve.http.watching import Ended, Outcome, Watcher
from limbeck.serve.http.words import plain
from limbeck.serve.protocols.base import Call, Reply, Route
from limbeck.serve.refused import STATUS, RefusedError
from limbeck.serve.request import ANYBODY, Tenant, Timing
from limbeck.serve.settings import LimitSettings

Scope = Mapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger("limbeck.serve.http")
_MAX_QUERY_FIELDS = 100
# Longer than any; a proxy may pass on what it was told, and that is kept and logged.
_LONGEST_ADDRESS = 64
_REASONS = {status: reason for reason, status in reversed(STATUS.items())}


class Front:
    """An ASGI application.

    draining: answers, but asks clients to come back elsewhere. keys: who may ask; others can take
    their place at any time.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        limits: LimitSettings,
        keys: Keys,
        watchers: Sequence[Watcher] = (),
        pages: Pages | None = None,
    ) -> None:
        self.table = Table(routes)
        self.draining = False
        self.in_flight = 0
        self._limits = limits
        self.keys = keys
        self._watchers = tuple(watchers)
        self._pages = pages
        self._default_error = self.table.routes[0].error if self.table.routes else plain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.in_flight += 1
            for watcher in self._watchers:
                watcher.began()
            try:
                await _Exchange(self, scope, receive, send).run()
            finally:
                self.in_flight -= 1
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _lifespan(receive, send)


class _Exchange:
    """One request."""

    __slots__ = (
        "_arrived_s",
        "_body_read",
        "_client",
        "_connection",
        "_error",
        "_front",
        "_headers",
        "_id",
        "_method",
        "_noted",
        "_path",
        "_receive",
        "_request_bytes",
        "_route",
        "_scope",
        "_send",
        "_tenant",
    )

    def __init__(self, front: Front, scope: Scope, receive: Receive, send: Send) -> None:
        self._front = front
        self._scope = scope
        self._receive = receive
        self._send = send
        self._connection: Connection | None = scope.get(CONNECTION)
        self._arrived_s: float = scope.get(ARRIVED) or time.monotonic()
        self._method: str = scope["method"]
        self._path = (scope.get("raw_path") or scope["path"].encode("utf-8")).decode("latin-1")
        self._headers = _headers(scope["headers"])
        self._id = request_id(self._headers)
        client = scope.get("client")
        self._client = client[0][:_LONGEST_ADDRESS] if client else ""
        self._route: Route | None = None
        self._error: Callable[[RefusedError], Reply] = front._default_error
        self._tenant: Tenant = ANYBODY
        self._noted: dict[str, Any] = {}
        self._request_bytes = 0
        self._body_read = not bodies.expects_body(self._headers)

    async def run(self) -> None:
        connection = self._connection
        outcome: Outcome = "answered"
        status: int | None = None
        sent = 0
        extra: list[tuple[str, str]] = []
        try:
            if connection is not None:
                if connection.lost:
                    outcome = "gone"
                    return
                task = asyncio.current_task()
                assert task is not None
                connection.on_lost = task.cancel
            try:
                try:
                    pages = self._front._pages
                    if pages is not None and pages.takes(self._path):
                        status, sent = await self._through(pages)
                        return
                    reply = await self._reply(extra)
                except RefusedError as refused:
                    outcome = refused.reason
                    reply = self._refusal(refused, extra)
                except GoneError:
                    outcome, status = self._gone()
                    return
                except Exception:
                    _log.exception("request %s failed", self._known_as())
                    outcome = "failed"
                    reply = self._refusal(_bug(self._known_as()), extra)
                else:
                    if reply.status >= 400:
                        outcome = _REASONS.get(reply.status, "failed")
            except asyncio.CancelledError:
                if connection is not None and connection.lost:
                    outcome, status = self._gone()
                    _uncancel()
                    return
                # The server shuts down and waits no longer.
                _uncancel()
                ending = RefusedError("unavailable", "the server shuts down", retry_after_s=1.0)
                outcome = ending.reason
                reply = self._refusal(ending, extra)
            finally:
                if connection is not None:
                    connection.on_lost = None
            status = reply.status
            sent = len(reply.body)
            await self._respond(reply, extra)
        finally:
            self._ended(outcome, status, sent)

    async def _reply(self, extra: list[tuple[str, str]]) -> Reply:
        front = self._front
        found = front.table.find(self._path)
        if found is None:
            if self._path == "*" and self._method == "OPTIONS":  # of the server as a whole
                return Reply(body=b"", status=204)
            near = front.table.nearest(self._path)
            if near is not None:
                self._error = near.error
            raise RefusedError("not_found", f"there is nothing at {self._path[:200]}")
        method = "GET" if self._method == "HEAD" else self._method
        route = found.methods.get(method)
        if route is None:
            return self._other_method(found, extra)
        self._route = route
        self._error = route.error
        if self._connection is not None and self._connection.spare and route.scope != "open":
            extra.append(("connection", "close"))
            raise RefusedError("unavailable", "too many connections", retry_after_s=1.0)
        self._tenant = front.keys.tenant(self._headers, route.scope)
        body = b""
        if not self._body_read:
            body = await bodies.read(self._receive, self._headers, front._limits)
            self._body_read = True
            self._request_bytes = len(body)
        return await route.handle(
            Call(
                method=method,
                path=found.values,
                query=_query(self._scope.get("query_string", b"")),
                headers=self._headers,
                body=body,
                arrived_s=self._arrived_s,
                tenant=self._tenant,
                client=self._client,
                request_id=self._id,
                noted=self._noted,
            )
        )

    def _other_method(self, found: Found, extra: list[tuple[str, str]]) -> Reply:
        extra.append(("allow", found.allow))
        if self._method == "OPTIONS":
            return Reply(body=b"", status=204)
        self._error = found.any().error
        raise RefusedError(
            "method_not_allowed", f"{self._method} is not possible here; possible: {found.allow}"
        )

    async def _through(self, pages: Pages) -> tuple[int, int]:
        """Let another application answer; status and bytes of what it said."""
        status, sent = 500, 0

        async def send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (REQUEST_ID.encode(), self._id.encode("latin-1")),
                ]
            else:
                sent += len(message.get("body", b""))
            await self._send(message)

        await pages(self._scope, self._receive, send)
        return status, sent

    def _gone(self) -> tuple[Outcome, int | None]:
        if self._connection is not None and self._connection.broken:
            return "bad_request", STATUS["bad_request"]  # the connection has said so
        return "gone", None

    def _refusal(self, refused: RefusedError, extra: list[tuple[str, str]]) -> Reply:
        if refused.retry_after_s is not None:
            extra.append(("retry-after", retry_after(refused.retry_after_s)))
        if refused.reason == "unauthorized":
            extra.append(("www-authenticate", "Bearer"))
        elif refused.reason == "unsupported_media" and "content-encoding" in self._headers:
            extra.append(("accept-encoding", "identity"))
        return self._error(refused)

    def _known_as(self) -> str:
        """The id of the request: a protocol may have found a better one in the body."""
        return str(self._noted.get("request_id", self._id))

    async def _respond(self, reply: Reply, extra: list[tuple[str, str]]) -> None:
        headers = [
            (b"content-length", str(len(reply.body)).encode()),
            (b"x-request-id", self._known_as().encode("latin-1")),
        ]
        if reply.body or reply.status != 204:
            headers.append((b"content-type", reply.content_type.encode("latin-1")))
        else:
            del headers[0]
        trace = self._noted.get(TRACEPARENT)
        if trace is None and TRACEPARENT in self._headers:
            trace = traceparent(self._headers)
        if trace is not None:
            extra.append((TRACEPARENT, trace))
        timing = self._noted.get("timing")
        if isinstance(timing, Timing):
            extra += timing_headers(timing)
        given = {name.lower() for name, _ in reply.headers}
        extra = [(name, value) for name, value in extra if name not in given]
        # What is left of a body that was not read would be taken for the next request.
        closing = not self._body_read or self._front.draining
        if closing and ("connection", "close") not in extra:
            extra.append(("connection", "close"))
        for name, value in (*extra, *reply.headers):
            headers.append((name.encode("latin-1"), value.encode("latin-1")))
        await self._send(
            {"type": "http.response.start", "status": reply.status, "headers": headers}
        )
        if self._body_read:
            await self._send({"type": "http.response.body", "body": reply.body})
            return
        await self._send({"type": "http.response.body", "body": reply.body, "more_body": True})
        await bodies.linger(self._receive)
        await self._send({"type": "http.response.body", "body": b""})

    def _ended(self, outcome: Outcome, status: int | None, sent: int) -> None:
        if not self._front._watchers:
            return
        ended = Ended(
            protocol=self._route.protocol if self._route else "",
            route=self._route.path if self._route else "",
            method=self._method,
            outcome=outcome,
            status=status,
            seconds=time.monotonic() - self._arrived_s,
            request_id=self._known_as(),
            tenant=self._tenant.name,
            client=self._client,
            request_bytes=self._request_bytes,
            response_bytes=sent,
            headers=self._headers,
            noted=self._noted,
        )
        for watcher in self._front._watchers:
            watcher.ended(ended)


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names in lower case; what comes twice is one list, as RFC 9110 has it."""
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _query(raw: bytes) -> Mapping[str, str]:
    if not raw:
        return {}
    try:
        return dict(
            parse_qsl(
                raw.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MAX_QUERY_FIELDS,
            )
        )
    except ValueError:
        raise RefusedError("bad_request", "the query of the URL cannot be read") from None


def _bug(request_id: str) -> RefusedError:
    return RefusedError(
        "failed", f"an internal error; the server's log tells more about request {request_id}"
    )


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


async def _lifespan(receive: Receive, send: Send) -> None:
    """Servers that insist on it are told that all is well; `server` starts and ends the service."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
