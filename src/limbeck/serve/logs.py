"""Logs of a server: a line each, JSON or text, without what users sent unless they are asked to.

A line is one line whatever is in it, and no caller ever waits for a reader: what is not taken in
time is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from limbeck.serve.lines import Formatter, JsonFormatter, TextFormatter
from limbeck.serve.settings import LogSettings

_MAX_LINES = 10_000
_CLOSE_S = 2.0
# Lines of so long are written together: each waking of the thread takes the interpreter's lock away
# from the event loop, which costs a busy server more than the line itself.
_GATHER_S = 0.05
# Their own handlers would write past ours.
_ROUTED: Final = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "asyncio", "fastapi", "limbeck")
# We write one of our own.
_SILENCED: Final = ("uvicorn.access",)


class Lines(logging.Handler):
    """Writes lines to a file descriptor from a thread of its own.

    dropped: lines that found `max_lines` before them, or that could not be written.
    """

    def __init__(self, descriptor: int, *, max_lines: int = _MAX_LINES) -> None:
        super().__init__()
        self.dropped = 0
        self._descriptor = descriptor
        self._max_lines = max_lines
        self._lines: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._writing = 0
        self._thread = threading.Thread(target=self._run, name="limbeck-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of `logging`; one that cannot be formatted says so instead."""
        try:
            text = self.format(record)
        except Exception as error:
            text = f'{{"level": "error", "message": "a log record of {type(error).__name__}"}}'
        self.put(text.encode("utf-8", "backslashreplace") + b"\n")

    def put(self, line: bytes) -> None:
        """Take a line as it is, with its end."""
        with self._changed:
            if self._closed or len(self._lines) >= self._max_lines:
                self.dropped += 1
                return
            self._lines.append(line)
            if len(self._lines) == 1:
                self._changed.notify()

    def close(self) -> None:
        """Write what is left, for two seconds at most; more is dropped."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify()
        self._thread.join(_CLOSE_S)
        with self._changed:
            self.dropped += len(self._lines) + self._writing
            self._lines.clear()
        super().close()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._lines and not self._closed:
                    self._changed.wait()
                if not self._lines:
                    return
                self._changed.wait_for(lambda: self._closed, _GATHER_S)
                lines = list(self._lines)
                self._lines.clear()
                self._writing = len(lines)
            written = self._write(b"".join(lines))
            with self._changed:
                if not written:
                    self.dropped += len(lines)
                self._writing = 0

    def _write(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                # Somebody made the descriptor non-blocking; the thread may wait, others may not.
                time.sleep(0.01)
            except OSError:
                return False
        return True


class Logs:
    """Logging of the whole process, as a server wants it, from `open` to `close`.

    level: the least that is written.
    """

    def __init__(self, settings: LogSettings, *, descriptor: int = 2) -> None:
        """descriptor: where to write; 2 is the standard error."""
        self.settings = settings
        self.level: int = logging.getLevelName(settings.level.upper())
        self._descriptor = descriptor
        self._formatter: Formatter = (
            JsonFormatter(texts=settings.texts)
            if settings.format == "json"
            else TextFormatter(texts=settings.texts)
        )
        self._lines: Lines | None = None
        self._before: list[_Logger] = []

    @property
    def dropped(self) -> int:
        """Lines that nobody took, since the start."""
        return self._lines.dropped if self._lines is not None else 0

    def open(self) -> None:
        """Take over the loggers of this process."""
        lines = Lines(self._descriptor)
        lines.setFormatter(self._formatter)
        root = logging.getLogger()
        self._before = [_Logger.of(root)]
        root.handlers = [lines]
        root.setLevel(self.level)
        for name in (*_ROUTED, *_SILENCED):
            logger = logging.getLogger(name)
            self._before.append(_Logger.of(logger))
            logger.handlers = []
            logger.propagate = name not in _SILENCED
            logger.disabled = name in _SILENCED
            logger.setLevel(logging.NOTSET)
        self._lines = lines

    def write(self, level: int, logger: str, message: str, fields: Mapping[str, Any]) -> None:
        """A line past `logging`, whose records cost more than all else that a request needs."""
        if level >= self.level and self._lines is not None:
            text = self._formatter.line(time.time(), level, logger, message, fields)
            self._lines.put(text.encode("utf-8", "backslashreplace") + b"\n")

    def close(self) -> None:
        """Write what is left, and leave logging as it was."""
        for before in self._before:
            before.restore()
        self._before = []
        if self._lines is not None:
            self._lines.close()


@dataclass(frozen=True, slots=True)
class _Logger:
    """A logger, and how it was."""

    logger: logging.Logger
    level: int
    handlers: list[logging.Handler]
    propagate: bool
    disabled: bool

    @classmethod
    def of(cls, logger: logging.Logger) -> _Logger:
        handlers = list(logger.handlers)
        return cls(logger, logger.level, handlers, logger.propagate, logger.disabled)

    def restore(self) -> None:
        self.logger.setLevel(self.level)
        self.logger.handlers = self.handlers
        self.logger.propagate = self.propagate
        self.logger.disabled = self.disabled
