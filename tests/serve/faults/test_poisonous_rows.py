"""Rows that a model cannot compute, over HTTP: told in each protocol's own words, and to nobody
else."""

from __future__ import annotations

import http.client
import itertools
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from crowd import Said, ask
from fake_model import FakeModel
from gated_model import Gated
from limbeck.errors import EngineError
from limbeck.serve.protocols import classic, decision, huggingface, oip, openai, own
from limbeck.serve.settings import Settings
from limbeck.spec import Threshold
from live_server import Live, live
from tokenizer_files import raw
from waiting import until

BELL = raw("wordpiece").token_to_id("bell")
PROTOCOLS = [own, classic, decision, huggingface, oip, openai]


class RuntimeOfOthersError(Exception):
    """Of a runtime that has errors of its own kind."""


class Poisoned(Gated):
    """Cannot compute what has a bell in it; says how many rows of others a bell was among."""

    def __init__(self, *args: Any, failure: Exception | None = None, **fields: Any) -> None:
        super().__init__(*args, **fields)
        self.failure = failure
        self.mates = 0

    def forward(self, ids: Any, *args: Any, **named: Any) -> Any:
        answer = super().forward(ids, *args, **named)
        batch = self.batches[-1]
        rows = np.split(batch.ids, batch.cu_seqlens[1:-1])
        poisonous = [BELL in row for row in rows]
        if not any(poisonous):
            return answer
        self.mates += poisonous.count(False)
        if self.failure is not None:
            raise self.failure
        answer = answer.copy()
        answer[poisonous] = np.nan
        return answer


def labels(failure: Exception | None = None) -> Poisoned:
    leak = Threshold(label="leak", value=0.5, false_alarm_rate=0.01)
    return Poisoned(threshold=leak, failure=failure)


def vectors(failure: Exception | None = None) -> Poisoned:
    return Poisoned("sentence-embedding", pooling=("mean",), failure=failure)


def oip_body(text: str) -> Any:
    return {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]}


_numbers = itertools.count()


def transaction(text: str) -> Any:
    # An id of its own each time: the answer to an id that is known would be known too.
    identity = f"t-{next(_numbers)}"
    return {"transactionContext": {"transactionId": identity, "attributes": {"title": text}}}


# Where, and what.
ASKED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "own": ("/v1/models/labels/predict", lambda text: {"inputs": text}),
    "classic": ("/classify", lambda text: {"text": text}),
    "decision": ("/decision", transaction),
    "huggingface": ("/", lambda text: {"inputs": text}),
    "oip": ("/v2/models/labels/infer", oip_body),
    "openai": ("/v1/embeddings", lambda text: {"model": "vectors", "input": text}),
}
# Where each protocol puts the message of an error.
MESSAGE: dict[str, Callable[[Any], str]] = {
    "own": lambda value: value["error"]["message"],
    "classic": lambda value: value["error"]["message"],
    "decision": lambda value: value["error"]["message"],
    "huggingface": lambda value: value["error"],
    "oip": lambda value: value["error"],
    "openai": lambda value: value["error"]["message"],
}
FAILURES: dict[str, tuple[Exception | None, int, str]] = {
    "not-a-number": (None, 500, "no finite numbers"),
    "no-memory": (MemoryError(), 503, "could not compute this"),
    "engine": (EngineError("out of memory"), 503, "out of memory"),
    "another-runtime": (RuntimeOfOthersError("the bell"), 500, "could not compute this"),
}


def serving(failure: Exception | None, **sections: Any) -> Any:
    settings = Settings.model_validate(
        {
            "models": [
                {"name": name, "path": name, "deadline_ms": 60_000}
                for name in ("labels", "vectors")
            ],
            "breaker": {"enabled": False},
            **sections,
        }
    )
    made = {"labels": lambda: labels(failure), "vectors": lambda: vectors(failure)}
    return live(PROTOCOLS, made, settings)


def model(server: Live, name: str) -> Poisoned:
    found: Poisoned = server.do(lambda: server.service.models.ready(name).pipeline.model)
    return found


def held(server: Live) -> float:
    count: float = server.service.dispatcher.look()["held_jobs"]
    return count


