"""How much of another model's metric a model has, as a share with its interval."""

from __future__ import annotations

from typing import Any

from limbeck.tasks import bootstrap
from limbeck.tasks.bootstrap import Interval, Metric


def kept_of(metric: Metric, reference: Metric, rows: int, *, resamples: int = 1000) -> Interval:
    """Per cent of the reference's metric that the other one has, both on the same draws of rows.

    NaN where the reference has nothing to keep: a correlation of 0 or less.
    """

    def share(at: Any) -> float:
        known = reference(at)
        return 100 * metric(at) / known if known > 0 else float("nan")

    return bootstrap.interval(share, rows, resamples=resamples)
