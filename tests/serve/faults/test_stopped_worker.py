"""SIGSTOP of one of two processes in the middle of its batches: it hangs, and is not dead."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from crowd import crowd
from serving_program import ports_of
from waiting import until

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")


def test_it_is_replaced_and_the_clients_of_the_other_notice_nothing(program, stored):
    server = program(
        *(str(stored.path), "--name", "m", "--port", "0", "--processes", "2", "--threads", "2"),
        *("--cache-mb", "0"),
        environ={"LIMBECK_SERVE_SERVER__HUNG_S": "6"},
    )
    url = server.ready()
    port = int(url.rpartition(":")[2])
    before = server.children()
    with crowd(
        url,
        stored.bodies,
        stored.right,
        path="/v1/models/m/predict",
        clients=12,
        headers={"X-Request-Timeout-Ms": "80000"},
    ) as clients:
        clients.everybody()
        theirs = {pid: ports_of(pid, port) for pid in before}
        stopped = max(before, key=lambda pid: len(theirs[pid]))
        hit = [one for one in clients.clients if one.port in theirs[stopped]]
        spared = [one for one in clients.clients if one not in hit]
        os.kill(stopped, signal.SIGSTOP)
        had = {id(one): one.statuses[200] for one in spared}
        server.read_until("is silent for")
        # All the while, until it was found out, the other one has answered.
        assert all(one.statuses[200] > had[id(one)] for one in spared)
        server.read_until("ended by signal 9")
        until(lambda: len(set(server.children()) - set(before)) == 1, "another worker")
        clients.everybody(2)
    assert hit
    assert all(one.lost >= 1 for one in hit)
    assert all(one.lost == 0 for one in spared)
    assert set(clients.statuses) <= {200, 429, 504}
    assert server.end() == 0
