"""Intervals: they hold what they should, as often as they should."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.errors import InputError
from limbeck.tasks import bootstrap, metrics


def test_an_interval_covers_the_truth_as_often_as_it_says():
    dice = np.random.default_rng(3)
    covered = 0
    for turn in range(200):
        right = dice.random(120) < 0.8
        found = bootstrap.interval(
            lambda at, r=right: float(r[at].mean()), 120, seed=turn, resamples=300
        )
        covered += found.low <= 0.8 <= found.high
        assert found.low <= found.value <= found.high
    assert 0.88 < covered / 200 < 0.99


def test_pairing_takes_out_what_is_hard_for_both():
    dice = np.random.default_rng(4)
    first = dice.random(400) < 0.8
    second = first.copy()
    second[np.flatnonzero(first)[:12]] = False

    def share(of):
        return lambda at: float(of[at].mean())

    paired = bootstrap.difference(share(first), share(second), 400)
    assert paired.value == pytest.approx(12 / 400)
    assert paired.low > 0
    alone = bootstrap.interval(share(first), 400)
    assert alone.high - alone.low > 2 * (paired.high - paired.low)


def test_draws_where_a_metric_is_undefined_are_left_out():
    values, labels = np.arange(4.0), np.array([0.0, 0, 0, 1])
    found = bootstrap.interval(lambda at: metrics.spearman(values[at], labels[at]), 4)
    assert not np.isnan([found.value, found.low, found.high]).any()
    found = bootstrap.interval(lambda at: float("nan"), 4)
    assert np.isnan(found.low)


def test_the_same_seed_gives_the_same_interval():
    right = np.arange(50) % 3 == 0
    one, two, other = (
        bootstrap.interval(lambda at: float(right[at].mean()), 50, seed=seed) for seed in (1, 1, 2)
    )
    assert one == two != other
    assert str(one).startswith("0.3400 (0.")


@pytest.mark.parametrize(("rows", "level"), [(0, 0.95), (5, 0.0), (5, 1.0)])
def test_nonsense_is_refused(rows, level):
    with pytest.raises(InputError, match="interval"):
        bootstrap.interval(lambda at: 0.0, rows, level=level)
