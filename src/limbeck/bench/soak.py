"""Does memory stay flat? Many mixed requests, and the slope of the process's memory over them.

`python -m limbeck.bench.soak` starts a server of its own with a small model and sends it a million
requests over HTTP, on this machine; it ends with status 1 where memory grows by more than 1 MB for
100,000 requests, where an answer is not one that was to be expected, or where the server's counts
do not add up. The tests do the same within one process, past HTTP's bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.bench.models import Shape, write_model
from limbeck.bench.soak_mix import MODEL, Sent, requests
from limbeck.errors import LimbeckError
from limbeck.serve.memory import resident_bytes

SLOPE_BYTES = 1 << 20
PER_REQUESTS = 100_000
# Caches fill, pools reach their size, and the interpreter its tables.
WARM_SHARE = 0.25
_SAMPLES = 400
_LEAST_REQUESTS = 50_000
_SENDERS = 8

# Everything that is bounded is given a small bound, so that it is full when measuring begins.
CONFIG = f"""
default_model = "{MODEL}"

[server]
threads = 1

[[models]]
name = "{MODEL}"
path = "PATH"
deadline_ms = 60000

[cache]
size_bytes = 1048576

[decision]
idempotency_entries = 200
attributes.listingDescription = {{ positive = "label 1" }}

[log]
access = false
"""

# Sends a request; the status, None where it was left.
Send = Callable[[Sent], Awaitable[int | None]]


@dataclass(slots=True)
class Outcome:
    """samples: requests sent, bytes of memory. wrong: statuses that were not to be expected."""

    samples: list[tuple[int, int]] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: Counter[tuple[str, int | None]] = field(default_factory=Counter)

    @property
    def slope_bytes(self) -> float:
        """Growth for each 100,000 requests, after the beginning."""
        return slope(self.samples[int(len(self.samples) * WARM_SHARE) :]) * PER_REQUESTS


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes of all pairs (Theil, 1950; Sen, 1968): jumps that stay where they
    are, such as one more arena of the allocator, count little, and growth that goes on counts.
    """
    slopes = [
        (b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(samples, 2) if b[0] > a[0]
    ]
    if not slopes:
        raise LimbeckError("too few samples for a slope")
    return statistics.median(slopes)


async def soak(
    total: int,
    send: Send,
    memory: Callable[[], int],
    *,
    senders: int = _SENDERS,
    told: Callable[[int, int], None] = lambda sent, memory_bytes: None,
) -> Outcome:
    """Send that many; `told` hears how it goes on."""
    outcome = Outcome()
    every = max(1, total // _SAMPLES)
    source = iter(itertools.islice(requests(), total))
    sent = itertools.count(1)

    async def sender(mine: Iterator[Sent]) -> None:
        for request in mine:
            status = await send(request)
            outcome.statuses[str(status)] += 1
            if status not in request.expected:
                outcome.wrong[request.path[:40], status] += 1
            number = next(sent)
            if number % every == 0:
                memory_bytes = memory()
                outcome.samples.append((number, memory_bytes))
                told(number, memory_bytes)

    await asyncio.gather(*(sender(source) for _ in range(senders)))
    return outcome


def into(application: Any) -> Send:
    """Requests straight into an ASGI application. Who leaves is cancelled there, which the server
    takes for its own end and answers with 503.
    """

    async def send(request: Sent) -> int | None:
        statuses: list[int] = []
        body = [{"type": "http.request", "body": request.body, "more_body": False}]
        hours = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if body:
                return body.pop()
            await hours.wait()
            return {"type": "http.disconnect"}

        async def answer(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": b"",
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(request.body)).encode()),
            ],
            "client": ("127.0.0.1", 1),
        }
        running = asyncio.ensure_future(application(scope, receive, answer))
        if request.leaves:
            await asyncio.sleep(0)
            running.cancel()
        await running
        return statuses[0]

    return send


