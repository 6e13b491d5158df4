"""`limbeck serve` as a process of its own, on small models, and what /metrics says of it."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from limbeck import artifact, runtimes
from limbeck.engine import quantize_weights
from limbeck.spec import ModelSpec, QuantSpec
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


class Program:
    """A server that runs. lines: all that it has said so far; none where `output` is given."""

    def __init__(
        self, *arguments: str, output: int | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "limbeck", "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.STDOUT if output is None else output,
            text=True,
            env={**os.environ, **(environ or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def ready(self) -> str:
        """The URL, once it says so."""
        self.read_until("limbeck: ready on")
        found = re.search(r"ready on (http://[0-9.:]+)", self.said)
        assert found is not None
        return found[1]

    def read_until(self, words: str, after: int = 0) -> None:
        """Wait until it has said these words, in a line behind so many."""
        end = time.monotonic() + PATIENCE_S
        while not any(words in line for line in self.lines[after:]):
            assert time.monotonic() < end, f"{words!r} was not said: {self.said}"
            assert self.alive or self._reader.is_alive(), self.said
            time.sleep(0.01)

    def workers(self) -> list[int]:
        """Its processes, where it supervises several."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(pid) for pid in children.split()]

    def end(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def kill(self) -> None:
        workers = self.workers()
        self.process.kill()
        self.process.wait()
        for pid in workers:
            # Those that are stopped hear nothing of their supervisor's end.
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._reader.join(PATIENCE_S)

    def _read(self) -> None:
        if self.process.stdout is None:
            return
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line)


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
