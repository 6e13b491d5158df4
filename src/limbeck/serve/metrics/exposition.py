"""The counts in the words of Prometheus, through the library's own collector interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

import limbeck
from limbeck.serve.metrics.catalogue import BY_NAME
from limbeck.serve.metrics.series import Histogram
from limbeck.serve.metrics.state import CacheState, ModelState, ServiceState

if TYPE_CHECKING:
    from limbeck.serve.metrics.recorder import Metrics

_STATES = ("closed", "half_open", "open")
# Labels, and a value.
_Samples = Sequence[tuple[tuple[str, ...], float]]


def _plain(name: str, samples: _Samples) -> Metric:
    metric = BY_NAME[name]
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = kind(name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _one(name: str, value: float) -> Metric:
    return _plain(name, [((), value)])


def _buckets(name: str, samples: Sequence[tuple[tuple[str, ...], Histogram]]) -> Metric:
    metric = BY_NAME[name]
    family = HistogramMetricFamily(name, metric.help, labels=metric.labels)
    for labels, histogram in samples:
        if not histogram.used:
            # Most models of a long list answer nothing; twenty lines each would be for nothing.
            continue
        buckets, total = histogram.cumulative()
        family.add_metric(labels, buckets, total)
    return family


def _queue(state: ServiceState) -> Iterator[Metric]:
    yield _one("limbeck_queue_tokens", state.queue_tokens)
    yield _one("limbeck_queue_limit_tokens", state.queue_limit_tokens)
    yield _one("limbeck_queue_requests", state.queue_requests)
    yield _one("limbeck_queue_oldest_wait_seconds", state.oldest_wait_s)
    yield _one("limbeck_predicted_wait_seconds", state.predicted_wait_s)
    yield _one("limbeck_engine_workers", state.workers)
    yield _one("limbeck_ready", state.ready)
    yield _one("limbeck_draining", state.draining)


def _cache(state: CacheState) -> Iterator[Metric]:
    yield _one("limbeck_cache_size_bytes", state.size_bytes)
    yield _one("limbeck_cache_limit_bytes", state.limit_bytes)
    yield _one("limbeck_cache_entries", state.entries)
    yield _one("limbeck_cache_hits_total", state.hits)
    yield _one("limbeck_cache_misses_total", state.misses)
    yield _one("limbeck_cache_evictions_total", state.evictions)


def _models(models: Sequence[ModelState]) -> Iterator[Metric]:
    loaded = [model for model in models if model.loaded]
    yield _plain(
        "limbeck_model_info",
        [
            ((model.name, model.version, model.digest, model.precision, model.runtime), 1)
            for model in loaded
        ],
    )
    named = [((model.name, model.version), model) for model in models]
    yield _plain("limbeck_model_loaded", [(key, model.loaded) for key, model in named])
    yield _plain("limbeck_model_size_bytes", [(key, model.size_bytes) for key, model in named])
    yield _plain("limbeck_model_in_flight", [(key, model.in_flight) for key, model in named])
    yield _plain(
        "limbeck_model_deadline_seconds",
        [(key, model.deadline_s) for key, model in named if model.deadline_s is not None],
    )
    yield _plain(
        "limbeck_breaker_state",
        [
            ((*key, state), state == model.breaker)
            for key, model in named
            if model.breaker is not None
            for state in _STATES
        ],
    )


class Exposition:
    """Reads `Metrics`, in a registry of its own and never the library's global one."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._process = ProcessCollector(registry=None)

    def families(self) -> list[Metric]:
        """All of one moment."""
        return [*self._collect(), *self._process.collect()]

    def write(self, families: list[Metric], accept: str) -> tuple[bytes, str]:
        """Needs no lock and no loop. accept: the header's value."""
        encoder, content_type = choose_encoder(accept)
        registry = CollectorRegistry()
        registry.register(_Read(families))
        return encoder(registry), content_type

    def _collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        state = metrics.service() if metrics.service is not None else None
        if state is not None:
            for model in state.models:
                metrics.allow(model.name, model.version)
        with metrics.lock:
            yield from list(self._counted(state))
        if state is not None:
            yield from _queue(state)
            if state.cache is not None:
                yield from _cache(state.cache)
            yield from _models(state.models)
        if metrics.connections is not None:
            yield _one("limbeck_connections", metrics.connections())
        dropped = metrics.dropped_log_lines
        yield _one("limbeck_log_lines_dropped_total", dropped() if dropped is not None else 0)
        if metrics.own_bytes is not None:
            yield _one("limbeck_memory_own_bytes", metrics.own_bytes())
        yield _one("limbeck_memory_soft_limit_bytes", metrics.soft_limit_bytes)
        yield _plain("limbeck_build_info", [((limbeck.__version__,), 1)])

    def _counted(self, state: ServiceState | None) -> Iterator[Metric]:
        """What only makes sense as of one moment; the lock is held."""
        metrics = self._metrics
        yield _one("limbeck_requests_received_total", metrics.received_count)
        yield _plain("limbeck_requests_total", list(metrics.ended.items()))
        yield _one("limbeck_requests_in_flight", metrics.received_count - metrics.ended_count)
        models = [(key, one) for key, one in metrics.models.items() if key != ("", "")]
        yield _plain("limbeck_tokens_total", [(key, one.tokens) for key, one in models])
        yield _plain("limbeck_rows_total", [(key, one.rows) for key, one in models])
        yield _plain("limbeck_rows_cached_total", [(key, one.cached) for key, one in models])
        for name, histograms in (
            ("limbeck_request_duration_seconds", [(key, one.total) for key, one in models]),
            ("limbeck_tokenize_duration_seconds", [(key, one.tokenize) for key, one in models]),
            ("limbeck_queue_duration_seconds", [(key, one.queue) for key, one in models]),
            ("limbeck_inference_duration_seconds", [(key, one.inference) for key, one in models]),
            ("limbeck_batch_tokens", [(key, one.batch_tokens) for key, one in models]),
            ("limbeck_batch_rows", [(key, one.batch_rows) for key, one in models]),
            ("limbeck_batch_duration_seconds", [(key, one.batch_s) for key, one in models]),
            ("limbeck_batch_tokens_per_second", [(key, one.batch_speed) for key, one in models]),
        ):
            yield _buckets(name, histograms)
        refusals = [((outcome,), one) for outcome, one in sorted(metrics.refusals.items())]
        yield _buckets("limbeck_refusal_duration_seconds", refusals)
        results = [((result,), count) for result, count in metrics.reloads.items()]
        yield _plain("limbeck_reloads_total", results)
        actions = [((action,), count) for action, count in metrics.guard_actions.items()]
        yield _plain("limbeck_memory_guard_actions_total", actions)
        if state is not None:
            yield _one("limbeck_engine_busy_seconds_total", state.busy_s)
            saturation = metrics.saturation(state.busy_s, state.workers)
            yield _one("limbeck_saturation_ratio", saturation)


class _Read(Collector):
    """What has been read already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def describe(self) -> list[Metric]:
        """Nothing: there is no other collector whose names could clash."""
        return []

    def collect(self) -> list[Metric]:
        return self._families
