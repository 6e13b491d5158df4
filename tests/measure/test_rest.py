"""Rests notice who else is at work."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck import measure
from limbeck.measure import rest as module

#            user nice system idle iowait irq softirq steal guest guest_nice
BEFORE = "cpu  100 10 50 1000 40 5 5 0 30 2\ncpu0 1 2 3 4 5 6 7 8 9 10\n"
AFTER = "cpu  130 10 60 1050 50 5 5 0 55 2\ncpu0 1 2 3 4 5 6 7 8 9 10\n"


def test_times_are_those_of_all_processors_without_counting_guests_twice() -> None:
    assert module.cpu_times(BEFORE) == (170, 1210)
    assert module.cpu_times(AFTER) == (210, 1310)


def test_busy_share_is_that_of_the_rest_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = tmp_path / "stat"
    rest = measure.Rest(stat)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        stat.write_text(BEFORE if len(slept) % 2 else AFTER, encoding="ascii")

    monkeypatch.setattr(module.time, "sleep", sleep)
    assert rest.others_busy == 0
    rest(0.05)
    assert slept == [pytest.approx(0.02), pytest.approx(0.03)]
    assert rest.others_busy == pytest.approx(40 / 100)
    rest(0.01)
    assert sum(slept) == pytest.approx(0.06)
    assert rest.others_busy == pytest.approx(80 / 200)


def test_this_machine_can_be_watched() -> None:
    rest = measure.Rest()
    rest(0.1)
    assert 0 <= rest.others_busy <= 1
