"""loadtest: modes, exit codes, files, bad input, Ctrl-C; against a small server."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("httptools")
pytest.importorskip("jinja2")

from limbeck.cli import main
from processes import Process
from trial_server import Asked, Reply, serve
from waiting import until

QUICK = ["--duration", "1", "--warmup", "0", "--rate", "40"]


def run(url: str, *arguments: str) -> int:
    return main.run(["loadtest", url, *arguments])


def test_a_fixed_rate_meets_its_goal(tmp_path, capsys) -> None:
    rows, report = tmp_path / "rows.jsonl", tmp_path / "report.html"
    with serve(Reply(headers=(("Server-Timing", "queue;dur=7.25"),))) as s:
        arguments = ["-p", "classic", *QUICK, "--deadline-ms", "20000", "--peak", "1000"]
        code = run(s.url, *arguments, "--json", str(rows), "--report", str(report))
        sent = [json.loads(asked.body) for asked in s.asked if asked.path == "/classify"]
    assert code == 0
    shown = capsys.readouterr().out
    assert "in time" in shown
    assert "server: queue" in shown
    row = json.loads(rows.read_text())
    assert row["counts"]["sent"] == row["counts"]["in_time"] == len(sent) - 1  # one to try it
    assert row["server_ms"]["queue"]["p50"] == 7.25
    assert row["scaling"]["replicas"] >= 1
    assert len({body["text"] for body in sent}) > 20
    page = report.read_text()
    assert "Latency by percentile" in page
    assert "What autoscaling should watch" in page
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_missed_goal_leaves_with_3(capsys) -> None:
    def behave(_: Asked, number: int) -> Reply:
        return Reply(status=503 if number and number % 4 == 0 else 200)

    with serve(behave) as s:
        code = run(s.url, "-p", "classic", *QUICK, "--goal", "0.99", "--json", "-")
    shown = capsys.readouterr()
    assert code == 3
    assert "the goal is 99.00%" in shown.err or "void" in shown.err
    row = json.loads(shown.out)  # standard output is JSON alone
    counts = row["counts"]
    assert counts["refused"] == row["kinds"]["status 503"] > 5
    assert counts["sent"] == counts["in_time"] + counts["refused"]


def test_a_curve(tmp_path, capsys) -> None:
    rows = tmp_path / "rows.jsonl"
    with serve() as s:
        code = run(
            s.url, "-p", "classic", "--rates", "20,40", "--duration", "0.6", "--warmup", "0",
            "--json", str(rows), "--report", str(tmp_path / "r.html"),
        )  # fmt: skip
    assert code == 0
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [row["planned_rate"] for row in found] == [20, 40]
    # On a machine so busy that the generator is late itself, void runs are in no picture.
    drawn = not all(row["void"] for row in found)
    assert ("Goodput against rate" in (tmp_path / "r.html").read_text()) == drawn


def test_find_rate_against_a_server_with_a_limit(tmp_path, capsys) -> None:
    """It refuses whoever is more than the three hundredth within a second."""
    rows = tmp_path / "rows.jsonl"
    came: list[float] = []

    def behave(_: Asked, number: int) -> Reply:
        came.append(time.monotonic())
        full = len(came) > 300 and came[-1] - came[-301] < 1.0
        return Reply(status=429 if full else 200)

    with serve(behave) as s:
        code = run(
            s.url, "-p", "classic", "--find-rate", "--rate", "600", "--duration", "2",
            "--warmup", "0", "--seeds", "0", "--tolerance", "0.5", "--deadline-ms", "20000",
            "--peak", "1000", "--json", str(rows),
        )  # fmt: skip
    shown = capsys.readouterr()
    assert code == 0
    row = json.loads(rows.read_text())
    assert (row["kind"], row["seeds"]) == ("rate", [0])
    assert not row["probes"][0]["met"]
    assert 0 < row["rate"] < 500  # how near to 300 depends on how late the machine is
    assert row["scaling"]["replicas"] >= 3
    assert "largest rate with 99.00% in time" in shown.out
    assert "seed 0, 600/s" in shown.err


def test_replay_sends_the_texts_in_order(tmp_path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(
        "".join(
            json.dumps({"at": f"2026-01-01T00:00:0{n}", "q": f"text {n}"}) + "\n"
            for n in (3, 0, 2, 1)
        )
    )
    with serve() as s:
        code = run(
            s.url, "-p", "classic", "--replay", str(log), "--replay-text", "q", "--speed", "10"
        )
        texts = [json.loads(asked.body)["text"] for asked in s.asked if asked.method == "POST"]
    assert code == 0
    assert texts[1:] == [f"text {n}" for n in range(4)]  # the first only tries the server


def test_texts_headers_and_key_arrive(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LIMBECK_API_KEY", "secret")
    texts = tmp_path / "texts.csv"
    texts.write_text("id,description\n1,one\n2,two\n")
    with serve(Reply(body=b'{"answers": [1]}')) as s:
        code = run(
            s.url, "--model", "demo", *QUICK, "--data", str(texts), "-H", "X-Tenant: a:b",
            "--deadline-ms", "15000", "--rows", "2", "--burst", "3", "--burst-length", "0.2",
            "--burst-every", "0.5",
        )  # fmt: skip
        posted = [asked for asked in s.asked if asked.method == "POST"]
        watched = [asked for asked in s.asked if asked.path == "/metrics"]
    assert code == 0
    for asked in posted:
        assert asked.path == "/v1/models/demo/predict"
        assert asked.headers["x-tenant"] == "a:b"
        assert asked.headers["authorization"] == "Bearer secret"
        body = json.loads(asked.body)
        assert body["timeout_ms"] == 15000
        assert sorted(body["inputs"]) == ["one", "two"]
    assert watched
    assert watched[0].headers["authorization"] == "Bearer secret"


def test_nobody_listens(capsys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        code = run(f"http://127.0.0.1:{taken.getsockname()[1]}", "-p", "classic", "--rate", "1")
    assert code == 1
    assert "no server can be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            Reply(status=404, body=b'{"error": "no such model"}'),
            'no such model"}; check --protocol',
        ),
        (Reply(status=401), "--api-key"),
        (Reply(status=422, body=b"field missing"), "field missing"),
        (Reply(status=307), "status 307"),
        (Reply(body=b"<html>hello</html>"), "none of this protocol"),
    ],
)
def test_a_server_that_turns_the_first_request_away(reply, message, capsys) -> None:
    with serve(reply) as s:
        code = run(s.url, "-p", "classic", *QUICK)
        asked = len(s.asked)
    assert code == 1
    assert message in capsys.readouterr().err
    assert asked == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say how much to send"),
        (["--rate", "0"], "positive number of requests"),
        (["--rate", "-3"], "positive number of requests"),
        (["--rate", "5", "--rates", "1,2"], "do not go together"),
        (["--find-rate", "--rates", "1,2"], "do not go together"),
        (["--find-rate"], "give --deadline-ms"),
        (["--rates", "1,x"], "--rates must be numbers"),
        (["--rates", "1,1"], "names one twice"),
        (["--rate", "5", "--data", "absent.csv"], "absent.csv is not there"),
        (["--replay", "absent.jsonl"], "absent.jsonl is not there"),
        (["--rate", "5", "--goal", "99"], "such as 0.99"),
        (["--rate", "5", "--lengths", "long"], "lengths 'long'"),
        (["--rate", "5", "--deadline-ms", "soon"], "no deadline in milliseconds"),
        (["--rate", "5", "--priority", "high"], "has no priority"),
        (["--rate", "5", "--header", "novalue"], "Name: value"),
        (["--rate", "5", "--duration", "0"], "duration"),
        (["--rate", "5", "--utilisation", "2"], "utilisation"),
        (["--rate", "5", "--peak", "0"], "peak"),
        (["--rate", "5", "--seeds", "a"], "--seeds must be numbers"),
        (["--burst", "3"], "--burst needs --rate"),
        (["--rate", "5", "--replay-text", "q"], "a column of --replay"),
        (["--rate", "5", "--body", "{}"], "for --protocol raw"),
    ],
)
def test_bad_input(arguments, message, capsys) -> None:
    """Told before anybody is asked anything: nothing listens there."""
    assert run("http://127.0.0.1:1", "-p", "classic", *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("url", ["localhost:8080", "http://", "ftp://x"])
def test_bad_urls(url, capsys) -> None:
    assert run(url, "-p", "classic", "--rate", "1") == 2
    assert "is not a URL" in capsys.readouterr().err


def test_files_that_cannot_be_written(tmp_path, capsys) -> None:
    with serve() as s:
        code = run(s.url, "-p", "classic", *QUICK, "--json", str(tmp_path / "no" / "rows.jsonl"))
    assert code == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_tells_what_was_measured(tmp_path: Path, processes: int) -> None:
    rows = tmp_path / "rows.jsonl"
    with serve() as s, Process(
        sys.executable, "-m", "limbeck.cli.main", "loadtest", s.url, "-p", "classic",
        "--rate", "50", "--duration", "600", "--warmup", "0", "--json", str(rows),
        "--processes", str(processes), interruptible=True,
    ) as process:  # fmt: skip
        until(lambda: len(s.asked) >= 60 or not process.alive, "sixty requests")
        code = process.end(signal.SIGINT)
    assert code == 130, process.said
    assert "Traceback" not in process.said
    assert "in time" in process.said
    row = json.loads(rows.read_text())
    assert row["interrupted"]
    counts = row["counts"]
    assert 30 <= counts["sent"] < 30_000
    assert counts["sent"] == counts["in_time"] + counts["unfinished"]
