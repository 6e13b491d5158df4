"""Several processes: started, watched, started again, given up, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from limbeck.serve.http.supervisor import share
from processes import Process
from waiting import PATIENCE_S, until

# Stands in for a server: beats, and does what a file called after its number says.
WORKER = """
import asyncio, os, signal, sys, time
from pathlib import Path
from limbeck.serve.http.lifeline import Lifeline

home, number, descriptor = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if (home / f"refuse-{number}").exists():
    print("settings that cannot be used", file=sys.stderr)
    sys.exit(2)
if (home / f"die-{number}").exists():
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, end.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: (home / f"hup-{number}").touch())
    line = Lifeline(descriptor)
    line.start(lambda: ((home / f"orphan-{number}").touch(), end.set()))
    (home / f"pid-{number}-{os.getpid()}").touch()
    if not (home / f"slow-{number}").exists():
        line.ready()
    await end.wait()
    if (home / f"stay-{number}").exists():
        time.sleep(1000)
    line.stop()

asyncio.run(main())
"""
SUPERVISOR = """
import sys
from limbeck.serve.http.supervisor import Supervisor

home, worker, hung_s, drain_s = sys.argv[1:]
sys.exit(
    Supervisor(
        lambda number, line: [sys.executable, "-c", worker, home, str(number), str(line)],
        processes=2,
        hung_s=float(hung_s),
        drain_s=float(drain_s),
        on_ready=lambda: print("ready", flush=True),
        say=lambda text: print(text, flush=True),
    ).run()
)
"""

Start = Callable[..., "Supervised"]


class Supervised(Process):
    def __init__(self, home: Path, hung_s: float, drain_s: float) -> None:
        self.home = home
        super().__init__(
            *(sys.executable, "-c", SUPERVISOR, home, WORKER, str(hung_s), str(drain_s)),
            interruptible=True,
        )

    def pids(self, number: int) -> list[int]:
        """Of all that have filled the place, alive or not, in no order."""
        return [int(path.name.split("-")[2]) for path in self.home.glob(f"pid-{number}-*")]

    def living(self, number: int) -> list[int]:
        return [pid for pid in self.pids(number) if Path(f"/proc/{pid}").exists()]

    def touch(self, name: str) -> None:
        (self.home / name).touch()

    def has(self, name: str) -> bool:
        return (self.home / name).exists()


@pytest.fixture
def start(tmp_path):
    started: list[Supervised] = []

    def make(*marks: str, hung_s: float = PATIENCE_S, drain_s: float = PATIENCE_S) -> Supervised:
        for mark in marks:
            (tmp_path / mark).touch()
        started.append(Supervised(tmp_path, hung_s, drain_s))
        return started[-1]

    yield make
    for one in started:
        one.close()
        # Whose supervisor was killed by the test.
        for number in (0, 1):
            for pid in one.living(number):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_start_and_end_together(start, number):
    both = start()
    both.read_until("ready")
    assert len(both.living(0)) == len(both.living(1)) == 1
    assert both.end(number) == 0
    assert both.living(0) == both.living(1) == []


def test_ready_is_said_when_all_are(start):
    both = start("slow-1")
    until(lambda: both.living(0) and both.living(1))
    time.sleep(0.3)
    both.end()
    assert "ready" not in both.said


def test_one_that_is_killed_is_started_again_and_the_other_left_alone(start):
    both = start()
    both.read_until("ready")
    (killed,), (other,) = both.living(0), both.living(1)
    os.kill(killed, signal.SIGKILL)
    both.read_until("worker 0 ended by signal 9")
    until(lambda: len(both.living(0)) == 1)
    assert both.living(0) != [killed]
    assert both.living(1) == [other]


def test_one_that_is_stopped_is_killed_and_started_again(start):
    both = start(hung_s=3.0)
    both.read_until("ready")
    (stopped,), (other,) = both.living(1), both.living(0)
    os.kill(stopped, signal.SIGSTOP)
    both.read_until("worker 1 is silent for")
    both.read_until("worker 1 ended by signal 9")
    until(lambda: both.living(1) and both.living(1) != [stopped])
    assert both.living(0) == [other]


def test_when_all_die_again_and_again_it_gives_up(start):
    both = start()
    both.read_until("ready")
    both.touch("die-0")
    both.touch("die-1")
    for number in (0, 1):
        os.kill(both.living(number)[0], signal.SIGKILL)
    both.read_until("giving up")
    assert both.wait() == 1
    assert "5 times in a row" in both.said
    assert both.living(0) == both.living(1) == []


def test_one_that_dies_again_and_again_takes_no_other_along(start):
    both = start()
    both.read_until("ready")
    both.touch("die-0")
    (other,) = both.living(1)
    os.kill(both.living(0)[0], signal.SIGKILL)
    both.read_until("another is started in 10.0 s")
    assert both.living(1) == [other]
    (both.home / "die-0").unlink()
    until(lambda: len(both.living(0)) == 1)
    assert both.end() == 0


def test_settings_that_cannot_be_used_end_all_at_once(start):
    both = start("refuse-1")
    assert both.wait() == 2
    assert both.said.count("settings that cannot be used") == 1
    assert "another is started" not in both.said
    assert both.living(0) == []


def test_hangup_reaches_all(start):
    both = start()
    both.read_until("ready")
    both.send(signal.SIGHUP)
    until(lambda: both.has("hup-0") and both.has("hup-1"))
    assert both.alive


def test_one_that_does_not_end_is_killed(start, monkeypatch):
    both = start("stay-0", drain_s=-9.0)  # the supervisor adds ten seconds
    both.read_until("ready")
    assert both.end() == 1
    assert both.living(0) == []


def test_a_second_signal_kills(start):
    both = start("stay-0")
    both.read_until("ready")
    both.send(signal.SIGTERM)
    until(lambda: not both.living(1))
    assert both.end() == 128 + signal.SIGTERM
    until(lambda: not both.living(0))


def test_workers_end_when_their_supervisor_is_no_more(start):
    both = start()
    both.read_until("ready")
    both.end(signal.SIGKILL)
    until(lambda: not both.living(0) and not both.living(1))
    assert both.has("orphan-0")
    assert both.has("orphan-1")


def test_threads_are_shared_out():
    assert [share(7, 3, number) for number in range(3)] == [3, 2, 2]
    assert [share(2, 4, number) for number in range(4)] == [1, 1, 1, 1]
