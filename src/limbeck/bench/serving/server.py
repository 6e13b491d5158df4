"""A server in a process group of its own: started, waited for, asked, and ended with all it began.

Some servers let daemons go that leave the group, and some write over the environment that the
system shows of a process. What a server began is therefore found in three ways: by its session, by
its parents, and by a variable that it inherited.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck.errors import EngineError

MARK = "LIMBECK_BENCH_MARK"
START_S = 180.0
STOP_S = 10.0
# A server that keeps saying so has understood nothing, and never will.
_NEVER = (422, 500)
_NEVER_TRIES = 20
# What a server said last, in an error message.
_SAID = 2000


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def ask(
    port: int, method: str, path: str, body: bytes = b"", *, timeout_s: float = 30
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers (names in lower case) and body of one request on a connection of its own.

    Raises:
        OSError, http.client.HTTPException: no answer.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, named, answer.read()
    finally:
        connection.close()


def _begun(root: int, mark: str) -> set[int]:
    """Processes, other than zombies, that the server `root` began, itself among them."""
    wanted = f"{MARK}={mark}".encode()
    parents: dict[int, int] = {}
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        pid = int(entry.name)
        # A process may end while it is looked at; one of another user has no environment to read.
        with contextlib.suppress(OSError):
            # After the name in brackets: state, parent, group, session (proc_pid_stat(5)).
            state, parent, _, session = (
                (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:4]
            )
            if state == "Z":
                continue
            parents[pid] = int(parent)
            if root in (pid, int(session)) or wanted in (entry / "environ").read_bytes().split(
                b"\0"
            ):
                found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _pss_kb(pid: int) -> int:
    """Resident memory of a process, each shared page divided among those that share it, KiB."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that answers. `ready_s`: from the start of its process to then."""

    port: int
    ready_s: float
    log: Path
    root: int
    mark: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory_mb(self) -> float:
        """Resident memory of all its processes, in 10^6 bytes."""
        return sum(map(_pss_kb, _begun(self.root, self.mark))) * 1024 / 1e6


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What shows that a server is ready: an answer of status 200."""

    method: str
    path: str
    body: bytes = b""


def _wait(process: subprocess.Popen[bytes], port: int, probe: Probe, log: Path) -> None:
    """Until the probe is answered.

    Raises:
        EngineError: the process ended, did not understand, or START_S passed; with what it said.
    """
    deadline = time.monotonic() + START_S
    found = "no answer"
    never = 0
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _unready(f"ended with status {process.returncode} before it was ready", log)
        try:
            status, _, body = ask(port, probe.method, probe.path, probe.body, timeout_s=10)
        except (OSError, http.client.HTTPException) as error:
            found = str(error)
        else:
            if status == 200:
                return
            found = f"status {status}: {body[:200].decode(errors='replace')}"
            if status in _NEVER:
                never += 1
                time.sleep(0.1)
            if never > _NEVER_TRIES:
                raise _unready(f"does not answer its first request ({found})", log)
        time.sleep(0.02)
    raise _unready(f"was not ready within {START_S:.0f} s ({found})", log)


def _unready(why: str, log: Path) -> EngineError:
    try:
        said = log.read_text(encoding="utf-8", errors="replace")[-_SAID:].strip()
    except OSError as error:
        said = f"({error})"
    return EngineError(f"the server {why}; its log is {log} and ends: {said}")


def _stop(process: subprocess.Popen[bytes], mark: str) -> None:
    """Ask once, then kill whatever is left.

    Raises:
        EngineError: a process does not end even so.
    """
    left = _begun(process.pid, mark)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=STOP_S)
    deadline = time.monotonic() + STOP_S
    # Those seen before count on: an orphan that wrote over its environment has no other trace.
    while left := {pid for pid in left if _alive(pid)} | _begun(process.pid, mark):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.poll()
        if time.monotonic() > deadline:
            raise EngineError(f"processes {sorted(left)} of a server cannot be ended")
        time.sleep(0.05)
    process.wait()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    port: int,
    probe: Probe,
    variables: Mapping[str, str],
    log: Path,
) -> Iterator[Running]:
    """The server while the block runs.

    Raises:
        EngineError: it did not become ready, or cannot be ended.
    """
    mark = secrets.token_hex(8)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **variables, MARK: mark},
        )
        try:
            _wait(process, port, probe, log)
            ready_s = time.monotonic() - began
            yield Running(port=port, ready_s=ready_s, log=log, root=process.pid, mark=mark)
        finally:
            _stop(process, mark)


def limbeck_program() -> Path:
    """The program of this environment.

    Raises:
        EngineError: it is not installed.
    """
    program = Path(sys.executable).parent / "limbeck"
    if not program.is_file():
        raise EngineError(f"no program {program}: install limbeck into this environment")
    return program
