"""The open loop: each request leaves at its time, whether or not the server keeps up.

One process, one thread. Measured against a server that only answers (one core each, AMD EPYC,
bodies of 300 bytes): see docs/decisions/0016-an-open-loop-of-our-own.md.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limbeck.loadtest import outcomes
from limbeck.loadtest.alarm import Alarm
from limbeck.loadtest.connection import Connection
from limbeck.loadtest.once import Door, ask
from limbeck.loadtest.outcomes import Recorder, Samples
from limbeck.loadtest.target import Wire

# Servers close connections that rest (uvicorn after 5 s): a request sent into that moment would
# fail for no fault of the server.
IDLE_LIMIT_S = 2.0
_SWEEP_S = 0.02  # how often patience is looked at
_AT_ONCE = 64  # requests sent before answers are read again, when the generator is behind


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one process sends. scheduled_s ascends; `which` names the wire of each.

    counted_from_s: what is scheduled earlier warms up. stop_after_lost: end once so many counted
    requests got no answer in time; None: never. watch: a request made every `watch_every_s`
    whose answers are kept (the server's metrics).
    """

    door: Door
    wires: Sequence[Wire]
    scheduled_s: npt.NDArray[np.float64]
    which: npt.NDArray[np.int32]
    timeout_s: float
    max_connections: int
    check_every: int = 1
    counted_from_s: float = 0.0
    stop_after_lost: int | None = None
    watch: Wire | None = None
    watch_every_s: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is. Times in seconds."""

    elapsed_s: float
    sent: int
    planned: int
    in_time: int
    in_flight: int


class Generator:
    """One run of a part; make a new one for the next."""

    def __init__(self, part: Part, tell: Callable[[Progress], None] | None = None) -> None:
        self._part = part
        self._tell = tell
        self._times: list[float] = part.scheduled_s.tolist()
        self._which: list[int] = part.which.tolist()
        self._record = Recorder(len(self._times))
        self._next = 0
        self._flying: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._open = 0  # connections that are open or being opened
        self._tasks: set[asyncio.Task[None]] = set()
        self._salt = secrets.randbits(32) << 32
        self._in_time = 0
        self._lost = 0
        self._start = 0.0
        self._stopping = False
        self._told = 0.0
        self._ssl = part.door.context()

    async def run(self, start: float) -> Samples:
        """Send everything, wait for what is in flight, and return the samples.

        start: when the schedule's second 0 is, by `time.monotonic`.
        """
        self._start = start
        self._over = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._alarm = Alarm(loop, self._due)
        watcher = loop.create_task(self._watch()) if self._part.watch is not None else None
        collecting = gc.isenabled()
        gc.disable()  # a collection in the middle would make requests late
        try:
            self._sweep()
            if self._times:
                self._alarm.set(start + self._times[0])
            else:
                self._over.set()
            await self._over.wait()
        finally:
            if collecting:
                gc.enable()
            self._alarm.close()
            if watcher is not None:
                watcher.cancel()
            self._sweeper.cancel()
            for task in list(self._tasks):
                task.cancel()
            for connection in [*self._idle, *self._flying.values()]:
                connection.close()
            await asyncio.sleep(0)
        return self._record.samples(self._part.scheduled_s, self._part.which)

    @property
    def stopped(self) -> bool:
        """Did it end before its time?"""
        return self._stopping

    def stop(self) -> None:
        """Send no more and leave what is in flight unfinished."""
        self._stopping = True
        self._over.set()

    # Sending

    def _due(self) -> None:
        """Send what is due, some at a time, so that answers are read in between."""
        if self._stopping:
            return
        times, start = self._times, self._start
        for _ in range(_AT_ONCE):
            number = self._next
            if number >= len(times):
                return
            now = time.monotonic()
            due = start + times[number]
            if due > now:
                self._alarm.set(due)
                return
            self._next = number + 1
            self._send(number, (now - due) * 1e3)
        if self._next < len(times):
            self._alarm.set(start + times[self._next])

    def _send(self, number: int, lateness_ms: float) -> None:
        record = self._record
        record.lateness_ms[number] = lateness_ms
        record.kind[number] = outcomes.UNFINISHED
        wire = self._part.wires[self._which[number]]
        connection = self._free()
        if connection is not None:
            connection.number = number
            connection.wire = wire
            self._flying[number] = connection
            self._write(connection)
            return
        if self._open >= self._part.max_connections:
            self._finish(number, record.place("no connection left in the generator"))
            return
        self._open += 1
        connection = Connection(self, number, wire)
        self._flying[number] = connection
        task = self._loop.create_task(self._connect(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _write(self, connection: Connection) -> None:
        wire, number = connection.wire, connection.number
        connection.keep_body = wire.check is not None and number % self._part.check_every == 0
        connection.send(wire.numbered(self._salt + number))

    def _free(self) -> Connection | None:
        """The connection that rested least; those that rested too long are closed."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.lost:
                continue
            if time.monotonic() - connection.idle_since <= IDLE_LIMIT_S:
                return connection
            for each in (connection, *idle):  # the others have rested longer
                self._drop(each)
            idle.clear()
        return None

    async def _connect(self, connection: Connection) -> None:
        door, number = self._part.door, connection.number
        try:
            await self._loop.create_connection(
                lambda: connection,
                door.host,
                door.port,
                ssl=self._ssl,
                server_hostname=door.server_name if self._ssl is not None else None,
            )
        except OSError as error:
            self._open -= 1
            connection.lost = True
            if self._flying.pop(number, None) is not None:
                self._finish(number, self._record.place(_connecting(error)))

    def _drop(self, connection: Connection) -> None:
        if not connection.lost:
            connection.close()
            self._open -= 1

    # What connections tell

    def connected(self, connection: Connection) -> None:
        if connection.number >= 0:
            self._write(connection)
        else:  # its request ran out of patience before
            self._rest(connection)

    def answered(self, connection: Connection, status: int) -> None:
        number = connection.number
        now = time.monotonic()
        record = self._record
        latency_s = now - self._start - self._times[number]
        record.latency_ms[number] = latency_s * 1e3
        wire = connection.wire
        if status == 200:
            if connection.keep_body and wire.check is not None:
                kind = self._checked(connection)
            else:
                kind = outcomes.IN_TIME
            if kind == outcomes.IN_TIME and latency_s > wire.deadline_s:
                kind = outcomes.LATE
        else:
            kind = record.place(f"status {status}")
            name = record.kinds[kind]
            if name not in record.examples:
                record.example(name, b"".join(connection.body).decode("utf-8", "replace"))
        del self._flying[number]
        connection.number = -1
        self._rest(connection)
        self._finish(number, kind)

    def timing(self, connection: Connection, header: bytes) -> None:
        self._record.timing(connection.number, header)

    def retry_after(self) -> None:
        self._record.retry_after += 1

    def broke(self, connection: Connection, problem: str) -> None:
        number, connection.number = connection.number, -1
        self._open -= 1
        if self._flying.pop(number, None) is not None:
            self._finish(number, self._record.place(problem))

    def _checked(self, connection: Connection) -> int:
        body = b"".join(connection.body)
        assert connection.wire.check is not None
        if connection.wire.check(body):
            return outcomes.IN_TIME
        self._record.example("wrong answer", body.decode("utf-8", "replace"))
        return self._record.place("wrong answer")

    def _rest(self, connection: Connection) -> None:
        if connection.lost:
            self._open -= 1
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    def _finish(self, number: int, kind: int) -> None:
        self._record.kind[number] = kind
        if kind == outcomes.IN_TIME:
            self._in_time += 1
        elif (
            self._part.stop_after_lost is not None
            and self._times[number] >= self._part.counted_from_s
        ):
            self._lost += 1
            if self._lost > self._part.stop_after_lost:
                self.stop()
        if self._next >= len(self._times) and not self._flying:
            self._over.set()

    # Patience, progress, metrics

    def _sweep(self) -> None:
        """Give up on requests that wait for longer than the client would."""
        now = time.monotonic()
        oldest = now - self._start - self._part.timeout_s
        late = list(itertools.takewhile(lambda n: self._times[n] < oldest, self._flying))
        for number in late:
            connection = self._flying.pop(number)
            if connection.transport is None:
                connection.number = -1  # still connecting: it goes to the pool if it comes
            else:
                self._drop(connection)
            self._finish(number, outcomes.NO_ANSWER)
        if self._tell is not None and now - self._told > 0.2:
            self._told = now
            self._tell(self.progress())
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def progress(self) -> Progress:
        """How far the run is."""
        return Progress(
            elapsed_s=max(0.0, time.monotonic() - self._start),
            sent=self._next,
            planned=len(self._times),
            in_time=self._in_time,
            in_flight=len(self._flying),
        )

    async def _watch(self) -> None:
        """Fetch the server's metrics now and then, over connections of its own."""
        wire = self._part.watch
        assert wire is not None
        await asyncio.sleep(max(0.0, self._start - time.monotonic()))
        while True:
            began = time.monotonic()
            try:
                answer = await ask(self._part.door, wire, 5.0, self._ssl)
            except OSError:
                answer = None
            if answer is not None:
                if answer.status != 200:
                    return  # no metrics here: nobody asks again
                self._record.metrics.append((began - self._start, answer.body))
            await asyncio.sleep(max(0.1, self._part.watch_every_s + began - time.monotonic()))


def _connecting(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ssl.SSLError):
        return "TLS failed"
    return f"cannot connect: {error.strerror or type(error).__name__}"
