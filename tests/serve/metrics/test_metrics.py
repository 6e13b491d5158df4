"""Counts: they add up in every scrape, stay bounded, and say what happened."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any, get_args

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from limbeck.serve.metrics import (
    CATALOGUE,
    OUTCOMES,
    CacheState,
    Metrics,
    ModelState,
    ServiceState,
)
from limbeck.serve.refused import Reason
from limbeck.serve.request import Timing


class Clock:
    """Seconds, as told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def scrape(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    body, _ = metrics.exposition()
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return scrape(metrics)[name, frozenset(labels.items())]


def total(samples: dict[Any, float], name: str) -> float:
    return sum(value for (found, _), value in samples.items() if found == name)


def full_state() -> ServiceState:
    return ServiceState(
        ready=True,
        draining=True,
        workers=2,
        queue_tokens=1200,
        busy_s=12.5,
        queue_requests=30,
        oldest_wait_s=0.5,
        queue_limit_tokens=262_144,
        predicted_wait_s=0.25,
        cache=CacheState(size_bytes=5, limit_bytes=10, entries=2, hits=7, misses=8, evictions=1),
        models=(
            ModelState(
                name="a",
                version="1",
                loaded=True,
                digest="d",
                precision="int8",
                runtime="limbeck",
                size_bytes=99,
                in_flight=3,
                deadline_s=0.25,
                breaker="half_open",
            ),
            ModelState(name="b", version="2", loaded=False),
        ),
    )


def full() -> Metrics:
    """With every metric in use."""
    metrics = Metrics([("a", "1"), ("b", "2")])
    metrics.service = full_state
    metrics.connections = lambda: 4
    metrics.dropped_log_lines = lambda: 2
    metrics.own_bytes = lambda: 900
    metrics.soft_limit_bytes = 1000
    metrics.received()
    metrics.request(protocol="own", outcome="ok", model="a", version="1", timing=Timing())
    metrics.batch(model="a", version="1", tokens=3, rows=1, seconds=0.1)
    metrics.reload(False)
    return metrics


def test_arrivals_are_answers_refusals_and_those_on_their_way_in_every_scrape() -> None:
    metrics = Metrics([("a", "1")])
    luck = random.Random(1)
    open_requests = 0
    counts = dict.fromkeys(OUTCOMES, 0)
    for step in range(3000):
        if open_requests and luck.random() < 0.5:
            outcome = luck.choice(OUTCOMES)
            metrics.request(protocol="own", outcome=outcome, model="a", version="1")  # type: ignore[arg-type]
            counts[outcome] += 1
            open_requests -= 1
        else:
            metrics.received()
            open_requests += 1
        if step % 100 == 0:
            samples = scrape(metrics)
            received = total(samples, "limbeck_requests_received_total")
            in_flight = total(samples, "limbeck_requests_in_flight")
            assert in_flight == open_requests
            assert received == total(samples, "limbeck_requests_total") + in_flight
    samples = scrape(metrics)
    for outcome, count in counts.items():
        labels = {"protocol": "own", "model": "a", "version": "1", "outcome": outcome}
        assert samples["limbeck_requests_total", frozenset(labels.items())] == count > 0


def test_a_scrape_amid_traffic_adds_up() -> None:
    metrics = Metrics([("a", "1")])
    stop = threading.Event()

    def traffic() -> None:
        while not stop.is_set():
            metrics.received()
            metrics.request(protocol="own", outcome="ok", model="a", version="1", timing=Timing())

    threads = [threading.Thread(target=traffic) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            samples = scrape(metrics)
            in_flight = total(samples, "limbeck_requests_in_flight")
            ended = total(samples, "limbeck_requests_total")
            assert total(samples, "limbeck_requests_received_total") == ended + in_flight
            assert 0 <= in_flight <= 3
            assert total(samples, "limbeck_request_duration_seconds_count") == ended
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_every_reason_to_refuse_is_an_outcome() -> None:
    assert set(OUTCOMES) == {"ok", "cancelled", *get_args(Reason)}


def test_an_unknown_outcome_is_our_own_bug() -> None:
    with pytest.raises(AssertionError, match="fine"):
        Metrics().request(protocol="own", outcome="fine")  # type: ignore[arg-type]


def test_names_that_users_send_never_become_labels() -> None:
    metrics = Metrics([("a", "1")])
    for position in range(500):
        metrics.received()
        metrics.request(protocol="own", outcome="not_found", model=f"x{position}", version="1")
        metrics.batch(model=f"x{position}", version="9", tokens=1, rows=1, seconds=0.1)
    samples = scrape(metrics)
    assert {dict(labels).get("model") for _, labels in samples} <= {None, "", "a"}
    assert (
        value(
            metrics,
            "limbeck_requests_total",
            protocol="own",
            model="",
            version="",
            outcome="not_found",
        )
        == 500
    )


def test_models_that_come_later_are_labels_up_to_a_bound() -> None:
    metrics = Metrics()
    for position in range(2000):
        metrics.allow(f"m{position}", "1")
    for position in (0, 1999):
        metrics.received()
        metrics.request(protocol="own", outcome="ok", model=f"m{position}", version="1")
    names = {dict(labels).get("model") for _, labels in scrape(metrics)}
    assert "m0" in names
    assert "m1999" not in names
    assert len(names) <= 203


def test_where_the_time_went() -> None:
    metrics = Metrics([("a", "1")])
    timing = Timing(tokenize_s=0.001, queue_s=0.02, inference_s=0.3, total_s=0.3215)
    metrics.received()
    metrics.request(
        protocol="own",
        outcome="ok",
        model="a",
        version="1",
        timing=timing,
        tokens=50,
        rows=3,
        cached=2,
    )
    for part, seconds in (
        ("tokenize", 0.001),
        ("queue", 0.02),
        ("inference", 0.3),
        ("request", 0.3215),
    ):
        name = f"limbeck_{part}_duration_seconds"
        assert value(metrics, f"{name}_sum", model="a", version="1") == seconds
        assert value(metrics, f"{name}_count", model="a", version="1") == 1
    # A bound is inclusive.
    bucket = "limbeck_tokenize_duration_seconds_bucket"
    assert value(metrics, bucket, model="a", version="1", le="0.001") == 1
    bucket = "limbeck_queue_duration_seconds_bucket"
    assert value(metrics, bucket, model="a", version="1", le="0.015") == 0
    assert value(metrics, bucket, model="a", version="1", le="0.025") == 1
    assert value(metrics, bucket, model="a", version="1", le="+Inf") == 1
    assert value(metrics, "limbeck_tokens_total", model="a", version="1") == 50
    assert value(metrics, "limbeck_rows_total", model="a", version="1") == 3
    assert value(metrics, "limbeck_rows_cached_total", model="a", version="1") == 2


def test_refusals_do_not_make_answers_look_fast() -> None:
    metrics = Metrics([("a", "1")])
    for outcome in ("overloaded", "deadline", "failed"):
        metrics.received()
        metrics.request(
            protocol="own", outcome=outcome, model="a", version="1", timing=Timing(total_s=0.0004)
        )  # type: ignore[arg-type]
    assert total(scrape(metrics), "limbeck_request_duration_seconds_count") == 0
    refused = "limbeck_refusal_duration_seconds_bucket"
    assert value(metrics, refused, outcome="overloaded", le="0.00025") == 0
    assert value(metrics, refused, outcome="overloaded", le="0.0005") == 1


def test_batches() -> None:
    metrics = Metrics([("a", "1")])
    metrics.batch(model="a", version="1", tokens=4096, rows=64, seconds=0.5)
    metrics.batch(model="a", version="1", tokens=10, rows=1, seconds=0.0)
    labels = {"model": "a", "version": "1"}
    assert value(metrics, "limbeck_batch_tokens_sum", **labels) == 4106
    assert value(metrics, "limbeck_batch_rows_bucket", le="64.0", **labels) == 2
    assert value(metrics, "limbeck_batch_rows_bucket", le="32.0", **labels) == 1
    assert value(metrics, "limbeck_batch_duration_seconds_sum", **labels) == 0.5
    assert value(metrics, "limbeck_batch_tokens_per_second_sum", **labels) == 8192


def test_saturation_is_the_busy_share_of_the_workers_lately() -> None:
    clock = Clock()
    metrics = Metrics([("a", "1")], clock=clock)
    busy_s = 0.0
    metrics.service = lambda: ServiceState(ready=True, workers=2, busy_s=busy_s)
    for share, expected in ((1.0, 0.5), (0.0, 0.0), (2.0, 1.0)):
        for _ in range(20):
            clock.now_s += 1
            busy_s += share
            found = value(metrics, "limbeck_saturation_ratio")
        assert found == pytest.approx(expected)
    assert value(metrics, "limbeck_engine_busy_seconds_total") == busy_s


def test_who_asks_often_does_not_change_what_others_are_told() -> None:
    clock = Clock()
    metrics = Metrics([("a", "1")], clock=clock)
    busy_s = 0.0
    metrics.service = lambda: ServiceState(ready=True, busy_s=busy_s)
    for _ in range(20):
        clock.now_s += 1
        busy_s += 0.5
        for _ in range(5):
            found = value(metrics, "limbeck_saturation_ratio")
    assert found == pytest.approx(0.5)


def test_what_the_service_says_is_written_down() -> None:
    metrics = full()
    model = {"model": "a", "version": "1"}
    assert value(metrics, "limbeck_queue_tokens") == 1200
    assert value(metrics, "limbeck_queue_requests") == 30
    assert value(metrics, "limbeck_predicted_wait_seconds") == 0.25
    assert value(metrics, "limbeck_draining") == 1
    assert value(metrics, "limbeck_cache_hits_total") == 7
    assert value(metrics, "limbeck_model_in_flight", **model) == 3
    assert value(metrics, "limbeck_breaker_state", state="half_open", **model) == 1
    assert value(metrics, "limbeck_breaker_state", state="open", **model) == 0
    assert value(metrics, "limbeck_model_loaded", model="b", version="2") == 0
    info = {"digest": "d", "precision": "int8", "runtime": "limbeck"}
    assert value(metrics, "limbeck_model_info", **info, **model) == 1
    assert value(metrics, "limbeck_connections") == 4
    assert value(metrics, "limbeck_log_lines_dropped_total") == 2
    assert value(metrics, "limbeck_reloads_total", result="failed") == 1
    assert value(metrics, "process_resident_memory_bytes") > 1 << 20


def test_all_that_is_named_is_written_and_all_that_is_written_is_named() -> None:
    body, content_type = full().exposition()
    assert content_type.startswith("text/plain")
    written = {
        line.split()[2]: line.split()[3]
        for line in body.decode().splitlines()
        if line.startswith("# TYPE ") and not line.startswith("# TYPE process_")
    }
    assert written == {metric.name: metric.kind for metric in CATALOGUE}


def test_names_keep_to_the_conventions() -> None:
    for metric in CATALOGUE:
        assert metric.name.startswith("limbeck_")
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert not {"_ms", "_us", "_mb"} & {metric.name[-3:]}, metric.name
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


def test_from_an_event_loop_the_same() -> None:
    metrics = full()
    metrics.service = None

    def counted(text: bytes) -> list[str]:
        # What the process used and how busy it was differs from one moment to the next.
        lines = text.decode().splitlines()
        return [line for line in lines if "process_" not in line and "saturation" not in line]

    body, content_type = asyncio.run(metrics.scrape())
    assert (counted(body), content_type) == (
        counted(metrics.exposition()[0]),
        metrics.exposition()[1],
    )


def test_openmetrics_where_it_is_asked_for() -> None:
    body, content_type = full().exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_the_global_registry_is_left_alone() -> None:
    before = {family.name for family in REGISTRY.collect()}
    full()
    assert {family.name for family in REGISTRY.collect()} == before
    assert not any(name.startswith("limbeck") for name in before)