class Client:
    """Requests over connections that are kept; one a task."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __call__(self, request: Sent) -> int | None:
        reader, writer = self._free.pop() if self._free else await self._connect()
        writer.write(_head("POST", request.path, len(request.body)) + request.body)
        if request.leaves:
            writer.close()
            return None
        status, _, keep = await _answer(reader)
        if keep:
            self._free.append((reader, writer))
        else:
            writer.close()
        return status

    async def get(self, path: str) -> str:
        """The body of a page."""
        reader, writer = await self._connect()
        writer.write(_head("GET", path, 0))
        _, body, _ = await _answer(reader)
        writer.close()
        return body.decode()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._address)


def _head(method: str, path: str, size: int) -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nhost: soak\r\ncontent-type: application/json\r\n"
        f"content-length: {size}\r\n\r\n"
    ).encode()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = re.search(rb"content-length: (\d+)", head)
    body = await reader.readexactly(int(length[1]) if length else 0)
    return int(head.split(None, 2)[1]), body, b"connection: close" not in head


def counts_add_up(metrics: str, *, on_their_way: int) -> bool:
    """Whether what a server received is what it ended and what is on its way, and that is as many
    as it should be.
    """
    received = _total(metrics, "limbeck_requests_received_total")
    ended = _total(metrics, "limbeck_requests_total")
    in_flight = _total(metrics, "limbeck_requests_in_flight")
    return received == ended + in_flight and in_flight == on_their_way


def _total(metrics: str, name: str) -> float:
    found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", metrics, re.MULTILINE)
    return sum(map(float, found))


def write_config(folder: Path) -> Path:
    """A small model and the settings to serve it with."""
    model = folder / "model"
    write_model(model, Shape(layers=1, hidden=32, heads=2, ffn=64, labels=2))
    config = folder / "serve.toml"
    config.write_text(CONFIG.replace("PATH", str(model)), encoding="utf-8")
    return config


async def _served(total: int, folder: Path) -> tuple[Outcome, bool]:
    config = write_config(folder)
    command = [sys.executable, "-m", "limbeck", "serve", "--config", str(config), "--port", "0"]
    server = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert server.stdout is not None
    try:
        address = None
        while address is None:
            line = (await asyncio.wait_for(server.stdout.readline(), 120)).decode()
            if not line:
                raise LimbeckError("the server did not start")
            address = re.search(r"ready on http://([\d.]+):(\d+)", line)
        logs = asyncio.create_task(server.stdout.read())
        client = Client(address[1], int(address[2]))
        began_s = time.monotonic()

        def told(sent: int, memory_bytes: int) -> None:
            if sent % (total // 20 or 1) == 0:
                rate = sent / (time.monotonic() - began_s)
                print(f"{sent:>9,} sent, {rate:,.0f}/s, {memory_bytes / 1e6:.1f} MB", flush=True)

        outcome = await soak(total, client, lambda: resident_bytes(server.pid), told=told)
        # Those that left may still be on their way out.
        for _ in range(100):
            # The scrape itself is on its way.
            if adds_up := counts_add_up(await client.get("/metrics"), on_their_way=1):
                break
            await asyncio.sleep(0.1)
        server.send_signal(signal.SIGTERM)
        await logs
    finally:
        if server.returncode is None:
            server.terminate()
        await server.wait()
    return outcome, adds_up


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m limbeck.bench.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    if options.requests < _LEAST_REQUESTS:
        parser.error(f"fewer than {_LEAST_REQUESTS} requests only show how a server warms up")
    with tempfile.TemporaryDirectory() as folder:
        outcome, adds_up = asyncio.run(_served(options.requests, Path(folder)))
    grown = outcome.slope_bytes
    print(f"statuses: {dict(sorted(outcome.statuses.items()))}")
    print(f"memory: {grown / 1e6:+.3f} MB for 100,000 requests; at most {SLOPE_BYTES / 1e6:.3f}")
    if outcome.wrong:
        print(f"not as expected: {dict(outcome.wrong)}")
    if not adds_up:
        print("the server's counts do not add up")
    return int(grown > SLOPE_BYTES or bool(outcome.wrong) or not adds_up)


if __name__ == "__main__":
    sys.exit(main())
