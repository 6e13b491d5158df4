"""Results -> the sections of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from limbeck.loadtest.capacity import RateFound
from limbeck.loadtest.outcomes import Outcome
from limbeck.loadtest.plan import LATENESS_LIMIT_MS
from limbeck.loadtest.result import PERCENTS, Result, percentile
from limbeck.loadtest.scaling import Advice
from limbeck.report import Lines, Section, Series, Table, Text

_MOST_POINTS = 120
_OUTCOMES = (
    ("in time", Outcome.IN_TIME),
    ("late", Outcome.LATE),
    ("refused", Outcome.REFUSED),
    ("timed out", Outcome.TIMED_OUT),
    ("errors", Outcome.ERROR),
)


def of_result(result: Result) -> list[Section]:
    """One run, whole."""
    sections: list[Section] = []
    if result.void:
        sections.append(Text(title="This run is void", paragraphs=result.void))
    sections.append(_summary(result))
    sections.append(_outcomes(result))
    if result.answered_ms.size:
        sections.append(percentile_curve({"answers": result.answered_ms}))
    sections.append(_over_time(result))
    if result.phases:
        sections.append(_phases(result))
    sections.append(_lateness(result))
    return sections


def heading(title: str) -> Section:
    """A title of its own, before the sections of one of several runs."""
    return Text(title=title, paragraphs=())


def of_curve(results: Sequence[Result]) -> list[Section]:
    """Several rates side by side, ascending."""
    ordered = sorted(results, key=lambda result: result.plan.arrivals.rate)
    rows = [
        [
            result.plan.arrivals.rate,
            result.goodput,
            100 * result.counts.share_in_time,
            *(result.latency_ms(percent) for percent in (50, 90, 99)),
            percentile(result.lateness_ms, 99),
            "void" if result.void else "",
        ]
        for result in ordered
    ]
    good = [result for result in ordered if not result.void]
    sections: list[Section] = [
        Table(
            title="Rates",
            columns=(
                "planned, 1/s",
                "in time, 1/s",
                "in time, %",
                "p50, ms",
                "p90, ms",
                "p99, ms",
                "generator late p99, ms",
                "",
            ),
            rows=rows,
            note="Latencies of valid answers, from the scheduled time.",
        )
    ]
    if not good:
        return sections
    latencies = [
        Series(
            name=f"p{percent}",
            points=[(r.plan.arrivals.rate, r.latency_ms(percent)) for r in good],
        )
        for percent in (50, 90, 99)
    ]
    goodput = Series(
        name="answered in time", points=[(r.plan.arrivals.rate, r.goodput) for r in good]
    )
    asked = Series(name="sent", points=[(r.plan.arrivals.rate, r.rate) for r in good])
    sections.append(
        Lines(
            title="Latency against rate",
            x_label="requests a second",
            y_label="ms",
            series=latencies,
            y_from_zero=True,
            note="Void runs are left out.",
        )
    )
    sections.append(
        Lines(
            title="Goodput against rate",
            x_label="requests a second",
            y_label="answers in time a second",
            series=[goodput, asked],
            y_from_zero=True,
        )
    )
    return sections


def of_rate(found: RateFound, advice: Advice) -> list[Section]:
    """A search for the largest rate: the figure, the advice, the probes, the run at the knee."""
    paragraphs = [
        f"{found.goal:.2%} of the requests were answered in time up to {found.rate:.4g} requests a "
        f"second: the median over {len(found.rates)} seeds, {found.low:.4g} to {found.high:.4g}, "
        f"each to within {found.tolerance:.0%}."
    ]
    if found.limited:
        paragraphs.append(
            "At least that: the search ended where the generator could send no faster, or at the "
            "highest rate that it was allowed."
        )
    if found.interrupted:
        paragraphs.append("The search was interrupted: seeds that were not finished are left out.")
    sections: list[Section] = [
        Text(title="The largest rate in time", paragraphs=paragraphs),
        *of_advice(advice),
        Table(
            title="Probes",
            columns=("seed", "rate, 1/s", "in time, %", "p99, ms", "generator late p99, ms", ""),
            rows=[
                [
                    probe.seed,
                    probe.rate,
                    100 * probe.result.counts.share_in_time,
                    probe.result.latency_ms(99),
                    percentile(probe.result.lateness_ms, 99),
                    _verdict(probe.met, probe.result),
                ]
                for probe in found.probes
            ],
            note="A probe that failed ends as soon as that is certain. Void runs count as neither.",
        ),
    ]
    if found.knee is not None:
        title = f"At {found.knee.plan.arrivals.rate:.4g} requests a second"
        sections.append(Text(title=title, paragraphs=["The highest rate that was met."]))
        sections += of_result(found.knee)
    return sections


def of_advice(advice: Advice) -> list[Section]:
    """What autoscaling should watch."""
    rows: list[list[str | float]] = [
        ["capacity of a replica", advice.capacity, "requests a second in time, measured"],
        ["use of it", 100 * advice.utilisation, "%; the rest is for bursts and lost replicas"],
        ["rate for each replica", advice.target_rate, "requests a second"],
    ]
    if advice.replicas is not None and advice.peak is not None:
        rows.append(["replicas", advice.replicas, f"for {advice.peak:g} requests a second"])
    for name, gauge in sorted(advice.gauges.items()):
        said = f"mean at capacity, of {gauge.readings} readings; highest {gauge.highest:.4g}"
        rows.append([name, gauge.mean, said])
    watch = advice.watch
    if watch is not None:
        rows.append([f"scale on {watch[0]}", watch[1], "target: its mean at capacity x use"])
    if watch is None:
        note = (
            "The server showed neither its saturation nor its queue in /metrics (or "
            "prometheus-client is not installed): scale on requests a second."
        )
    else:
        note = (
            "Scale on how busy the engine is, or on queued tokens, rather than on CPU: a server "
            "that waits for a batch and one that is full can look alike there."
        )
    return [
        Table(
            title="What autoscaling should watch",
            columns=("", "figure", "what it is"),
            rows=rows,
            note=note,
        )
    ]


def percentile_curve(named: dict[str, npt.NDArray[np.float32]]) -> Lines:
    """Latency by how rare it is, on a scale that shows the tail (as HdrHistogram plots it)."""
    series = []
    for name, ascending in named.items():
        rarest = max(float(ascending.size), 2.0)
        rarity = np.geomspace(1.0, rarest, 60)
        points = [
            (float(one_in), percentile(ascending, 100 * (1 - 1 / float(one_in))))
            for one_in in rarity
        ]
        series.append(Series(name=name, points=points))
    return Lines(
        title="Latency by percentile",
        x_label="one request in so many is slower (10: p90, 100: p99, 1,000: p99.9)",
        y_label="ms",
        series=series,
        log_x=True,
        y_from_zero=True,
        note="From the scheduled time to the last byte; every sample counts, none is modelled.",
    )


def _verdict(met: bool, result: Result) -> str:
    if result.void:
        return "void"
    if result.interrupted:
        return "interrupted"
    return "met" if met else "failed"


def _summary(result: Result) -> Table:
    rows: list[list[str | float]] = [
        ["planned rate, 1/s", result.plan.arrivals.rate],
        ["sent, 1/s", result.rate],
        ["answered in time, 1/s", result.goodput],
        ["answered in time, %", 100 * result.counts.share_in_time],
        ["texts in time", result.rows_in_time],
    ]
    rows += [[f"latency p{percent:g}, ms", result.latency_ms(percent)] for percent in PERCENTS]
    rows += [
        ["latency max, ms", result.latency_ms(100)],
        ["refusals p50, ms", percentile(result.refused_ms, 50)],
        ["refusals p99, ms", percentile(result.refused_ms, 99)],
    ]
    return Table(
        title="Figures",
        columns=("", "value"),
        rows=rows,
        note=f"{result.elapsed_s:.4g} s after {result.plan.warmup_s:g} s of warming up, seed "
        f"{result.plan.seed}, {result.plan.processes} process(es) on {result.loop}.",
    )


def _outcomes(result: Result) -> Table:
    counts = result.counts
    rows: list[list[str | float]] = [
        ["in time", counts.in_time, ""],
        ["late", counts.late, ""],
        ["refused", counts.refused, f"{result.samples.retry_after} with Retry-After"],
        ["timed out", counts.timed_out, ""],
        ["errors", counts.errors, ""],
        ["unfinished", counts.unfinished, "cut off"],
        ["sent", counts.sent, "the sum"],
    ]
    for name, count in result.by_kind.items():
        rows.append([f"of these: {name}", count, result.samples.examples.get(name, "")])
    for name, each in result.by_group.items():
        rows.append([f"{name}: sent", each.sent, f"{each.share_in_time:.2%} in time"])
    return Table(title="Outcomes", columns=("", "requests", ""), rows=rows)


def _seconds(result: Result) -> tuple[npt.NDArray[np.int64], float, int]:
    """Which slice of time each sample is in; a slice's seconds; how many there are."""
    span = max(result.elapsed_s, 1e-3)
    width = max(1.0, math.ceil(span / _MOST_POINTS)) if span >= 5 else span / 20
    count = max(1, math.ceil(span / width - 1e-9))
    since = result.samples.scheduled_s - result.plan.warmup_s
    return np.clip((since / width).astype(np.int64), 0, count - 1), width, count


