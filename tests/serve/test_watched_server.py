"""A server as it is started: it counts, logs one line a request, and says nothing of the texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from limbeck.bench import soak
from limbeck.bench.soak_mix import MODEL
from serving_program import Program, ask

SECRET = "Rosenweg 7"
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Server:
    """One that runs, and how to ask it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.url = program.ready()

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        return ask(self.url, path, body, **headers)


@pytest.fixture
def server(program: Callable[..., Program], tmp_path: Path) -> Server:
    config = soak.write_config(tmp_path)
    config.write_text(config.read_text().replace("access = false", "access = true"))
    return Server(program("--config", config, "--port", "0"))


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

    assert server.program.end() == 0
    lines = server.program.lines
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
