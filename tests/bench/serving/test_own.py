"""What limbeck's server alone is asked: refusals by their own time, goodput under three times as
much, and nothing of a run that was ended by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from limbeck import loadtest
from limbeck.bench.serving import asking, own
from limbeck.bench.serving.capacity import CurvePoint
from limbeck.errors import EngineError
from limbeck.loadtest.outcomes import IN_TIME, KINDS, LATE, REFUSED_429, REFUSED_503

NAMES = tuple(name for name, _ in KINDS)
PLAN = loadtest.Plan(
    target=loadtest.Target(url="http://127.0.0.1:1", requests=[loadtest.Request()]),
    arrivals=loadtest.Poisson(rate=1),
    duration_s=2.0,
)


def point(
    kind: Sequence[int], phases: Mapping[str, Sequence[float]], *, interrupted: bool = False
) -> CurvePoint:
    count = len(kind)
    samples = loadtest.Samples(
        scheduled_s=np.linspace(0, 1, count),
        latency_ms=np.ones(count, np.float32),
        lateness_ms=np.zeros(count, np.float32),
        kind=np.array(kind, np.uint8),
        which=np.zeros(count, np.int32),
        kinds=NAMES,
        phases={name: np.array(values, np.float32) for name, values in phases.items()},
    )
    result = loadtest.Result(plan=PLAN, samples=samples, planned=count, interrupted=interrupted)
    return CurvePoint(factor=3.0, offered=3.0, results=[result])


def test_a_refusal_takes_as_long_as_its_parts() -> None:
    kind = [IN_TIME, REFUSED_429, REFUSED_503, REFUSED_429]
    phases = {"total": [9, 0.5, 0.0, 2.0], "tokenize": [1, 0.25, 0.75, 0.5]}
    once = point(kind, phases)
    assert own.refusal_ms(once) == [0.5, 0.75, 2.0]
    none = point([IN_TIME], {}).results
    several = CurvePoint(factor=3.0, offered=3.0, results=[*once.results, *none, *once.results])
    assert own.refusal_ms(several) == [0.5, 0.5, 0.75, 0.75, 2.0, 2.0]


@pytest.mark.parametrize(
    ("kind", "phases", "said"),
    [
        ([IN_TIME, LATE], {"total": [1, 1]}, "nothing was refused"),
        ([IN_TIME, REFUSED_429], {"other": [1, 1]}, "no duration named 'total'"),
        ([REFUSED_429, REFUSED_429], {"total": [1, np.nan]}, "1 of 2 refusals say no server time"),
    ],
)
def test_refusals_that_cannot_be_judged(
    kind: list[int], phases: dict[str, list[float]], said: str
) -> None:
    with pytest.raises(EngineError, match=said):
        own.refusal_ms(point(kind, phases))


def test_goodput_is_held_against_its_peak() -> None:
    points = [point([IN_TIME] * good + [LATE], {}) for good in (2, 10, 9)]
    assert own.kept_goodput(points) == pytest.approx([0.9])


def test_goodput_is_held_against_the_same_seeds_at_the_best_load() -> None:
    def several(*goods: int) -> CurvePoint:
        one = [point([IN_TIME] * good, {}).results[0] for good in goods]
        return CurvePoint(factor=3.0, offered=3.0, results=one)

    points = [several(20, 4, 5), several(10, 8, 5), several(9, 8, 4)]
    assert own.kept_goodput(points) == pytest.approx([0.9, 1.0, 0.8])


def test_nothing_in_time_is_no_goodput() -> None:
    with pytest.raises(EngineError, match="nothing was answered in time"):
        own.kept_goodput([point([LATE], {})])


def test_a_run_ended_by_hand_ends_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        asking.loadtest, "run", lambda _: point([IN_TIME], {}, interrupted=True).results[0]
    )
    asker = cast("asking.Asker", SimpleNamespace(settle=lambda: None))
    with pytest.raises(KeyboardInterrupt):
        asking.Asker.run(asker, PLAN)
