"""Ten times as much as fits, at once: told at the door, bounded, and over when it is over."""

from __future__ import annotations

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import models
from crowd import Crowd, ask, crowd
from gated_model import Gated
from limbeck.serve.protocols import own
from live_server import live
from serving_program import Counts, settled
from waiting import until

PATH = "/v1/models/m/predict"
PATIENT = {"X-Request-Timeout-Ms": "80000"}
BOUND_TOKENS = 400
BURST = 400


def test_what_does_not_fit_is_refused_while_the_engine_is_stuck() -> None:
    """No answer of the door waits for the engine: while that one hangs, all refusals are there."""
    made: list[Gated] = []

    def model() -> Gated:
        made.append(Gated())
        return made[-1]

    with (
        live([own], {"m": model}, queue={"max_tokens": BOUND_TOKENS}) as server,
        ThreadPoolExecutor(BURST + 1) as clients,
    ):
        [gated] = made
        look = server.service.dispatcher.look
        before = gated.begun  # warming up has begun some
        gated.gate.clear()
        first = clients.submit(ask, server.url, PATH, {"inputs": "opening"}, **PATIENT)
        until(lambda: look()["in_flight"] == 1 and gated.begun == before + 1)
        most = 0

        def asked(number: int):
            nonlocal most
            said = ask(server.url, PATH, {"inputs": f"the bell {number} a b c d e f"}, **PATIENT)
            most = max(most, int(look()["queued_tokens"]))
            return said

        burst = [clients.submit(asked, number) for number in range(BURST)]
        # The engine has not moved, and everybody knows: refused by now, or waiting in the queue.
        until(lambda: sum(one.done() for one in burst) + look()["queued_jobs"] == BURST)
        refused = [one.result() for one in burst if one.done()]
        waiting = BURST - len(refused)
        assert gated.begun == before + 1
        assert not first.done()
        assert {said.status for said in refused} == {429}
        assert all(int(said.headers["retry-after"]) >= 1 for said in refused)
        assert 0 < waiting < BURST / 4
        assert BOUND_TOKENS / 2 < look()["queued_tokens"] <= BOUND_TOKENS
        gated.gate.set()
        statuses = Counter(one.result().status for one in burst)
        assert first.result().status == 200
        assert statuses == {200: waiting, 429: len(refused)}
        assert most <= BOUND_TOKENS
        ended = Counter(one.outcome for one in server.more_ended(0, BURST + 1))
        assert ended == {"answered": waiting + 1, "overloaded": len(refused)}
        # Afterwards there is room as before.
        assert ask(server.url, PATH, {"inputs": "harbour"}, **PATIENT).status == 200
        until(lambda: look()["held_jobs"] == 0)
        assert look()["queued_tokens"] == 0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_a_real_server_is_as_it_was_when_it_is_over(program, zoo) -> None:
    # So large that the engine is what cannot keep up, not the clients' threads.
    shape = models.Shape(layers=6, hidden=256, heads=4, ffn=1024)
    source = zoo("bert", "text-classification", shape=shape)
    server = program(
        *(str(source), "--name", "m", "--port", "0", "--threads", "1", "--cache-mb", "0"),
        environ={"LIMBECK_SERVE_QUEUE__MAX_TOKENS": str(4 * BOUND_TOKENS)},
    )
    url = server.ready()
    bodies = [{"inputs": f"{'a b c d ' * 25}{number}"} for number in range(5)]
    alone = [ask(url, PATH, body, **PATIENT).value for body in bodies]
    over = threading.Event()
    most = 0.0

    def watch() -> None:
        nonlocal most
        while not over.wait(0.02):
            counts = Counts(url)
            most = max(most, counts.value("limbeck_queue_tokens"))
            assert counts.received == counts.ended.total() + counts.in_flight

    def burst(clients: int) -> Crowd:
        with crowd(
            url,
            bodies,
            lambda which, value: value == alone[which],
            path=PATH,
            clients=clients,
            headers=PATIENT,
        ) as many:
            many.more(40)
            if clients > 4:
                many.more(100, status=429)
        assert many.lost == 0
        assert set(many.statuses) <= {200, 429}
        return many

    with ThreadPoolExecutor(1) as watching:
        watched = watching.submit(watch)
        sizes = []
        try:
            sent = [burst(4)]
            for _ in range(3):
                sent.append(burst(60))
                sizes.append(resident_bytes(server.pid))
        finally:
            over.set()
        watched.result()
    counts = settled(url)
    together = sum((one.statuses for one in sent), Counter[int]())
    assert counts.of("own") == {"ok": together[200] + len(bodies), "overloaded": together[429]}
    assert sum(one.sent for one in sent) == together.total()
    assert 0 < most <= 4 * BOUND_TOKENS
    assert counts.value("limbeck_queue_tokens") == counts.value("limbeck_queue_requests") == 0
    # The first burst may take memory that stays; the others find it there.
    assert sizes[2] - sizes[0] < 16 << 20, sizes
    assert ask(url, PATH, bodies[0], **PATIENT).value == alone[0]
    assert server.end() == 0
    assert "Traceback" not in server.said


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")
