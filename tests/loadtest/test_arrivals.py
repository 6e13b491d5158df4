"""Arrivals against the statistics that they are to have."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("httptools")

from limbeck.errors import InputError
from limbeck.loadtest import Arrivals, Burst, Even, Plan, Poisson, Replay, Request, Target, draw

SECONDS = 400.0


def drawn(arrivals: Arrivals, seed: int = 0, seconds: float = SECONDS) -> np.ndarray:
    times = arrivals.times(seconds, np.random.default_rng(seed))
    assert (np.diff(times) >= 0).all()
    assert times.size == 0 or (times[0] >= 0 and times[-1] < seconds)
    return times


def test_poisson_has_equal_mean_and_variance_and_exponential_gaps() -> None:
    rate = 50.0
    times = drawn(Poisson(rate=rate))
    counts = np.bincount(times.astype(int), minlength=int(SECONDS))
    # 400 windows of mean 50: the mean's deviation is 0.35, the dispersion's 0.07; six of each.
    assert abs(counts.mean() - rate) < 6 * np.sqrt(rate / SECONDS)
    assert abs(counts.var() / counts.mean() - 1) < 6 * np.sqrt(2 / SECONDS)
    gaps = np.diff(times)
    assert abs(gaps.mean() * rate - 1) < 0.05
    assert abs(gaps.std() * rate - 1) < 0.05
    assert abs((gaps > 1 / rate).mean() - np.exp(-1)) < 0.02
    # Neighbouring gaps know nothing of one another.
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.05


def test_a_seed_gives_the_same_times_and_another_gives_others() -> None:
    first, again, other = (drawn(Poisson(rate=20), seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert first.size != other.size or (first != other).any()


def test_bursts_come_when_they_should_and_are_as_heavy() -> None:
    burst = Burst(base_rate=10, burst_rate=100, length_s=2, every_s=10)
    times = drawn(burst)
    inside = (times % 10) >= 8
    periods = SECONDS / 10
    assert abs(inside.sum() / (2 * periods) - 100) < 6 * np.sqrt(100 / (2 * periods))
    assert abs((~inside).sum() / (8 * periods) - 10) < 6 * np.sqrt(10 / (8 * periods))
    assert burst.rate == pytest.approx(28)
    assert abs(times.size / SECONDS - burst.rate) < 2


def test_on_and_off_is_silent_in_between() -> None:
    times = drawn(Burst(base_rate=0, burst_rate=40, length_s=1, every_s=4))
    assert times.size > 1000
    assert ((times % 4) >= 3).all()


def test_even_arrivals_have_equal_gaps() -> None:
    times = drawn(Even(rate=8), seconds=2.0)
    np.testing.assert_allclose(times, np.arange(16) / 8)


def test_replay_keeps_order_gaps_and_rows() -> None:
    recorded = np.array([1000.5, 1000.0, 1003.0, 1000.5])
    replay = Replay(recorded_s=recorded, speed=2.0)
    np.testing.assert_allclose(drawn(replay), [0.0, 0.25, 0.25, 1.5])
    assert replay.order.tolist() == [1, 0, 3, 2]  # ties stay as the file has them
    assert replay.length_s == pytest.approx(1.5)


def test_a_plan_draws_times_and_texts_from_its_seed_alone() -> None:
    target = Target(url="http://x", requests=[Request(body=b"%d" % n) for n in range(5)])
    plan = Plan(target=target, arrivals=Poisson(rate=100), duration_s=5, warmup_s=1, seed=7)
    first, again = draw(plan), draw(plan)
    np.testing.assert_array_equal(first.scheduled_s, again.scheduled_s)
    np.testing.assert_array_equal(first.which, again.which)
    assert set(first.which.tolist()) == {0, 1, 2, 3, 4}
    assert first.scheduled_s[-1] > 5  # the warm-up comes on top
    ordered = draw(Plan(target=target, arrivals=Even(rate=10), duration_s=1.2, in_order=True))
    assert ordered.which.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_that_are_none(rate: float) -> None:
    for kind in (Poisson, Even):
        with pytest.raises(InputError, match="positive number of requests"):
            kind(rate=rate)


def test_bursts_and_replays_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="shorter than its period"):
        Burst(base_rate=1, burst_rate=10, length_s=10, every_s=10)
    with pytest.raises(InputError, match="between bursts"):
        Burst(base_rate=20, burst_rate=10)
    with pytest.raises(InputError, match="no recorded times"):
        Replay(recorded_s=np.array([]))
    with pytest.raises(InputError, match="not a finite number"):
        Replay(recorded_s=np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="speed"):
        Replay(recorded_s=np.array([0.0]), speed=0)


def test_plans_that_make_no_sense() -> None:
    target = Target(url="http://x", requests=[Request()])
    with pytest.raises(InputError, match="duration"):
        Plan(target=target, arrivals=Poisson(rate=1), duration_s=0)
    with pytest.raises(InputError, match="make the run shorter"):
        Plan(target=target, arrivals=Poisson(rate=1e6), duration_s=3600)
    with pytest.raises(InputError, match="seed"):
        Plan(target=target, arrivals=Poisson(rate=1), duration_s=1, seed=-1)
    with pytest.raises(InputError, match="no requests"):
        Target(url="http://x", requests=[])
