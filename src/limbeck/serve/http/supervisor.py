"""Several processes on one port: started, watched, started again, ended.

The supervisor imports no model and opens no port. Workers are fresh processes, not forks: they
share no lock and no thread with it, and one that dies takes nothing along.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from limbeck.serve.http.lifeline import READY

_log = logging.getLogger("limbeck.serve.supervisor")

EXIT_FAILED: Final = 1
_TICK_S = 0.2
# Imports come before the first beat, and on a busy machine they take their time.
_FIRST_BEAT_S = 120.0
# One that lived so long was well: its death is a new story.
_WELL_S = 30.0
_MAX_BACKOFF_S = 10.0
# So many deaths in a row, none of a worker that was well, and the trouble is not the worker: if no
# other one answers either, it is over.
_MOST_DEATHS = 5
# What a worker may take beyond its own time for draining before it is killed.
_LEAVING_S = 10.0


@dataclass(eq=False, kw_only=True)
class _Worker:
    """A place for a worker, and the process that fills it now."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    line: socket.socket | None = None
    started_s: float = 0.0
    heard_s: float = 0.0
    beaten: bool = False
    ready: bool = False
    start_at_s: float = 0.0
    deaths: int = 0


class Supervisor:
    """command: worker's number and the descriptor of its lifeline -> the arguments of its process.

    hung_s: silence after which a worker is killed. drain_s: how long workers may take to end.
    on_ready: called once, when all are ready for the first time. say: for people.
    """

    def __init__(
        self,
        command: Callable[[int, int], Sequence[str]],
        *,
        processes: int,
        hung_s: float,
        drain_s: float,
        on_ready: Callable[[], object],
        say: Callable[[str], object],
    ) -> None:
        self._command = command
        self._workers = [_Worker(number=number) for number in range(processes)]
        self._hung_s = hung_s
        self._drain_s = drain_s
        self._on_ready = on_ready
        self._say = say
        self._selector = selectors.DefaultSelector()
        self._was_ready = False
        self._ending_s: float | None = None
        self._status = 0
        self._ticked_s = 0.0

    def run(self) -> int:
        """Until told to end, or until it gives up; the exit code."""
        with self._signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ, None)
            self._ticked_s = time.monotonic()
            while self._ending_s is None or any(one.process for one in self._workers):
                for key, _ in self._selector.select(_TICK_S):
                    if key.data is None:
                        for number in signals.recv(64):
                            self._signalled(number)
                    else:
                        self._hear(key.data)
                self._tick()
        return self._status

    # What is heard.

    def _hear(self, worker: _Worker) -> None:
        if worker.line is None:
            return
        try:
            said = worker.line.recv(4096)
        except OSError:
            said = b""
        if not said:  # it has died, or is about to
            self._selector.unregister(worker.line)
            worker.line.close()
            worker.line = None
            return
        worker.heard_s = time.monotonic()
        worker.beaten = True
        if READY in said:
            worker.ready = True
            if not self._was_ready and all(one.ready for one in self._workers):
                self._was_ready = True
                self._on_ready()

    def _signalled(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._tell(signal.SIGHUP)
        elif number in (signal.SIGTERM, signal.SIGINT):
            if self._ending_s is not None:
                self._tell(signal.SIGKILL)
                os._exit(128 + number)
            self._end()

    # What is done.

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._ticked_s > self._hung_s / 2:
            # We were the ones who slept, or the machine was; beats come in the next rounds.
            for worker in self._workers:
                worker.heard_s = max(worker.heard_s, now)
        self._ticked_s = now
        for worker in self._workers:
            if worker.process is None:
                if self._ending_s is None and now >= worker.start_at_s:
                    self._start(worker)
            elif (status := worker.process.poll()) is not None:
                self._died(worker, status)
            elif self._ending_s is None:
                silent_s = now - worker.heard_s
                if silent_s > (self._hung_s if worker.beaten else _FIRST_BEAT_S):
                    self._say(f"worker {worker.number} is silent for {silent_s:.1f} s: killed")
                    worker.process.kill()
                    worker.heard_s = now  # until its end is seen
            elif now > self._ending_s:
                worker.process.kill()

    def _start(self, worker: _Worker) -> None:
        ours, theirs = socket.socketpair()
        try:
            worker.process = subprocess.Popen(
                self._command(worker.number, theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # Ctrl-C in a terminal is for the supervisor, which asks the workers to end.
                process_group=0,
            )
        except OSError as error:
            ours.close()
            self._say(f"cannot start worker {worker.number}: {error}")
            self._died(worker, EXIT_FAILED)
            return
        finally:
            theirs.close()
        ours.setblocking(False)
        worker.line = ours
        worker.started_s = worker.heard_s = time.monotonic()
        worker.beaten = worker.ready = False
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _died(self, worker: _Worker, status: int) -> None:
        now = time.monotonic()
        worker.process, worker.ready = None, False
        if worker.line is not None:
            self._selector.unregister(worker.line)
            worker.line.close()
            worker.line = None
        if self._ending_s is not None:
            # One that had not begun to listen to signals ends by ours.
            if status not in (0, -signal.SIGTERM):
                self._status = self._status or EXIT_FAILED
            return
        if not self._was_ready and status > 0:
            # It has said why: its settings or its model cannot be used, by others neither.
            self._status = status
            self._end()
            return
        worker.deaths = 1 if now - worker.started_s > _WELL_S else worker.deaths + 1
        how = f"by signal {-status}" if status < 0 else f"with exit code {status}"
        if worker.deaths >= _MOST_DEATHS and not any(one.ready for one in self._workers):
            self._say(
                f"worker {worker.number} ended {how}, {worker.deaths} times in a row: giving up"
            )
            self._status = EXIT_FAILED
            self._end()
            return
        wait_s = min(_MAX_BACKOFF_S, 0.1 * 4 ** (worker.deaths - 1))
        worker.start_at_s = now + wait_s
        self._say(f"worker {worker.number} ended {how}; another is started in {wait_s:.1f} s")

    def _end(self) -> None:
        self._ending_s = time.monotonic() + self._drain_s + _LEAVING_S
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.process.poll() is None:
                if number is signal.SIGHUP and not worker.beaten:
                    continue  # it reads the configuration anyway
                worker.process.send_signal(number)
                if number is signal.SIGTERM:
                    # One that is stopped could not hear it.
                    worker.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """A socket from which the numbers of signals can be read."""
        reading, writing = socket.socketpair()
        reading.setblocking(False)
        writing.setblocking(False)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        wakeup = signal.set_wakeup_fd(writing.fileno())
        try:
            yield reading
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            reading.close()
            writing.close()


def share(total: int, processes: int, number: int) -> int:
    """Threads of one process; the first ones get what cannot be divided, each has one at least."""
    each, more = divmod(total, processes)
    return max(1, each + (number < more))
