"""Protocols without sockets: a body in, a status and a value out, through a real service."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from limbeck.runtimes import Model
from limbeck.serve.protocols.base import Call, Context, Reply, Route
from limbeck.serve.refused import RefusedError
from limbeck.serve.request import ANYBODY, Tenant
from served import serving


@dataclass(frozen=True, kw_only=True)
class Said:
    """A response. value: its JSON. reason: of the refusal, if it was one."""

    status: int
    value: Any
    reply: Reply
    call: Call
    reason: str | None = None


class Exchange:
    """Calls the routes of protocols as the HTTP layer does."""

    def __init__(self, context: Context, protocols: list[ModuleType]) -> None:
        self.context = context
        self.routes: list[Route] = [r for one in protocols for r in one.routes(context)]

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        for route in self.routes:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)
            match = re.fullmatch(pattern, path)
            if match is not None and route.method == method:
                return route, match.groupdict()
        raise AssertionError(f"no route for {method} {path}")

    async def post(self, path: str, body: Any, **fields: Any) -> Said:
        """body: bytes as they are, or a value that is made JSON."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.send("POST", path, sent, **fields)

    async def get(self, path: str, **fields: Any) -> Said:
        return await self.send("GET", path, b"", **fields)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        tenant: Tenant = ANYBODY,
    ) -> Said:
        route, values = self.find(method, path)
        call = Call(
            method=method,
            path=values,
            query=query or {},
            headers=headers or {},
            body=body,
            arrived_s=time.monotonic(),
            tenant=tenant,
        )
        reason = None
        try:
            reply = await route.handle(call)
        except RefusedError as refused:
            reply, reason = route.error(refused), refused.reason
        return Said(
            status=reply.status,
            value=json.loads(reply.body),
            reply=reply,
            call=call,
            reason=reason,
        )


@asynccontextmanager
async def exchanging(
    protocols: list[ModuleType], models: Mapping[str, Callable[[], Model]], **options: Any
) -> AsyncIterator[Exchange]:
    """options: of `serving`."""
    async with serving(models, **options) as service:
        yield Exchange(Context(service=service, settings=service.settings), protocols)
