"""kill -9 of one of two processes in the middle of its batches."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from crowd import crowd
from serving_program import free_port, ports_of, settled
from waiting import until

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")

PATH = "/v1/models/m/predict"
PATIENT = {"X-Request-Timeout-Ms": "80000"}


def test_its_requests_are_lost_and_no_others(program, stored):
    first = free_port(2)
    metrics = [first, first + 1]
    server = program(
        *(str(stored.path), "--name", "m", "--port", "0", "--processes", "2", "--threads", "2"),
        *("--cache-mb", "0"),
        environ={"LIMBECK_SERVE_SERVER__METRICS_PORT": str(metrics[0])},
    )
    url = server.ready()
    port = int(url.rpartition(":")[2])
    before = server.children()
    with crowd(url, stored.bodies, stored.right, path=PATH, clients=12, headers=PATIENT) as clients:
        clients.everybody()
        theirs = {pid: ports_of(pid, port) for pid in before}
        killed = max(before, key=lambda pid: len(theirs[pid]))
        # Each client keeps its connection, so that whose it is does not change.
        hit = [one for one in clients.clients if one.port in theirs[killed]]
        spared = [one for one in clients.clients if one not in hit]
        assert hit
        os.kill(killed, signal.SIGKILL)
        server.read_until("ended by signal 9")
        clients.everybody(2)
        until(lambda: len(set(server.children()) - set(before)) == 1, "another worker")
        [new] = set(server.children()) - set(before)
        number = before.index(killed)
        until(lambda: reachable(f"http://127.0.0.1:{metrics[number]}"), "the new one's metrics")
        clients.everybody(2)
    # Those who had been its clients lost what was on its way, and perhaps tries to come back.
    assert all(one.lost >= 1 for one in hit)
    assert all(one.lost == 0 for one in spared)
    assert set(clients.statuses) <= {200, 429, 504}
    assert new in server.children()
    # The one that lived on has counted what its clients have seen.
    survivor = settled(f"http://127.0.0.1:{metrics[1 - number]}").of("own")
    seen = sum(one.statuses.total() for one in spared)
    assert sum(survivor.values()) >= seen
    assert set(survivor) <= {"ok", "overloaded", "deadline"}
    assert server.end() == 0


def reachable(url: str) -> bool:
    try:
        settled(url)
    except OSError:
        return False
    return True
