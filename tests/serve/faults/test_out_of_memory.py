"""The engine finds no memory for a giant row: it alone is refused, and all is well afterwards."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

import models
from crowd import ask, crowd
from limbeck import pipeline
from serving_program import settled

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")

MIB = 1 << 20
TOKENS = 1 << 14
# Enough to read and to tokenise a giant, not to compute it.
ROOM_BYTES = 32 * MIB
PATH = "/v1/models/m/predict"
PATIENT = {"X-Request-Timeout-Ms": "80000"}


def limit(pid: int, more_bytes: int | None) -> None:
    """What another process may have beyond what it has now; None: as much as it likes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    most = resource.RLIM_INFINITY if more_bytes is None else more_bytes
    if more_bytes is not None:
        most += pages * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def test_a_giant_is_refused_and_the_others_are_answered(program, zoo) -> None:
    # One layer, so that a sequence of 16 384 tokens takes memory and not minutes.
    shape = models.Shape(layers=1, hidden=128, heads=2, ffn=512, positions=TOKENS)
    source = zoo("bert", "text-classification", shape=shape)
    server = program(
        *(str(source), "--name", "m", "--port", "0", "--threads", "2", "--cache-mb", "0"),
        # Python's own threads want no room of their own for each.
        environ={"MALLOC_ARENA_MAX": "1"},
    )
    url = server.ready()
    small = [{"inputs": f"the old hotel {n}"} for n in range(5)]
    pipe = pipeline("text-classification", str(source))
    outputs = [pipe(body["inputs"])[0] for body in small]
    giant = {"inputs": "river " * (TOKENS - 2)}
    with crowd(
        *(url, small, lambda which, value: value["outputs"] == outputs[which]),
        path=PATH,
        headers=PATIENT,
    ) as clients:
        clients.everybody(3)
        limit(server.pid, ROOM_BYTES)
        refused = [ask(url, PATH, giant, **PATIENT) for _ in range(3)]
        clients.everybody(3)
        limit(server.pid, None)
        clients.everybody()
    for said in refused:
        assert said.status == 503, said
        assert "memory" in said.value["error"]["message"]
        assert int(said.headers["retry-after"]) >= 1
    assert set(clients.statuses) <= {200, 429}
    assert clients.lost == 0
    answered = ask(url, PATH, giant, **PATIENT)
    assert answered.status == 200
    assert answered.value["outputs"] == pipe(giant["inputs"])[0]
    counted = settled(url).of("own")
    assert counted["unavailable"] == 3
    assert counted["ok"] == clients.statuses[200] + 1
    assert sum(counted.values()) == clients.sent + 4
    assert server.end() == 0
    assert "Traceback" not in server.said
