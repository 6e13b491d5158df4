"""Programs that tests run beside themselves: what they say, and that none outlives its test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from waiting import PATIENCE_S, until

# What a program that is told to end may take where the test has nothing more to ask of it.
_LEAVE_S = 5.0


class Process:
    """A program that runs. lines: all that it has said so far, on both outputs."""

    def __init__(
        self,
        *command: str | Path,
        output: int | None = None,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        interruptible: bool = False,
    ) -> None:
        """Args: output: a descriptor to write to; then there are no lines. interruptible: Ctrl-C
        will be sent, which a shell's background job ignores, and its children would inherit that.
        """
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.STDOUT if output is None else output,
            text=True,
            env={**os.environ, **(environ or {})},
            cwd=cwd,
            preexec_fn=_listen_to_interrupts if interruptible else None,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def send(self, number: int) -> None:
        """A signal."""
        self.process.send_signal(number)

    def read_until(self, words: str, after: int = 0) -> str:
        """The line with these words, once it is said, behind so many lines."""

        def line() -> str | None:
            # In this order: what is said last is read before the reader ends.
            over = not self._reader.is_alive()
            found = next((line for line in self.lines[after:] if words in line), None)
            assert found is not None or not over, f"{words!r} was not said: {self.said}"
            return found

        try:
            found = until(line, f"{words!r}")
        except AssertionError as error:
            error.add_note(self.said)
            raise
        assert found is not None
        return found

    def wait(self) -> int:
        """The exit code, once it has ended by itself and all it said is in `lines`."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal that ends it; the exit code."""
        self.send(number)
        return self.wait()

    def children(self) -> list[int]:
        """Processes that it has started and not buried."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(pid) for pid in children.split()]

    def close(self) -> None:
        """End it, whatever state it is in: politely at first."""
        if self.alive:
            self.send(signal.SIGTERM)
            try:
                self.process.wait(_LEAVE_S)
            except subprocess.TimeoutExpired:
                self._kill()
        self._reader.join(PATIENCE_S)

    def _kill(self) -> None:
        children = self.children()
        self.process.kill()
        self.process.wait()
        for pid in children:
            # Those that are stopped hear nothing of its end.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _read(self) -> None:
        if self.process.stdout is None:
            return
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line)


def _listen_to_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
