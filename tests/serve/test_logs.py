"""Logs: one line each whatever is in it, nothing that users said, and nobody waits for a reader."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.serve.access import AccessLog
from limbeck.serve.lines import JsonFormatter, TextFormatter
from limbeck.serve.logs import Lines, Logs
from limbeck.serve.settings import LogSettings
from requests_ended import ended

SECRET = "my address is Rosenweg 7"


class Pipe:
    """Something to write to, and what came out of it."""

    def __init__(self) -> None:
        self.source, self.sink = os.pipe()
        self._open = {self.source, self.sink}

    def close(self, descriptor: int) -> None:
        """Once: its number may belong to another file later."""
        if descriptor in self._open:
            self._open.remove(descriptor)
            os.close(descriptor)

    def text(self) -> str:
        """All until now; the writing end is closed."""
        self.close(self.sink)
        found = bytearray()
        while part := os.read(self.source, 1 << 16):
            found += part
        return found.decode("ascii")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close(made.source)
    made.close(made.sink)


def written(pipe: Pipe, settings: LogSettings, write: Any) -> list[str]:
    logs = Logs(settings, descriptor=pipe.sink)
    logs.open()
    try:
        write(logs)
    finally:
        logs.close()
    return pipe.text().splitlines()


def test_a_request_is_a_line_of_json(pipe: Pipe) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    request = ended(headers={"traceparent": trace})
    (line,) = written(pipe, LogSettings(), lambda logs: AccessLog(logs).ended(request))
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "info",
        "logger": "limbeck.access",
        "message": "request",
        "request_id": "id-1",
        "trace_id": "a" * 32,
        "protocol": "own",
        "method": "POST",
        "route": "/v1/models/{name}/predict",
        "status": 200,
        "outcome": "answered",
        "total_ms": 360.0,
        "model": "a",
        "version": "1",
        "tokenize_ms": 1.0,
        "queue_ms": 20.0,
        "inference_ms": 300.0,
        "rows": 2,
        "tokens": 30,
        "cached": 1,
        "tenant": "shop",
        "client": "127.0.0.1",
        "request_bytes": 10,
        "response_bytes": 20,
    }


@pytest.mark.parametrize("texts", [False, True])
def test_what_users_say_is_written_only_when_asked_for(pipe: Pipe, texts: bool) -> None:
    def write(logs: Logs) -> None:
        request = ended()
        request.noted["inputs"] = [SECRET]  # type: ignore[index]
        AccessLog(logs).ended(request)
        try:
            raise ValueError(f"cannot read {SECRET!r}")
        except ValueError:
            logging.getLogger("limbeck.serve.http").exception("request failed")

    request, failure = written(pipe, LogSettings(texts=texts), write)
    assert (SECRET in request) == texts
    assert (SECRET in failure) == texts
    assert "ValueError" in failure
    assert "test_logs.py" in failure


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("field", ["request_id", "tenant", "client", "method", "route"])
def test_nobody_can_write_a_line_of_their_own(pipe: Pipe, form: Any, field: str) -> None:
    evil = 'x\n{"level":"info","message":"request"}\r\x1b[2J\x7f\x9b31m\u2028\u0085\x00'
    request = ended(**{field: evil})
    lines = written(pipe, LogSettings(format=form), lambda logs: AccessLog(logs).ended(request))
    assert len(lines) == 1
    assert lines[0].isprintable()


@given(st.text(), st.text(), st.text())
def test_any_text_makes_one_printable_line(message: str, name: str, value: str) -> None:
    for formatter in (JsonFormatter(texts=True), TextFormatter(texts=True)):
        line = formatter.line(0.0, logging.INFO, "limbeck", message, {"field": value})
        assert line.isascii()
        assert line.isprintable()
        record = logging.LogRecord(name, logging.INFO, "", 0, message, None, None)
        assert formatter.format(record).isprintable()
    entry = json.loads(
        JsonFormatter(texts=True).line(0.0, logging.INFO, "a", message, {"f": value})
    )
    assert entry["message"] == message
    assert entry["f"] == value


def test_a_traceback_cannot_pass_for_lines(pipe: Pipe) -> None:
    def write(_: Logs) -> None:
        try:
            raise ValueError("x\n2026-01-01 INFO limbeck.access: request")
        except ValueError:
            logging.getLogger("limbeck").exception("oh")

    first, *rest = written(pipe, LogSettings(format="text", texts=True), write)
    assert first.endswith("ERROR limbeck: oh")
    assert all(line.startswith("    | ") for line in rest)


def test_values_that_json_has_no_words_for(pipe: Pipe) -> None:
    def write(logs: Logs) -> None:
        logs.write(logging.INFO, "limbeck", "x", {"big": 1 << 80, "half": "\ud800", "odd": object})

    (line,) = written(pipe, LogSettings(), write)
    assert json.loads(line)["big"] == 1 << 80


def test_uvicorn_writes_through_us_and_its_access_log_is_silent(pipe: Pipe) -> None:
    def write(_: Logs) -> None:
        logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
        logging.getLogger("uvicorn.access").info("GET /?text=%s", SECRET)

    (line,) = written(pipe, LogSettings(), write)
    assert json.loads(line)["message"] == "Started server process [7]"


def test_levels(pipe: Pipe) -> None:
    def write(logs: Logs) -> None:
        access = AccessLog(logs)
        access.ended(ended())
        access.ended(ended(outcome="deadline", status=504))
        access.ended(ended(outcome="failed", status=500))
        logging.getLogger("limbeck").info("quiet")

    lines = written(pipe, LogSettings(level="warning"), write)
    assert [json.loads(line)["level"] for line in lines] == ["warning", "error"]


def test_no_access_log_where_it_is_off(pipe: Pipe) -> None:
    assert (
        written(pipe, LogSettings(access=False), lambda logs: AccessLog(logs).ended(ended())) == []
    )


def test_logging_is_left_as_it_was(pipe: Pipe) -> None:
    names = (None, "uvicorn", "uvicorn.access", "limbeck")

    def state() -> list[Any]:
        loggers = [logging.getLogger(name) for name in names]
        return [(one.level, one.handlers, one.propagate, one.disabled) for one in loggers]

    before = state()
    written(pipe, LogSettings(), lambda logs: None)
    assert state() == before


def test_a_reader_that_is_stuck_holds_nobody_up(pipe: Pipe) -> None:
    lines = Lines(pipe.sink, max_lines=100)
    line = b"x" * 999 + b"\n"
    done = threading.Event()

    def write() -> None:
        for _ in range(5000):
            lines.put(line)
        done.set()

    threading.Thread(target=write, daemon=True).start()
    assert done.wait(30), "put() waited for the reader"
    assert lines.dropped > 4000
    before = time.monotonic()
    lines.close()
    assert time.monotonic() - before < 20
    # Nothing is lost without being counted: what is not in the pipe was dropped.
    os.set_blocking(pipe.source, False)
    got = len(os.read(pipe.source, 1 << 20))
    assert lines.dropped + got // 1000 >= 5000 - 1


def test_a_reader_that_has_gone_is_counted(pipe: Pipe) -> None:
    pipe.close(pipe.source)
    lines = Lines(pipe.sink)
    for _ in range(10):
        lines.put(b"x\n")
    lines.close()
    assert lines.dropped == 10
    lines.put(b"late\n")
    assert lines.dropped == 11


def test_a_descriptor_that_does_not_block_loses_nothing(pipe: Pipe) -> None:
    os.set_blocking(pipe.sink, False)
    lines = Lines(pipe.sink)
    got = bytearray()

    def read() -> None:
        while len(got) < 3_000_000:
            time.sleep(0.001)
            got.extend(os.read(pipe.source, 1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3000):
        lines.put(b"y" * 999 + b"\n")
    reader.join(60)
    lines.close()
    assert len(got) == 3_000_000
    assert lines.dropped == 0


def test_a_record_that_cannot_be_formatted_does_not_raise(pipe: Pipe) -> None:
    def write(_: Logs) -> None:
        logging.getLogger("limbeck").info("%d", "no number")
        logging.getLogger("limbeck").info("fine")

    first, second = written(pipe, LogSettings(), write)
    assert json.loads(first)["level"] == "error"
    assert json.loads(second)["message"] == "fine"
