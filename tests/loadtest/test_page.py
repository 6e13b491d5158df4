"""The report and the JSON rows have the numbers; the advice follows from them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("httptools")
pytest.importorskip("jinja2")

import simulated_load as simulated
from limbeck.errors import InputError
from limbeck.loadtest import Even, Plan, Request, Result, Target, document, find_rate, page
from limbeck.loadtest.outcomes import (
    NO_ANSWER,
    REFUSED_429,
    UNFINISHED,
    Recorder,
    merge,
)
from limbeck.loadtest.result import percentile
from limbeck.loadtest.scaling import Advice, advise, read_gauges
from limbeck.report import Table, render

PLAN = Plan(
    target=Target(
        url="http://server.example:8080",
        requests=[
            Request(deadline_ms=50, group="50 ms", rows=2),
            Request(deadline_ms=250, group="250 ms", rows=2),
        ],
    ),
    arrivals=Even(rate=100),
    duration_s=10.0,
    warmup_s=1.0,
    in_order=True,
)


def result() -> Result:
    """1000 counted requests of 1, 2 ... 1000 ms, but for six; 800 ms are allowed."""
    latency_ms = np.concatenate([np.full(100, 1e6), np.arange(1.0, 1001.0)])
    made = simulated.result(
        PLAN,
        latency_ms,
        800.0,
        lateness_ms=0.25,
        phases={"queue": np.full(1100, 2.5)},
        metrics=(
            (0.5, b"limbeck_saturation_ratio 0.1\n"),  # while it warmed up
            (2.0, b"# TYPE limbeck_saturation_ratio gauge\nlimbeck_saturation_ratio 0.6\n"),
            (
                3.0,
                b"# TYPE limbeck_saturation_ratio gauge\nlimbeck_saturation_ratio 0.8\n"
                b"# TYPE limbeck_queue_tokens gauge\n"
                b'limbeck_queue_tokens{model="a"} 30\nlimbeck_queue_tokens{model="b"} 12\n'
                b"# TYPE limbeck_queue_limit_tokens gauge\nlimbeck_queue_limit_tokens 9e9\n"
                b"# TYPE limbeck_queue_tokens_total counter\nlimbeck_queue_tokens_total 1\n",
            ),
        ),
    )
    return simulated.with_kinds(
        made, {0: REFUSED_429, 1: REFUSED_429, 2: NO_ANSWER, 3: NO_ANSWER, 4: UNFINISHED}
    )


def test_counts_percentiles_and_groups() -> None:
    made = result()
    counts = made.counts
    assert (counts.sent, counts.in_time, counts.late) == (1000, 795, 200)
    assert (counts.refused, counts.timed_out, counts.errors, counts.unfinished) == (2, 2, 0, 1)
    assert counts.share_in_time == pytest.approx(795 / 999)
    assert made.by_kind == {
        "status 429": 2,
        "no answer within the client's patience": 2,
        "unfinished": 1,
    }
    # 995 valid answers, of 6 .. 1000 ms: the p-th percentile is the ceil(p 995)-th of them.
    assert made.latency_ms(50) == 5 + 498
    assert made.latency_ms(99) == 5 + 986
    assert made.latency_ms(100) == 1000
    assert percentile(np.array([7.0], np.float32), 50) == 7
    assert made.goodput == pytest.approx(79.5)
    assert made.rows_in_time == 2 * 795
    groups = made.by_group
    assert groups["50 ms"].sent == groups["250 ms"].sent == 500
    assert sum(each.in_time for each in groups.values()) == 795
    assert made.void == ()


def test_a_late_generator_voids_a_run() -> None:
    made = result()
    late = made.samples.lateness_ms.copy()
    late[:10] = 50.0
    assert not replace(made, samples=replace(made.samples, lateness_ms=late)).void
    late[:11] = 50.0  # now more than one in a hundred
    void = replace(made, samples=replace(made.samples, lateness_ms=late))
    assert "50.0 ms late at p99" in void.void[0]
    assert not void.meets(0.0)
    assert "This run is void" in render("x", page.of_result(void))


def test_the_page_has_the_figures() -> None:
    text = render("Load test", page.of_result(result()))
    for figure in (
        "79.5",  # goodput
        "79.58",  # share in time, %
        "991",  # p99
        "status 429",
        "50 ms: sent",
        "queue",
        "2.500",
        "Latency by percentile",
        "Outcomes over time",
        "p99 0.250 ms",
    ):
        assert figure in text, figure


def test_the_curve_leaves_void_runs_out_of_its_lines() -> None:
    made = result()
    late = np.full_like(made.samples.lateness_ms, 9.0)
    faster = replace(PLAN, arrivals=Even(rate=200))
    void = replace(made, plan=faster, samples=replace(made.samples, lateness_ms=late))
    sections = page.of_curve([void, made])
    table = sections[0]
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == [100, 200]
    assert [row[-1] for row in table.rows] == ["", "void"]
    points = [series.points for series in sections[1].series]  # type: ignore[union-attr]
    assert points[2] == [(100, 991.0)]
    assert render("x", page.of_curve([void]))


def test_gauges_are_those_of_the_counted_part() -> None:
    gauges = read_gauges(result())
    assert set(gauges) == {"limbeck_saturation_ratio", "limbeck_queue_tokens"}
    saturation = gauges["limbeck_saturation_ratio"]
    assert (saturation.mean, saturation.highest) == (pytest.approx(0.7), 0.8)
    assert saturation.readings == 2
    assert gauges["limbeck_queue_tokens"].mean == 42
    odd = replace(result().samples, metrics=((2.0, b"<html>\xff{"), (3.0, b"a{ 1\n")))
    assert read_gauges(replace(result(), samples=odd)) == {}


def test_advice() -> None:
    advice = advise(120.0, result(), peak=1000, utilisation=0.7)
    assert advice.target_rate == pytest.approx(84)
    assert advice.replicas == 12  # 11.9
    assert advice.watch == ("limbeck_saturation_ratio", pytest.approx(0.49))
    text = render("x", page.of_advice(advice))
    for figure in ("120", "84", "12", "scale on limbeck_saturation_ratio", "0.490"):
        assert figure in text, figure
    assert Advice(capacity=100, utilisation=0.5, peak=100).replicas == 2
    assert Advice(capacity=0, utilisation=0.5, peak=100).replicas is None
    assert "scale on requests a second" in render("x", page.of_advice(advise(10, None)))
    for options in ({"utilisation": 0}, {"utilisation": 1.1}, {"peak": 0}, {"peak": float("nan")}):
        with pytest.raises(InputError):
            advise(10, None, **options)


def test_rows_are_json_with_the_same_figures() -> None:
    made = result()
    row = json.loads(json.dumps(document.of_result(made), allow_nan=False))
    assert row["counts"]["in_time"] == 795
    assert row["latency_ms"]["p99"] == 991
    assert row["latency_ms"]["count"] == 995
    assert row["server_ms"]["queue"]["p50"] == 2.5
    assert row["goodput"] == pytest.approx(79.5)
    assert row["refused_ms"]["count"] == 2
    assert row["machine"]["cores"] >= 1
    nothing = simulated.with_kinds(made, dict.fromkeys(range(1000), NO_ANSWER))
    row = json.loads(json.dumps(document.of_result(nothing), allow_nan=False))
    assert row["latency_ms"] is None


def test_a_search_as_row_and_page() -> None:
    plan = replace(PLAN, warmup_s=0.0)
    found = find_rate(plan, run=simulated.queue(0.01, 0.05), seeds=(0,), tolerance=0.1)
    advice = advise(found.rate, found.knee, peak=500)
    row = json.loads(json.dumps(document.of_rate(found, advice), allow_nan=False))
    assert row["rate"] == found.rate > 0
    assert row["scaling"]["replicas"] == advice.replicas
    assert len(row["probes"]) == len(found.probes)
    assert any(probe["met"] for probe in row["probes"])
    text = render("x", page.of_rate(found, advice))
    assert f"{found.rate:.4g} requests a second" in text
    assert "What autoscaling should watch" in text
    assert "failed" in text


def test_a_run_that_sent_nothing() -> None:
    empty = replace(PLAN, arrivals=Even(rate=1e-3), warmup_s=0.0)
    made = simulated.result(empty, np.array([1.0]), 1.0)
    none = replace(
        made,
        samples=replace(
            made.samples,
            **{
                name: getattr(made.samples, name)[:0]
                for name in ("scheduled_s", "latency_ms", "lateness_ms", "kind", "which")
            },
        ),
    )
    assert none.counts.sent == 0
    assert "nothing was sent" in none.void[0]
    assert not none.meets(0.0)
    assert render("x", page.of_result(none))


def test_parts_are_merged_in_order_of_schedule() -> None:
    parts = []
    for number, kind in enumerate(("status 500", "connection reset")):
        recorder = Recorder(3)
        for place in range(3):
            recorder.kind[place] = recorder.place(kind)
            recorder.latency_ms[place] = 10 * place + number
        if number:
            recorder.timing(1, b"queue;dur=4, bad;dur=x, none")
        recorder.retry_after = number
        times = np.arange(3) * 2.0 + number
        parts.append(recorder.samples(times, np.full(3, number, np.int32)))
    merged = merge(parts)
    assert merged.scheduled_s.tolist() == [0, 1, 2, 3, 4, 5]
    assert merged.latency_ms.tolist() == [0, 1, 10, 11, 20, 21]
    names = [merged.kinds[code] for code in merged.kind]
    assert names == ["status 500", "connection reset"] * 3
    assert merged.which.tolist() == [0, 1] * 3
    assert list(merged.phases) == ["queue"]
    np.testing.assert_array_equal(
        np.isnan(merged.phases["queue"]), [True, True, True, False, True, True]
    )
    assert merged.retry_after == 1


def test_kinds_and_phases_are_bounded() -> None:
    recorder = Recorder(2)
    for number in range(1000):
        assert recorder.place(f"status {number}") < 256
        recorder.timing(0, f"phase{number};dur=1".encode())
    assert len(recorder.kinds) <= 256
    assert recorder.kinds[recorder.place("another")] == "other errors"
    assert len(recorder.phases) <= 12
