"""What autoscaling should watch: the measured capacity, how much of it to use, and which gauge."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from limbeck.errors import InputError
from limbeck.loadtest.result import Result


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """A gauge of the server's metrics during a run: summed over its labels at each reading."""

    mean: float
    highest: float
    readings: int


@dataclass(frozen=True, kw_only=True)
class Advice:
    """capacity: requests a second that one server answered in time. gauges: at that rate."""

    capacity: float
    utilisation: float
    peak: float | None = None
    gauges: Mapping[str, Gauge] = field(default_factory=dict)

    @property
    def target_rate(self) -> float:
        """Requests a second that each replica should get."""
        return self.capacity * self.utilisation

    @property
    def replicas(self) -> int | None:
        """For the peak; None where none is named or nothing can be served."""
        if self.peak is None or not self.target_rate:
            return None
        return max(1, math.ceil(self.peak / self.target_rate - 1e-9))

    @property
    def watch(self) -> tuple[str, float] | None:
        """The gauge to scale on and its target: its mean at the capacity, times utilisation.

        A share of busy time grows in proportion to the rate; a queue does not, so it is the second
        choice. None where the server showed neither.
        """
        for wanted in ("saturation", "queue"):
            for name, gauge in sorted(self.gauges.items()):
                if wanted in name:
                    return name, gauge.mean * self.utilisation
        return None


def advise(
    capacity: float, knee: Result | None, *, peak: float | None = None, utilisation: float = 0.7
) -> Advice:
    """Advice from a search (or from a fixed rate that met its goal).

    Raises:
        InputError: a peak or a utilisation out of range.
    """
    if not 0 < utilisation <= 1:
        raise InputError(f"the utilisation must be a share in 0 .. 1, found {utilisation}")
    if peak is not None and not 0 < peak < math.inf:
        raise InputError(f"the peak must be a positive rate, found {peak}")
    gauges = {} if knee is None else read_gauges(knee)
    return Advice(capacity=capacity, utilisation=utilisation, peak=peak, gauges=gauges)


def read_gauges(result: Result) -> dict[str, Gauge]:
    """Saturation and queued tokens while the counted part of a run went on.

    Nothing where the server shows no metrics or prometheus-client is not installed.
    """
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        return {}
    readings: dict[str, list[float]] = {}
    for moment, page in result.samples.metrics:
        if not result.plan.warmup_s <= moment <= result.plan.span_s:
            continue
        sums: dict[str, float] = {}
        try:
            for family in text_string_to_metric_families(page.decode("utf-8", "replace")):
                if not _tells(family.name, family.type):
                    continue
                for sample in family.samples:
                    sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        except ValueError:
            continue  # a page that is no exposition says nothing
        for name, value in sums.items():
            if math.isfinite(value):
                readings.setdefault(name, []).append(value)
    return {
        name: Gauge(mean=sum(values) / len(values), highest=max(values), readings=len(values))
        for name, values in readings.items()
    }


def _tells(name: str, kind: str) -> bool:
    if kind not in ("gauge", "unknown", "untyped") or "limit" in name:
        return False
    return "saturation" in name or ("queue" in name and "tokens" in name)
