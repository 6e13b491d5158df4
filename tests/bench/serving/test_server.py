"""Servers are waited for, and nothing of them is left behind."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from limbeck.bench.serving import server
from limbeck.errors import EngineError

FAKE = Path(__file__).with_name("fake_server.py")
PROBE = server.Probe(method="POST", path="/classify", body=b'{"text": "a"}')


def command(port: int, *more: str) -> list[str]:
    return [sys.executable, str(FAKE), "--port", str(port), *more]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_server_ends_with_all_that_it_began(tmp_path: Path) -> None:
    port = server.free_port()
    note = tmp_path / "pid"
    log = tmp_path / "logs" / "fake.log"
    words = command(port, "--daemon", str(note))
    with server.running(words, port=port, probe=PROBE, variables={}, log=log) as found:
        status, headers, body = server.ask(port, "POST", "/classify", b'{"text": "x y"}')
        assert status == 200
        assert int(headers["content-length"]) == len(body)
        daemon = int(note.read_text())
        assert is_alive(daemon)
        # Two interpreters, of which the second counts too.
        assert found.memory_mb() > 5
        assert found.ready_s > 0
    assert not is_alive(found.root)
    assert not is_alive(daemon)
    assert "serving" in log.read_text()


def test_a_server_ends_after_an_error_of_the_caller(tmp_path: Path) -> None:
    port = server.free_port()
    with (
        pytest.raises(ZeroDivisionError),
        server.running(
            command(port), port=port, probe=PROBE, variables={}, log=tmp_path / "log"
        ) as found,
    ):
        raise ZeroDivisionError
    assert not is_alive(found.root)


def test_a_server_that_ends_at_once_is_an_error_with_its_words(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "import sys; sys.exit('no model here')"]
    with (
        pytest.raises(EngineError, match=r"status 1 before it was ready.*no model here"),
        server.running(words, port=1, probe=PROBE, variables={}, log=tmp_path / "log"),
    ):
        pytest.fail("it is not ready")


def test_a_server_that_never_understands_is_not_waited_for(tmp_path: Path) -> None:
    port = server.free_port()
    began = time.monotonic()
    words = command(port, "--status", "422")
    with (
        pytest.raises(EngineError, match="does not answer its first request"),
        server.running(words, port=port, probe=PROBE, variables={}, log=tmp_path / "log"),
    ):
        pytest.fail("it is not ready")
    assert time.monotonic() - began < server.START_S


def test_a_server_that_is_never_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "START_S", 0.5)
    words = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        pytest.raises(EngineError, match="not ready within"),
        server.running(
            words, port=server.free_port(), probe=PROBE, variables={}, log=tmp_path / "log"
        ),
    ):
        pytest.fail("it is not ready")
    assert os.listdir(tmp_path) == ["log"]
