"""Clients that close their connection while their rows wait, or are computed among others."""

from __future__ import annotations

import json
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from crowd import ask
from fake_model import FakeModel
from gated_model import Gated
from limbeck.pipeline import pipeline
from limbeck.serve.protocols import own
from live_server import Live, live
from tokenizer_files import raw
from waiting import until

BELL = raw("wordpiece").token_to_id("bell")
PATH = "/v1/models/m/predict"


def leaving(server: Live, text: str) -> socket.socket:
    """A client that has asked and reads nothing."""
    host, _, port = server.address.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    body = json.dumps({"inputs": text, "parameters": {"top_k": None}}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    connection.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def test_neither_their_batch_mates_nor_the_engine_notice() -> None:
    made: list[Gated] = []

    def model() -> Gated:
        made.append(Gated())
        return made[-1]

    texts = [f"a quiet harbour {n} {'and so on ' * (n % 3)}" for n in range(12)]
    alone = pipeline("text-classification", FakeModel())
    with (
        live([own], {"m": model}, cache={"size_bytes": 0}) as server,
        ThreadPoolExecutor(32) as clients,
    ):
        [gated] = made
        look = server.service.dispatcher.look

        def asked(text: str):
            body = {"inputs": text, "parameters": {"top_k": None}}
            return clients.submit(ask, server.url, PATH, body)

        gated.gate.clear()
        first = asked("opening")
        until(lambda: look()["in_flight"] == 1)
        # In the batch that runs next: some that stay, and some that leave while it is computed.
        stay = [asked(text) for text in texts[:6]]
        among = [leaving(server, f"gone {n}") for n in range(4)]
        until(lambda: look()["held_jobs"] == 11)
        begun = gated.begun
        gated.let_one_through()
        first.result()
        until(lambda: gated.begun > begun and look()["in_flight"] == 1)
        batch_was_of = look()["held_jobs"] - look()["queued_jobs"]
        assert batch_was_of > 1
        # Behind it: more that stay, and those that leave before anything has begun with them.
        stay += [asked(text) for text in texts[6:]]
        waiting = [leaving(server, f"the bell {n}") for n in range(5)]
        until(lambda: look()["queued_jobs"] >= 11)
        queued = look()["queued_tokens"]
        gated.batches.clear()
        for one in (*among, *waiting):
            one.close()
        until(lambda: Counter(one.outcome for one in server.ended)["gone"] == 9)
        assert look()["queued_tokens"] < queued
        gated.gate.set()
        answers = [one.result() for one in stay]
        for text, said in zip(texts, answers, strict=True):
            assert said.status == 200
            assert said.value["outputs"] == alone(text, top_k=None)
        until(lambda: len(server.ended) == 1 + len(texts) + 9)
        assert Counter(one.outcome for one in server.ended) == {
            "answered": 1 + len(texts),
            "gone": 9,
        }
        assert not any(BELL in batch.ids for batch in gated.batches)
        assert sum(batch.sequences for batch in gated.batches) <= len(texts) + 4
        # An answer leaves before its batch is written off.
        until(lambda: look()["held_jobs"] == look()["in_flight"] == 0)
        assert look()["queued_tokens"] == 0
        [hosted] = server.service.models.loaded()
        assert hosted.in_flight == 0


def test_what_was_left_behind_is_taken_up_by_who_asks_the_same() -> None:
    """Equal rows in flight are computed once; whoever computes may leave."""
    with live([own], {"m": Gated}) as server, ThreadPoolExecutor(16) as clients:
        [hosted] = server.service.models.loaded()
        gated = hosted.pipeline.model
        assert isinstance(gated, Gated)
        gated.gate.clear()
        leader = leaving(server, "the bell")
        until(lambda: server.service.dispatcher.look()["in_flight"] == 1)
        body = {"inputs": "the bell", "parameters": {"top_k": None}}
        others = [clients.submit(ask, server.url, PATH, body) for _ in range(8)]
        until(lambda: server.service.cache.stats.joined == 8)
        leader.close()
        until(lambda: len(server.ended) == 1)
        gated.gate.set()
        values = [one.result().value["outputs"] for one in others]
        assert values == [pipeline("text-classification", FakeModel())("the bell", top_k=None)] * 8
        until(lambda: len(server.ended) == 9)
        assert server.service.cache.stats.in_flight == 0
        rows = [np.asarray(batch.ids) for batch in gated.batches if BELL in batch.ids]
        assert 1 <= len(rows) <= 2
