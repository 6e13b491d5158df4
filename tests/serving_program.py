"""`limbeck serve` as a process of its own, on small models, and what /metrics says of it."""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import sys
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import IO, Any

from limbeck import artifact, runtimes
from limbeck.engine import quantize_weights
from limbeck.spec import ModelSpec, QuantSpec
from processes import Process
from waiting import PATIENCE_S, until


def store(directory: Path, source: Path) -> str:
    """An int8 artifact of a Hugging Face directory; its digest."""
    opened = runtimes.open_source(source)
    return artifact.write(
        directory,
        spec=ModelSpec(
            encoder=opened.spec.encoder,
            task=opened.spec.task,
            quant=QuantSpec(precision="int8"),
        ),
        weights=quantize_weights(opened.weights, opened.spec.encoder),
        tokenizer_json=opened.tokenizer_json(),
        lineage={"made_by": "tests"},
    )


def free_port(count: int = 1) -> int:
    """The first of so many neighbouring ports that nobody listens on. They lie below those that
    the system gives to clients, one of which could take it before the server does.
    """
    while True:
        first = random.randrange(20_000, 32_000)
        try:
            with contextlib.ExitStack() as opened:
                for port in range(first, first + count):
                    opened.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
        except OSError:
            continue


class Program(Process):
    """A server that runs."""

    def __init__(self, *arguments: str | Path, **options: Any) -> None:
        """Args: arguments: of the command. options: of `Process`."""
        super().__init__(sys.executable, "-m", "limbeck", "serve", *arguments, **options)

    def ready(self) -> str:
        """The URL, once it says so."""
        line = self.read_until("limbeck: ready on")
        found = re.search(r"ready on (http://[0-9.:]+)", line)
        assert found is not None, line
        return found[1]


def ask(url: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    """Status and body of the answer to a request in JSON."""
    request = urllib.request.Request(
        url + path, body, {"content-type": "application/json", **headers}
    )
    answer: IO[bytes]
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return 200, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Counts:
    """What a scrape of /metrics says: received, in flight, and ended by protocol and outcome."""

    def __init__(self, url: str) -> None:
        with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE_S) as answer:
            self.text: str = answer.read().decode()
        self.received = int(self.value("limbeck_requests_received_total"))
        self.in_flight = int(self.value("limbeck_requests_in_flight"))
        self.ended: Counter[tuple[str, str]] = Counter()
        for labels, count in re.findall(
            r"^limbeck_requests_total\{(.*)\} (\S+)$", self.text, flags=re.MULTILINE
        ):
            found = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            self.ended[found["protocol"], found["outcome"]] += int(float(count))

    def value(self, series: str) -> float:
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.text, flags=re.MULTILINE)
        assert found is not None, f"no {series} in {self.text}"
        return float(found[1])

    def of(self, protocol: str) -> dict[str, int]:
        """Ended requests of a protocol, by outcome."""
        return {name: n for (spoken, name), n in self.ended.items() if spoken == protocol}


def settled(url: str) -> Counts:
    """A scrape at rest: nothing in flight but itself, and everything received has ended."""
    found: list[Counts] = []

    def quiet() -> bool:
        found[:] = [Counts(url)]
        [counts] = found
        assert counts.received == counts.ended.total() + counts.in_flight
        return counts.in_flight == 1

    until(quiet, "rest")
    return found[0]


def ports_of(pid: int, port: int) -> set[int]:
    """The ports of clients whose connections to `port` a process has accepted."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(end.split(":")[1], 16) for end in fields[1:3])
        if local == port and fields[9] in inodes and remote:
            found.add(remote)
    return found
