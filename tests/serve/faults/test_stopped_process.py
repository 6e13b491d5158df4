"""SIGSTOP and SIGCONT of the only process, with requests everywhere in it."""

from __future__ import annotations

import os
import signal
import time

from crowd import crowd
from serving_program import settled

STOPPED_S = 3.0


def test_every_request_ends_once_and_the_server_finds_its_pace_again(program, stored):
    server = program(
        *(str(stored.path), "--name", "m", "--port", "0", "--threads", "1", "--cache-mb", "0"),
    )
    url = server.ready()
    path = "/v1/models/m/predict"
    # Some are due while it sleeps; they are not answered late, but told so.
    with (
        crowd(
            *(url, stored.bodies, stored.right),
            path=path,
            headers={"X-Request-Timeout-Ms": "2000"},
        ) as hasty,
        crowd(
            *(url, stored.bodies, stored.right),
            path=path,
            headers={"X-Request-Timeout-Ms": "80000"},
        ) as patient,
    ):
        hasty.more(10)
        patient.everybody()
        for _ in range(2):
            os.kill(server.pid, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            os.kill(server.pid, signal.SIGCONT)
            # A batch of three seconds was seen: the next ones are let in all the same.
            hasty.more(20)
            patient.everybody(3)
    assert hasty.lost == patient.lost == 0
    assert set(patient.statuses) <= {200, 429}
    assert set(hasty.statuses) <= {200, 429, 504}
    counted = settled(url).of("own")
    together = hasty.statuses + patient.statuses
    assert counted == {name: count for name, count in _named(together).items() if count}
    assert server.end() == 0


def _named(statuses):
    return {"ok": statuses[200], "overloaded": statuses[429], "deadline": statuses[504]}
