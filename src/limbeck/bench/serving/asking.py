"""How a running server is loaded: its requests, and a rest until it is idle before each run."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from limbeck import loadtest
from limbeck.bench.serving import server
from limbeck.bench.serving.contestants import READERS, Contestant, Dialect, question
from limbeck.bench.serving.files import MODEL_NAME
from limbeck.errors import EngineError
from limbeck.loadtest import UNIQUE

_SAMPLE = f"{UNIQUE} a quiet flat near the station"
_IDLE_TRIES = 5
# What is answered in so many times the longest that an idle server took, and this much more, met
# nobody.
_IDLE_RATIO, _IDLE_MORE_S = 2.0, 0.01
# A server that was asked for too much works it off; not for longer than this.
_SETTLE_S = 30.0


def _is_answer(dialect: Dialect, body: bytes) -> bool:
    try:
        if dialect == "limbeck":
            return 0 <= float(json.loads(body)["outputs"]["score"]) <= 1
        return len(READERS[dialect](body)) > 1
    except (ValueError, TypeError, KeyError, IndexError):
        return False


@dataclass(frozen=True)
class _Check:
    dialect: Dialect

    def __call__(self, body: bytes) -> bool:
        return _is_answer(self.dialect, body)


def request(dialect: Dialect, text: str, deadline_ms: float) -> loadtest.Request:
    """One text in a dialect. Only limbeck is told the deadline: the others know of none."""
    if dialect == "limbeck":
        path = f"/v1/models/{MODEL_NAME}/predict"
        body = json.dumps({"inputs": text, "timeout_ms": deadline_ms}).encode()
    else:
        asked = question(dialect, text)
        path, body = asked.path, asked.body
    return loadtest.Request(path=path, body=body, deadline_ms=deadline_ms, check=_Check(dialect))


class Asker:
    """A running server under load."""

    def __init__(self, contestant: Contestant, running: server.Running) -> None:
        self._dialect = contestant.dialect
        self._running = running
        self._asked = 0
        self._idle_s = self._idle()

    def _once(self) -> float | None:
        """Seconds until one text is answered; None without an answer of status 200."""
        self._asked += 1
        text = _SAMPLE.replace(UNIQUE, f"{self._asked:016x}")
        asked = question(self._dialect, text)
        began = time.monotonic()
        try:
            status, _, _ = server.ask(
                self._running.port, "POST", asked.path, asked.body, timeout_s=_SETTLE_S
            )
        except (OSError, http.client.HTTPException):
            return None
        return time.monotonic() - began if status == 200 else None

    def _idle(self) -> float:
        found = [seconds for _ in range(_IDLE_TRIES) if (seconds := self._once()) is not None]
        if not found:
            raise EngineError(f"no answer on {self._running.url}; its log is {self._running.log}")
        return max(found)

    def settle(self) -> None:
        """Wait until the server is as fast as it was before any load.

        Raises:
            EngineError: it is not even after _SETTLE_S.
        """
        deadline = time.monotonic() + _SETTLE_S
        while time.monotonic() < deadline:
            seconds = self._once()
            if seconds is not None and seconds < _IDLE_RATIO * self._idle_s + _IDLE_MORE_S:
                return
            time.sleep(0.05)
        raise EngineError(
            f"the server does not recover from its load in {_SETTLE_S:.0f} s; "
            f"its log is {self._running.log}"
        )

    def run(self, plan: loadtest.Plan) -> loadtest.Result:
        """`loadtest.run` on an idle server.

        Raises:
            KeyboardInterrupt: it was ended by hand, which ends the whole benchmark.
            EngineError, TargetError: the server does not come to rest, or is gone.
        """
        self.settle()
        result = loadtest.run(plan)
        if result.interrupted:
            raise KeyboardInterrupt
        return result

    def plan(
        self,
        texts: Sequence[str],
        *,
        rate: float,
        deadline_ms: float,
        duration_s: float,
        warmup_s: float,
    ) -> loadtest.Plan:
        """Those texts in random order, one a request."""
        requests = [request(self._dialect, text, deadline_ms) for text in texts]
        return loadtest.Plan(
            target=loadtest.Target(url=self._running.url, requests=requests),
            arrivals=loadtest.Poisson(rate=rate),
            duration_s=duration_s,
            warmup_s=warmup_s,
        )
