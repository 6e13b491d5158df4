"""A front with made-up routes on a real socket, in a thread with its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from limbeck.serve.http.front import Front
from limbeck.serve.http.keys import Keys
from limbeck.serve.http.server import Serving, listen
from limbeck.serve.http.watching import Ended
from limbeck.serve.http.words import plain
from limbeck.serve.protocols.base import Call, Reply, Route
from limbeck.serve.refused import RefusedError
from limbeck.serve.settings import LimitSettings
from loop_thread import in_thread
from waiting import PATIENCE_S


class Recorder:
    """A watcher that keeps all it is told."""

    def __init__(self) -> None:
        self.all: list[Ended] = []
        self.count = 0

    def began(self) -> None:
        self.count += 1

    def ended(self, ended: Ended) -> None:
        self.all.append(ended)

    @property
    def outcomes(self) -> list[str]:
        return [one.outcome for one in self.all]


class Running:
    """What a test holds of the server."""

    def __init__(self) -> None:
        self.port = 0
        self.recorder = Recorder()
        # Of the route /wait: how many have begun to wait, were cancelled, and what lets them go.
        self.waiting = 0
        self.cancelled = 0
        self.bodies: list[bytes] = []
        self.reloads = 0
        self.drained = 0
        self.loop: asyncio.AbstractEventLoop
        self.let_go: asyncio.Event
        self.serving: Serving
        self.front: Front
        self.over = threading.Event()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def send(self, data: bytes) -> bytes:
        """Send, and read until the server closes or has been silent after an answer."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_answer(connection)

    def go(self) -> None:
        self.loop.call_soon_threadsafe(self.let_go.set)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.serving.stop)


def head_of(answer: bytes) -> tuple[int, dict[str, str]]:
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    fields = (line.partition(": ") for line in head[1:])
    return int(head[0].split()[1]), {name.lower(): value for name, _, value in fields}


def body_of(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def read_answer(connection: socket.socket) -> bytes:
    """One whole answer with a Content-Length, or what came until the server closed."""
    data = b""
    while True:
        _, ended, body = data.partition(b"\r\n\r\n")
        if ended:
            status, headers = head_of(data)
            if status != 100 and len(body) >= int(headers.get("content-length", 0)):
                return data
            if status == 100:
                data = body
                continue
        try:
            more = connection.recv(1 << 16)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more


def post(path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *headers]).encode() + b"\r\n\r\n"


def routes(running: Running) -> list[Route]:
    async def echo(call: Call) -> Reply:
        running.bodies.append(call.body)
        return Reply(body=call.body, content_type="application/octet-stream")

    async def tell(call: Call) -> Reply:
        told = {"path": dict(call.path), "query": dict(call.query), "tenant": call.tenant.name}
        told |= {"client": call.client, "request_id": call.request_id, "method": call.method}
        return Reply(body=json.dumps(told).encode())

    async def wait(call: Call) -> Reply:
        running.waiting += 1
        try:
            await running.let_go.wait()
        except asyncio.CancelledError:
            running.cancelled += 1
            raise
        return Reply(body=b"waited")

    async def refuse(call: Call) -> Reply:
        raise RefusedError("overloaded", "come back later", retry_after_s=2.4)

    async def bug(call: Call) -> Reply:
        raise ZeroDivisionError("a secret of ours")

    def other(refused: RefusedError) -> Reply:
        return Reply(body=json.dumps({"other": refused.message}).encode(), status=refused.status)

    def route(method: Any, path: str, handle: Any, **more: Any) -> Route:
        more = {"protocol": "own", "error": plain, "operation": {}, **more}
        return Route(method=method, path=path, handle=handle, **more)

    return [
        route("POST", "/v1/echo", echo),
        route("GET", "/v1/echo", tell),
        route("GET", "/v1/models/{name}/versions/{version}", tell),
        route("POST", "/v1/wait", wait),
        route("POST", "/v1/refuse", refuse),
        route("POST", "/v1/bug", bug),
        route("POST", "/v2/models/{name}/infer", echo, protocol="other", error=other),
        route("GET", "/open", tell, scope="open"),
        route("POST", "/admin", tell, scope="admin"),
    ]


@contextlib.contextmanager
def running(
    limits: LimitSettings | None = None,
    keys: Keys | None = None,
    more: Any = None,
    trusted_proxies: Sequence[str] = (),
) -> Iterator[Running]:
    """A server until the block ends; then it has drained."""
    limits = limits or LimitSettings()

    async def serve(begun: Callable[[Running], None]) -> None:
        found = Running()

        async def reload() -> None:
            found.reloads += 1

        def drained() -> None:
            found.drained += 1

        found.loop = asyncio.get_running_loop()
        found.let_go = asyncio.Event()
        listening = listen("127.0.0.1", 0)
        found.port = listening.getsockname()[1]
        found.front = Front(
            [*routes(found), *(more(found) if more else ())],
            limits=limits,
            keys=keys or Keys(()),
            watchers=[found.recorder],
        )
        found.serving = Serving(
            [(found.front, listening)],
            limits=limits,
            on_reload=reload,
            on_drain=drained,
            trusted_proxies=trusted_proxies,
        )
        begun(found)
        try:
            await found.serving.run()
        finally:
            found.over.set()

    def stop(found: Running) -> None:
        found.let_go.set()
        found.serving.stop()

    with in_thread(serve, stop) as found:
        yield found
    assert found.recorder.count == len(found.recorder.all), "a request has no outcome"
