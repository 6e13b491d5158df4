"""What happened, counted as it happens: a few microseconds a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from threading import Lock

from limbeck.serve.metrics.catalogue import BY_NAME, OUTCOMES, Outcome
from limbeck.serve.metrics.exposition import Exposition
from limbeck.serve.metrics.series import Histogram, Saturation
from limbeck.serve.metrics.state import ServiceState
from limbeck.serve.request import Timing

# Beyond these many, names share the empty label: series are memory, here and in Prometheus.
MAX_MODELS = 200
_DOORSTEP = frozenset({"overloaded", "rate_limited"})
_KNOWN_OUTCOMES = frozenset(OUTCOMES)
_SATURATION_WINDOW_S = 10.0
_NOBODY = ("", "")


def _histogram(name: str) -> Histogram:
    return Histogram(BY_NAME[name].buckets)


class _Model:
    """The series of one version of one model."""

    __slots__ = (
        *("tokens", "rows", "cached", "total", "tokenize", "queue", "inference"),
        *("batch_tokens", "batch_rows", "batch_s", "batch_speed"),
    )

    def __init__(self) -> None:
        self.tokens = self.rows = self.cached = 0
        self.total = _histogram("limbeck_request_duration_seconds")
        self.tokenize = _histogram("limbeck_tokenize_duration_seconds")
        self.queue = _histogram("limbeck_queue_duration_seconds")
        self.inference = _histogram("limbeck_inference_duration_seconds")
        self.batch_tokens = _histogram("limbeck_batch_tokens")
        self.batch_rows = _histogram("limbeck_batch_rows")
        self.batch_s = _histogram("limbeck_batch_duration_seconds")
        self.batch_speed = _histogram("limbeck_batch_tokens_per_second")


class Metrics:
    """Counts for one process. Safe from any thread; each scrape is one consistent moment.

    Who has a request calls `received` once, and later `request` once. The attributes below are
    asked at each scrape, where they are set:

    service: how the service stands. connections: open ones. dropped_log_lines: since the start.
    own_bytes, soft_limit_bytes: of the memory guard: what it looks at, and where it begins.
    """

    def __init__(
        self,
        models: Iterable[tuple[str, str]] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """models: names and versions that may become labels; `allow` adds more."""
        self.service: Callable[[], ServiceState] | None = None
        self.connections: Callable[[], int] | None = None
        self.dropped_log_lines: Callable[[], int] | None = None
        self.own_bytes: Callable[[], int] | None = None
        self.soft_limit_bytes: int = 0
        self.lock = Lock()
        self.received_count = 0
        self.ended: dict[tuple[str, str, str, str], int] = {}
        self.ended_count = 0
        self.models: dict[tuple[str, str], _Model] = {_NOBODY: _Model()}
        self.refusals = {name: _histogram("limbeck_refusal_duration_seconds") for name in _DOORSTEP}
        self.reloads = {"ok": 0, "failed": 0}
        self.guard_actions: dict[str, int] = {"shrink_cache": 0, "trim": 0, "reload": 0}
        self._clock = clock
        self._saturation = Saturation(window_s=_SATURATION_WINDOW_S, now_s=clock())
        for name, version in models:
            self.allow(name, version)
        self._exposition = Exposition(self)

    def allow(self, model: str, version: str) -> None:
        """Let the name be a label. What users send never is, unless it is the name of a model."""
        with self.lock:
            if len(self.models) <= MAX_MODELS:
                self.models.setdefault((model, version), _Model())

    def received(self) -> None:
        """The head of a request was read."""
        with self.lock:
            self.received_count += 1

    def request(
        self,
        *,
        protocol: str,
        outcome: Outcome,
        model: str | None = None,
        version: str | None = None,
        timing: Timing | None = None,
        tokens: int = 0,
        rows: int = 0,
        cached: int = 0,
    ) -> None:
        """A request that was received has ended.

        protocol: of the route, "" where there is none. model, version: that answered; None where it
        did not come so far. timing: of an answer, or of a refusal where total_s is all there is.
        """
        assert outcome in _KNOWN_OUTCOMES, outcome
        named = (model or "", version or "")
        with self.lock:
            series = self.models.get(named)
            if series is None:
                named, series = _NOBODY, self.models[_NOBODY]
            key = (protocol, *named, outcome)
            self.ended[key] = self.ended.get(key, 0) + 1
            self.ended_count += 1
            if outcome == "ok":
                series.tokens += tokens
                series.rows += rows
                series.cached += cached
                # What has no model, such as a probe, would hide how long answers take.
                if timing is not None and series is not self.models[_NOBODY]:
                    series.total.observe(timing.total_s)
                    series.tokenize.observe(timing.tokenize_s)
                    series.queue.observe(timing.queue_s)
                    series.inference.observe(timing.inference_s)
            elif timing is not None and outcome in _DOORSTEP:
                self.refusals[outcome].observe(timing.total_s)

    def batch(self, *, model: str, version: str, tokens: int, rows: int, seconds: float) -> None:
        """A worker computed a batch, or failed to, in that time."""
        with self.lock:
            series = self.models.get((model, version)) or self.models[_NOBODY]
            series.batch_tokens.observe(tokens)
            series.batch_rows.observe(rows)
            series.batch_s.observe(seconds)
            if seconds > 0:
                series.batch_speed.observe(tokens / seconds)

    def reload(self, ok: bool) -> None:
        """Models were loaded anew, or were not and the old ones stay."""
        with self.lock:
            self.reloads["ok" if ok else "failed"] += 1

    def guard(self, action: str) -> None:
        """The memory guard did something: shrink_cache, trim or reload."""
        with self.lock:
            self.guard_actions[action] += 1

    def saturation(self, busy_s: float, workers: int) -> float:
        """Busy share of the workers, 0 to 1, since an earlier call, ten seconds ago or more. Called
        with the lock held.
        """
        return self._saturation.ratio(busy_s, workers, self._clock())

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The text that Prometheus reads, and its content type. accept: the header's value."""
        return self._exposition.write(self._exposition.families(), accept)

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """The same, from an event loop: all is read at once in the loop, and written down in a
        thread, for with many models that takes longer than others should wait.
        """
        families = self._exposition.families()
        return await asyncio.to_thread(self._exposition.write, families, accept)
