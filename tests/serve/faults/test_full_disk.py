"""A disk that is full wherever the server, or who watches it, wants to write."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from crowd import ask, crowd
from limbeck.cli import main
from serving_program import Counts, free_port, settled
from waiting import until

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs Linux's /dev/full")
PATH = "/v1/models/m/predict"


@pytest.mark.parametrize("processes", [1, 2])
def test_no_room_for_the_log(program, stored, processes) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with FULL.open("w") as full:
        server = program(
            *(str(stored.path), "--name", "m", "--port", str(port), "--threads", "2"),
            *("--cache-mb", "0", "--processes", str(processes)),
            output=full.fileno(),
        )
    until(lambda: not server.alive or listens(url), "listening")
    before = settled(url).of("own") if processes == 1 else {}
    with crowd(
        *(url, stored.bodies, stored.right),
        path=PATH,
        clients=8,
        headers={"X-Request-Timeout-Ms": "80000"},
    ) as clients:
        clients.everybody(3)
        # Even what is said of a failed reload, or of a worker that died, has nowhere to go.
        server.send(signal.SIGHUP)
        if processes > 1:
            os.kill(server.children()[0], signal.SIGKILL)
            clients.everybody(3)
            until(lambda: len(server.children()) == processes, "another worker")
        clients.everybody(3)
    assert server.alive
    assert set(clients.statuses) <= {200, 429, 503}
    if processes == 1:
        assert clients.lost == 0
        counts = settled(url)
        assert sum(counts.of("own").values()) == clients.sent + sum(before.values())
        # A thread of the server's finds out that there is no room, when it gets to it.
        until(lambda: Counts(url).value("limbeck_log_lines_dropped_total") > 0, "a dropped line")
    assert server.end() == 0


def listens(url: str) -> bool:
    try:
        return ask(url, PATH, {"inputs": "a"}, **{"X-Request-Timeout-Ms": "80000"}).status == 200
    except OSError:
        return False


def test_no_room_for_a_report_of_load(program, stored, tmp_path, capsys, monkeypatch) -> None:
    """The one who measures is told, and the server has answered all the same."""
    server = program(str(stored.path), "--name", "m", "--port", "0", "--threads", "1")
    url = server.ready()
    report = tmp_path / "report.html"
    report.write_text("of yesterday")
    # What is opened under another name first, as files are that are renamed, is that device.
    opened = Path.open
    beside: list[Path] = []

    def full(path: Path, mode: str = "r", **more: Any) -> Any:
        if not path.name.startswith(".report.html."):
            return opened(path, mode, **more)
        path.touch()
        beside.append(path)
        return opened(Path(FULL), "w", **more)

    monkeypatch.setattr(Path, "open", full)
    code = main.run(
        [
            *("loadtest", url, "--model", "m", "--rate", "20", "-d", "1", "--warmup", "0"),
            *("--report", str(report)),
        ]
    )
    assert code != 0
    said = capsys.readouterr().err
    assert str(report) in said
    assert "No space left" in said
    assert "Traceback" not in said
    assert report.read_text() == "of yesterday"
    assert len(beside) == 1
    assert not beside[0].exists()
    assert ask(url, PATH, {"inputs": "a"}).status == 200
    assert sum(settled(url).of("own").values()) > 10
    assert Counts(url).in_flight == 1
