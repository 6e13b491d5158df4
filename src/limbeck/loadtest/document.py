"""A result as one JSON object: the row that a script reads."""

from __future__ import annotations

import dataclasses
import datetime
import math
from typing import Any

from limbeck.loadtest.capacity import RateFound
from limbeck.loadtest.result import PERCENTS, Result, percentile
from limbeck.loadtest.scaling import Advice
from limbeck.measure import machine

SCHEMA = 1


def of_result(result: Result) -> dict[str, Any]:
    """Everything but the samples. Figures that do not exist are null."""
    plan, counts = result.plan, result.counts
    found = {
        "schema": SCHEMA,
        "kind": "run",
        **_where(),
        "url": plan.target.url,
        "arrivals": type(plan.arrivals).__name__.lower(),
        "planned_rate": plan.arrivals.rate,
        "seed": plan.seed,
        "duration_s": plan.duration_s,
        "warmup_s": plan.warmup_s,
        "elapsed_s": result.elapsed_s,
        "timeout_s": plan.patience_s,
        "processes": plan.processes,
        "loop": result.loop,
        "distinct_requests": len(plan.target.requests),
        "planned": result.planned,
        "counts": dataclasses.asdict(counts),
        "groups": {name: dataclasses.asdict(each) for name, each in result.by_group.items()},
        "kinds": dict(result.by_kind),
        "examples": dict(result.samples.examples),
        "retry_after": result.samples.retry_after,
        "rate": result.rate,
        "goodput": result.goodput,
        "rows_in_time": result.rows_in_time,
        "share_in_time": counts.share_in_time,
        "latency_ms": _percentiles(result.answered_ms),
        "refused_ms": _percentiles(result.refused_ms),
        "lateness_ms": _percentiles(result.lateness_ms),
        "server_ms": {name: _percentiles(values) for name, values in result.phases.items()},
        "interrupted": result.interrupted,
        "stopped": result.stopped,
        "void": list(result.void),
    }
    return _finite(found)  # type: ignore[no-any-return]


def of_rate(found: RateFound, advice: Advice) -> dict[str, Any]:
    """A search, with a short line for each of its probes."""
    document = {
        "schema": SCHEMA,
        "kind": "rate",
        **_where(),
        "url": found.probes[0].result.plan.target.url if found.probes else "",
        "goal": found.goal,
        "tolerance": found.tolerance,
        "rate": found.rate,
        "low": found.low,
        "high": found.high,
        "rates": list(found.rates),
        "seeds": list(found.seeds),
        "limited": found.limited,
        "interrupted": found.interrupted,
        "probes": [
            {
                "rate": probe.rate,
                "seed": probe.seed,
                "met": probe.met,
                "share_in_time": probe.result.counts.share_in_time,
                "goodput": probe.result.goodput,
                "p99_ms": probe.result.latency_ms(99),
                "lateness_p99_ms": percentile(probe.result.lateness_ms, 99),
                "stopped": probe.result.stopped,
                "void": list(probe.result.void),
            }
            for probe in found.probes
        ],
        "knee": None if found.knee is None else of_result(found.knee),
        "scaling": of_advice(advice),
    }
    return _finite(document)  # type: ignore[no-any-return]


def of_advice(advice: Advice) -> dict[str, Any]:
    """What autoscaling should watch."""
    watch = advice.watch
    return {
        "capacity": advice.capacity,
        "utilisation": advice.utilisation,
        "target_rate": advice.target_rate,
        "peak": advice.peak,
        "replicas": advice.replicas,
        "gauges": {name: dataclasses.asdict(gauge) for name, gauge in advice.gauges.items()},
        "watch": None if watch is None else {"gauge": watch[0], "target": watch[1]},
    }


def _where() -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"date": now, "machine": dataclasses.asdict(machine())}


def _percentiles(ascending: Any) -> dict[str, Any] | None:
    if not ascending.size:
        return None
    named = {f"p{percent:g}": percentile(ascending, percent) for percent in PERCENTS}
    return {"count": int(ascending.size), **named, "max": float(ascending[-1])}


def _finite(value: Any) -> Any:
    """JSON has no NaN: what does not exist is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
