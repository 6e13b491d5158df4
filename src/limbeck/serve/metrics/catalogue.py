"""Every metric: name, kind, labels, meaning. docs/guide/watching.md is generated from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from limbeck.serve.refused import Reason

Outcome = Literal["ok", "cancelled"] | Reason
OUTCOMES: Final[tuple[str, ...]] = ("ok", "cancelled", *get_args(Reason))

Kind = Literal["counter", "gauge", "histogram"]
_MODEL: Final = ("model", "version")

# 1 ms to 10 s, finer where deadlines are usual.
LATENCY_S: Final = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.035, 0.05, 0.075),
    *(0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0),
)
# A refusal is to cost under 1 ms at the median and 5 ms at p99.
REFUSAL_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
TOKENS: Final = tuple(float(2**n) for n in range(3, 16))
ROWS: Final = tuple(float(2**n) for n in range(11))
TOKENS_PER_S: Final = tuple(float(1000 * 2**n) for n in range(12))


@dataclass(frozen=True, slots=True)
class Metric:
    """name: as it is written, so with _total for counters. buckets: upper bounds, inclusive."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "counter", text, labels)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "gauge", text, labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(name, "histogram", text, labels, buckets)


CATALOGUE: Final[tuple[Metric, ...]] = (
    # Requests. received = the sum of requests over all outcomes + in_flight, in every scrape.
    _counter("limbeck_requests_received_total", "Requests whose head was read."),
    _counter(
        "limbeck_requests_total",
        "Requests that ended, by how: ok, cancelled by the client, or why they were refused.",
        "protocol",
        *_MODEL,
        "outcome",
    ),
    _gauge("limbeck_requests_in_flight", "Requests that were received and have not ended."),
    _counter("limbeck_tokens_total", "Tokens of the inputs that were answered.", *_MODEL),
    _counter("limbeck_rows_total", "Inputs that were answered.", *_MODEL),
    _counter("limbeck_rows_cached_total", "Inputs that were answered from the cache.", *_MODEL),
    # Where the time of answered requests went.
    _histogram(
        "limbeck_request_duration_seconds",
        "From a request's head to its answer; answered requests only.",
        LATENCY_S,
        *_MODEL,
    ),
    _histogram("limbeck_tokenize_duration_seconds", "Part: tokenising.", LATENCY_S, *_MODEL),
    _histogram("limbeck_queue_duration_seconds", "Part: waiting.", LATENCY_S, *_MODEL),
    _histogram("limbeck_inference_duration_seconds", "Part: computing.", LATENCY_S, *_MODEL),
    _histogram(
        "limbeck_refusal_duration_seconds",
        "From a request's head to a refusal at the door (overloaded, rate_limited).",
        REFUSAL_S,
        "outcome",
    ),
    # Batches.
    _histogram("limbeck_batch_tokens", "Tokens of a batch.", TOKENS, *_MODEL),
    _histogram("limbeck_batch_rows", "Sequences of a batch.", ROWS, *_MODEL),
    _histogram("limbeck_batch_duration_seconds", "Time to compute a batch.", LATENCY_S, *_MODEL),
    _histogram("limbeck_batch_tokens_per_second", "Speed of a batch.", TOKENS_PER_S, *_MODEL),
    # The queue and the workers.
    _gauge("limbeck_queue_tokens", "Tokens that wait."),
    _gauge("limbeck_queue_limit_tokens", "Tokens that may wait."),
    _gauge("limbeck_queue_requests", "Requests with rows that wait."),
    _gauge("limbeck_queue_oldest_wait_seconds", "How long the oldest of them has waited."),
    _gauge("limbeck_predicted_wait_seconds", "How long what came last of all would wait."),
    _gauge("limbeck_engine_workers", "Batches that can be computed side by side."),
    _counter("limbeck_engine_busy_seconds_total", "Time of workers spent computing, summed."),
    _gauge(
        "limbeck_saturation_ratio",
        "Busy share of the workers, 0 to 1, since the scrape before, at least ten seconds.",
    ),
    # The cache.
    _gauge("limbeck_cache_size_bytes", "Memory of the cached answers."),
    _gauge("limbeck_cache_limit_bytes", "Memory that they may take."),
    _gauge("limbeck_cache_entries", "Cached answers."),
    _counter("limbeck_cache_hits_total", "Rows found in the cache."),
    _counter("limbeck_cache_misses_total", "Rows not found in the cache."),
    _counter("limbeck_cache_evictions_total", "Answers that made room for others."),
    # Models.
    _gauge(
        "limbeck_model_info",
        "1 for each loaded version.",
        *_MODEL,
        "digest",
        "precision",
        "runtime",
    ),
    _gauge("limbeck_model_loaded", "Whether the version is loaded.", *_MODEL),
    _gauge("limbeck_model_size_bytes", "Memory of the version's weights.", *_MODEL),
    _gauge("limbeck_model_in_flight", "Requests on their way through it.", *_MODEL),
    _gauge("limbeck_model_deadline_seconds", "Deadline where a request names none.", *_MODEL),
    _gauge(
        "limbeck_breaker_state",
        "1 for the state that the breaker is in: closed, half_open, open.",
        *_MODEL,
        "state",
    ),
    _counter("limbeck_reloads_total", "Reloads of models, by result: ok, failed.", "result"),
    # The process.
    _gauge("limbeck_ready", "Whether the required models are loaded and warm."),
    _gauge("limbeck_draining", "Whether the server is shutting down."),
    _gauge("limbeck_connections", "Open connections."),
    _counter("limbeck_log_lines_dropped_total", "Log lines dropped, for nobody read them."),
    _gauge("limbeck_memory_own_bytes", "Memory that the guard looks at: without mapped files."),
    _gauge("limbeck_memory_soft_limit_bytes", "Where the memory guard begins; 0 without one."),
    _counter(
        "limbeck_memory_guard_actions_total",
        "What the memory guard did: shrink_cache, trim, reload.",
        "action",
    ),
    _gauge("limbeck_build_info", "1; the version as a label.", "version"),
)

BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}