def _over_time(result: Result) -> Lines:
    where, width, count = _seconds(result)
    outcome = result.samples.outcome
    series = []
    for name, wanted in _OUTCOMES:
        found = np.bincount(where[outcome == wanted], minlength=count)
        if found.any():
            points = [(n * width, float(each) / width) for n, each in enumerate(found)]
            series.append(Series(name=name, points=points))
    return Lines(
        title="Outcomes over time",
        x_label="seconds, by when requests were scheduled",
        y_label="requests a second",
        series=series,
        y_from_zero=True,
    )


def _phases(result: Result) -> Table:
    return Table(
        title="Where the server says the time went (Server-Timing)",
        columns=("", "answers", *(f"p{percent:g}, ms" for percent in PERCENTS)),
        rows=[
            [name, int(values.size), *(percentile(values, percent) for percent in PERCENTS)]
            for name, values in result.phases.items()
        ],
    )


def _lateness(result: Result) -> Lines:
    where, width, count = _seconds(result)
    sent = result.samples.outcome != Outcome.UNSENT
    worst = np.zeros(count)
    np.maximum.at(worst, where[sent], result.samples.lateness_ms[sent])
    late = result.lateness_ms
    return Lines(
        title="How late the generator was",
        x_label="seconds",
        y_label="latest in each slice, ms",
        series=[Series(name="max", points=[(n * width, float(w)) for n, w in enumerate(worst)])],
        y_from_zero=True,
        note=f"p50 {percentile(late, 50):.3f} ms, p99 {percentile(late, 99):.3f} ms, max "
        f"{percentile(late, 100):.3f} ms. A run above {LATENESS_LIMIT_MS:g} ms at p99 is void. "
        "Latencies count from the schedule, so this is part of them.",
    )
