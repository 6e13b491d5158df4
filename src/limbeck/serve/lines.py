"""A log line of a record: JSON or text, plain ASCII, with nothing in it that could end it."""

from __future__ import annotations

import json
import logging
import re
import traceback
from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson

_PLAIN = re.compile(r"[A-Za-z0-9._:/+@{}-]+")
# What a request leaves in `record.__dict__` as extra=.
FIELDS = "fields"


class Formatter(logging.Formatter):
    """texts: also write messages of exceptions, which can quote what users sent."""

    def __init__(self, *, texts: bool) -> None:
        super().__init__()
        self._texts = texts

    @abstractmethod
    def line(
        self, time_s: float, level: int, logger: str, message: str, fields: Mapping[str, Any]
    ) -> str:
        """Without its end. time_s: since the epoch."""

    def format(self, record: logging.LogRecord) -> str:
        """A line of a record, with its fields and its exception."""
        fields = dict(getattr(record, FIELDS, {}))
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = self._exception(record.exc_info)
        return self.line(record.created, record.levelno, record.name, record.getMessage(), fields)

    def _exception(
        self,
        exception: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        kind, value, trace = exception
        if self._texts:
            return "".join(traceback.format_exception(kind, value, trace))
        # Where it happened and what it is; the lines of code are ours, a message need not be.
        where = "".join(traceback.format_tb(trace))
        return f"{where}{kind.__qualname__ if kind is not None else ''}"


def _time(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")


class JsonFormatter(Formatter):
    """An object a line: time, level, logger, message, and the fields."""

    def line(
        self, time_s: float, level: int, logger: str, message: str, fields: Mapping[str, Any]
    ) -> str:
        entry = {
            "time": _time(time_s),
            "level": logging.getLevelName(level).lower(),
            "logger": logger,
            "message": message,
            **fields,
        }
        try:
            text = orjson.dumps(entry, default=str).decode()
        except (TypeError, ValueError):  # half a surrogate pair, a number beyond 64 bits
            text = json.dumps(entry, default=str)
        if not text.isascii():
            # Terminals obey some control characters that are none to JSON.
            text = json.dumps(json.loads(text), separators=(",", ":"))
        return text.replace("\x7f", "\\u007f")


class TextFormatter(Formatter):
    """time LEVEL logger: message name=value ..."""

    def line(
        self, time_s: float, level: int, logger: str, message: str, fields: Mapping[str, Any]
    ) -> str:
        parts = [_time(time_s), logging.getLevelName(level), f"{_escaped(logger)}:"]
        parts.append(_escaped(message))
        trace = fields.get("exception")
        parts += [f"{n}={_value(v)}" for n, v in fields.items() if n != "exception"]
        line = " ".join(parts)
        if trace is not None:
            # The one thing that takes several lines; none of them can be taken for a log line.
            line += "".join(f"\n    | {_escaped(part)}" for part in str(trace).splitlines())
        return line


def _escaped(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return json.dumps(text)[1:-1].replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text).replace("\x7f", "\\u007f")