@pytest.mark.parametrize("failure", FAILURES)
def test_each_protocol_says_so_and_mates_are_answered(failure: str) -> None:
    error, status, words = FAILURES[failure]
    texts = ["harbour one", "the bell", "a quiet harbour", "opening"]
    with serving(error) as server, ThreadPoolExecutor(64) as clients:
        for protocol, (path, body) in ASKED.items():
            gated = model(server, "vectors" if protocol == "openai" else "labels")
            alone = {
                text: ask(server.url, path, body(f"{protocol} {text}")).value
                for text in texts
                if "bell" not in text
            }
            server.do(lambda: server.service.cache.shrink(0))
            server.do(lambda: server.service.cache.restore())
            before = server.at_rest()
            until(lambda: held(server) == 0)
            gated.gate.clear()
            first = clients.submit(ask, server.url, path, body("opening of the queue"))
            until(lambda: held(server) == 1)
            asked = {
                text: clients.submit(ask, server.url, path, body(f"{protocol} {text}"))
                for text in texts
            }
            until(lambda: held(server) == 1 + len(texts))
            gated.gate.set()
            said: dict[str, Said] = {text: one.result() for text, one in asked.items()}
            assert first.result().status == 200
            for text, got in said.items():
                if "bell" in text:
                    assert got.status == status, (protocol, got)
                    message = MESSAGE[protocol](got.value)
                    assert words in message
                    assert "the bell" not in message
                else:
                    assert got.status == 200, (protocol, got)
                    assert unnamed(got.value) == unnamed(alone[text])
            ended = Counter(one.outcome for one in server.more_ended(before, 1 + len(texts)))
            outcome = "failed" if status == 500 else "unavailable"
            assert ended == {"answered": len(texts), outcome: 1}
            until(lambda: held(server) == 0)
        # A bell has been among others: they were computed anew, without it.
        assert model(server, "labels").mates > 0 < model(server, "vectors").mates


def unnamed(value: Any) -> Any:
    """Without what is another for each request."""
    return {k: v for k, v in value.items() if k != "id"} if isinstance(value, dict) else value


def test_the_breaker_opens_and_the_fallback_answers() -> None:
    settings = Settings.model_validate(
        {
            "models": [
                {"name": "labels", "path": "labels", "fallback": "spare", "deadline_ms": 60_000},
                {"name": "spare", "path": "spare", "deadline_ms": 60_000},
            ],
            "breaker": {"min_requests": 8, "open_s": 2.0, "probes": 1, "window_s": 600},
            "cache": {"size_bytes": 0},
        }
    )
    path, body = ASKED["own"]
    with live(PROTOCOLS, {"labels": labels, "spare": FakeModel}, settings) as server:
        names = []
        for number in range(40):
            said = ask(server.url, path, body(f"the bell {number}"))
            names.append(said.value["model"] if said.status == 200 else said.status)
        # Eight failures, then the spare one, but for the probes that have failed as well.
        assert names[:9] == [500] * 8 + ["spare"]
        assert set(names) == {500, "spare"}
        asked = 0
        while (said := ask(server.url, path, body("harbour"))).value["model"] != "labels":
            asked += 1
            assert said.status == 200
        counts = Counter(one.outcome for one in server.more_ended(0, 41 + asked))
        assert counts["failed"] == names.count(500)
        assert counts["answered"] == names.count("spare") + asked + 1


def test_without_a_fallback_it_says_when_to_come_back() -> None:
    with serving(None, breaker={"min_requests": 8, "open_s": 600, "window_s": 600}) as server:
        path, body = ASKED["own"]
        statuses = [ask(server.url, path, body(f"the bell {n}")) for n in range(12)]
        assert [one.status for one in statuses] == [500] * 8 + [503] * 4
        assert all(1 <= int(one.headers["retry-after"]) <= 600 for one in statuses[8:])
        # The other model is another story; and the process lives on.
        assert ask(server.url, *openai_asked("harbour")).status == 200
        connection = http.client.HTTPConnection(server.address, timeout=60)
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 200
        connection.close()


def openai_asked(text: str) -> tuple[str, Any]:
    path, body = ASKED["openai"]
    return path, json.loads(json.dumps(body(text)))
