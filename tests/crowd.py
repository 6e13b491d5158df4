"""Clients that ask one thing after another, each over a connection of its own, and keep count."""

from __future__ import annotations

import http.client
import json
import select
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from waiting import PATIENCE_S, until

# How the server names what clients see as a status.
OUTCOMES = {
    200: "ok",
    404: "not_found",
    413: "too_large",
    422: "unprocessable",
    429: "overloaded",
    500: "failed",
    503: "unavailable",
    504: "deadline",
}


@dataclass(frozen=True, kw_only=True)
class Said:
    """What came back. value: of the JSON."""

    status: int
    headers: Mapping[str, str]
    value: Any


@dataclass
class Client:
    """One of the crowd. lost: requests whose connection broke before an answer came.

    wrong: answers that `Crowd.right` says are none. port: of its connection.
    """

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    wrong: list[Any] = field(default_factory=list)
    unasked: bytes = b""
    port: int = 0


class Crowd:
    """right: (which body, the value of its answer) -> whether it is the answer."""

    def __init__(
        self,
        url: str,
        bodies: Sequence[Any],
        right: Callable[[int, Any], bool],
        *,
        path: str,
        clients: int,
        headers: Mapping[str, str] | None = None,
        cached: bool = False,
    ) -> None:
        """Args: cached: equal rows may be computed once; otherwise each is work of its own."""
        self._address = url.removeprefix("http://")
        self._bodies = [json.dumps(body).encode() for body in bodies]
        self._right = right
        self._path = path
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        if not cached:
            self._headers["Cache-Control"] = "no-cache"
        self._over = threading.Event()
        self.clients = [Client() for _ in range(clients)]
        self._threads = [
            threading.Thread(target=self._run, args=(number, client), daemon=True)
            for number, client in enumerate(self.clients)
        ]

    @property
    def sent(self) -> int:
        return sum(client.sent for client in self.clients)

    @property
    def lost(self) -> int:
        return sum(client.lost for client in self.clients)

    @property
    def statuses(self) -> Counter[int]:
        return sum((client.statuses for client in self.clients), Counter[int]())

    @property
    def outcomes(self) -> dict[str, int]:
        """As the server's metrics name them."""
        return {OUTCOMES[status]: count for status, count in self.statuses.items()}

    def more(self, count: int, status: int = 200) -> None:
        """Wait for so many more answers of a status."""
        before = self.statuses[status]
        until(lambda: self.statuses[status] >= before + count, f"{count} more of {status}")

    def everybody(self, count: int = 1, status: int = 200) -> None:
        """Wait until each client has had so many more of them."""
        before = [client.statuses[status] for client in self.clients]
        until(
            lambda: all(
                client.statuses[status] >= had + count
                for client, had in zip(self.clients, before, strict=True)
            ),
            f"{count} more of {status} for each",
        )

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every client have its last answer; then everything that was sent has one outcome."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a client still waits for its answer"
        for client in self.clients:
            assert client.sent == client.statuses.total() + client.lost
            assert not client.wrong, client.wrong[0]
            assert not client.unasked, "something came that nobody had asked for"

    def _run(self, number: int, client: Client) -> None:
        connection: http.client.HTTPConnection | None = None
        turn = number
        while not self._over.is_set():
            which = turn % len(self._bodies)
            turn += 1
            client.sent += 1
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(self._address, timeout=PATIENCE_S)
                    connection.connect()
                    client.port = connection.sock.getsockname()[1]
                connection.request("POST", self._path, self._bodies[which], self._headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                client.lost += 1
                if connection is not None:
                    connection.close()
                connection = None
                self._over.wait(0.02)
                continue
            client.statuses[answer.status] += 1
            value = json.loads(body)
            if answer.status == 200 and not self._right(which, value):
                client.wrong.append((which, value))
            if answer.status == 429:
                self._over.wait(0.005)
            if connection.sock is None:  # the server has closed it, as it said
                connection = None
        if connection is not None:
            if connection.sock is not None and select.select([connection.sock], [], [], 0.05)[0]:
                client.unasked = connection.sock.recv(1 << 16)
            connection.close()


@contextmanager
def crowd(
    url: str,
    bodies: Sequence[Any],
    right: Callable[[int, Any], bool] = lambda which, value: True,
    *,
    path: str,
    clients: int = 6,
    headers: Mapping[str, str] | None = None,
    cached: bool = False,
) -> Iterator[Crowd]:
    """They ask for the length of the block; behind it all are answered, and counts add up."""
    made = Crowd(url, bodies, right, path=path, clients=clients, headers=headers, cached=cached)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def ask(url: str, path: str, body: Any, **headers: str) -> Said:
    """One request over a connection of its own."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        connection.request(
            "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        )
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Said(status=answer.status, headers=found, value=json.loads(answer.read()))
    finally:
        connection.close()
