"""A server as it is started: it counts, logs one line a request, and says nothing of the texts."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from limbeck.bench import soak
from limbeck.bench.soak_mix import MODEL

SECRET = "Rosenweg 7"
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Server:
    """One that runs, and where."""

    def __init__(self, folder: Path) -> None:
        config = soak.write_config(folder)
        config.write_text(config.read_text().replace("access = false", "access = true"))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "limbeck", "serve", "--config", config, "--port", "0"],
                stdout=log,
                stderr=log,
            )
        self.url = ""
        while not self.url:
            assert self.process.poll() is None, self.log.read_text()
            found = re.search(r"ready on (http://[\d.]+:\d+)", self.log.read_text())
            self.url = found[1] if found else ""

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(
            self.url + path, body, {"content-type": "application/json", **headers}
        )
        answer: IO[bytes]
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return 200, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def end(self) -> list[str]:
        """Its log."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        return self.log.read_text().splitlines()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.process.kill()
    made.process.wait()


def test_what_was_asked_is_counted_and_logged(server: Server) -> None:
    path = f"/v1/models/{MODEL}/predict"
    body = json.dumps({"inputs": SECRET}).encode()
    trace = f"00-{TRACE}-b7ad6b7169203331-01"
    assert server.ask(path, body, traceparent=trace)[0] == 200
    assert server.ask(path, body)[0] == 200
    assert server.ask(path, f'{{"inputs": "{SECRET}'.encode())[0] == 400
    assert server.ask(f"/v1/models/{SECRET.replace(' ', '-')}/predict", body)[0] == 404
    assert server.ask(f"/{SECRET.replace(' ', '-')}?text=Rosenweg", body)[0] == 404

    status, metrics = server.ask("/metrics")
    assert status == 200
    assert soak.counts_add_up(metrics, on_their_way=1)
    labels = f'model="{MODEL}",outcome="ok",protocol="own",version="1"'
    assert f"limbeck_requests_total{{{labels}}} 2.0" in metrics
    assert f'limbeck_inference_duration_seconds_count{{model="{MODEL}",version="1"}} 2.0' in metrics
    assert f'limbeck_rows_cached_total{{model="{MODEL}",version="1"}} 1.0' in metrics
    assert re.search(rf'limbeck_batch_rows_count{{model="{MODEL}",version="1"}} [1-9]', metrics)
    assert re.search(r"^limbeck_engine_busy_seconds_total [\d.e-]*[1-9]", metrics, re.MULTILINE)
    assert "limbeck_ready 1.0" in metrics
    assert re.search(r"^limbeck_connections [1-9]", metrics, re.MULTILINE)
    assert "limbeck_cache_hits_total 1.0" in metrics
    assert "Rosenweg" not in metrics

    lines = server.end()
    assert not [line for line in lines if "Rosenweg" in line]
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    # All but the word that it is ready is JSON.
    assert len(lines) - len(entries) <= 1, lines
    access = [entry for entry in entries if entry["logger"] == "limbeck.access"]
    assert [(entry["status"], entry["outcome"]) for entry in access] == [
        (200, "answered"),
        (200, "answered"),
        (400, "bad_request"),
        (404, "not_found"),
        (404, "not_found"),
        (200, "answered"),
    ]
    assert access[0]["trace_id"] == TRACE
    assert access[0]["model"] == MODEL
    assert access[0]["tokens"] > 0
    assert [entry["cached"] for entry in access[:2]] == [0, 1]
