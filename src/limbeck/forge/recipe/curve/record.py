"""A curve as rows of measurements, one an artifact."""

from __future__ import annotations

import math
from collections.abc import Mapping

from limbeck import measure
from limbeck.evaluation import Interval
from limbeck.forge.recipe.curve.judging import Curve, Measured

BENCHMARK = "compression"
_PACKAGES = ("limbeck", "torch", "transformers")
Facts = Mapping[str, str | int | float]


def rows(curve: Curve, about: Facts | None = None) -> list[measure.Row]:
    """Rows in milliseconds for the longest text; `extra` has the rest.

    Args:
        about: more about what was asked, such as the data set.
    """
    name = measure.new_run()
    return [_row(one, curve, name, about or {}) for one in curve.measured]


def _row(one: Measured, curve: Curve, run: str, about: Facts) -> measure.Row:
    workload: dict[str, str | int | float] = {
        "batch": 1,
        "tokens": one.speed.tokens,
        "metric": curve.metric,
        "rows": curve.rows,
        "base": one.point.base,
        "layers": one.point.layers,
        "pattern": one.point.pattern or "dense",
        "sparsity": one.point.sparsity,
        "seed": curve.seed,
        "artifact": one.digest,
        **about,
    }
    extra: dict[str, str | int | float] = {
        **_interval("metric", one.value, 100),
        **_interval("teacher", curve.teacher, 100),
        **_interval("drop", one.drop, 100),
        **_interval("kept", one.kept),
        **_interval("rounding", one.rounding, 100),
        "speed": one.speed.faster.median,
        "speed_low": one.speed.faster.low,
        "speed_high": one.speed.faster.high,
        "size_mb": one.size_bytes / 1e6,
        "found_sparsity": one.sparsity,
        "train_minutes": one.seconds / 60,
        "front": int(one in curve.front),
    }
    if one.behind is not None and one.rival is not None:
        extra |= {"rival": one.rival, **_interval("behind", one.behind, 100)}
    for speed in one.speeds[:-1]:
        extra |= {
            f"ms_{speed.tokens}": speed.timing.p50_ms,
            f"ms_{speed.tokens}_low": speed.timing.low_ms,
            f"ms_{speed.tokens}_high": speed.timing.high_ms,
            f"speed_{speed.tokens}": speed.faster.median,
        }
    return measure.Row.timed(
        one.speed.timing,
        run=run,
        benchmark=BENCHMARK,
        subject=one.point.name,
        workload=workload,
        threads=curve.threads,
        isa=curve.isa,
        extra=extra,
        versions=measure.versions(_PACKAGES),
    )


def _interval(name: str, found: Interval, times: float = 1.0) -> dict[str, str | int | float]:
    """Rows hold no NaN: what is undefined is left out."""
    values = {"": found.value, "_low": found.low, "_high": found.high}
    if any(math.isnan(value) for value in values.values()):
        return {}
    return {f"{name}{end}": times * value for end, value in values.items()}
