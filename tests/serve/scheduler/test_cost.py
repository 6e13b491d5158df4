"""The cost model: finds coefficients, follows drift, forgives pauses, keeps its quantile."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.serve.scheduler import CostConfig, CostModel

TRUE = (2e-3, 4e-5, 3e-8)


def batch(rng: random.Random) -> tuple[int, int]:
    longest = rng.choice((16, 64, 256, 512))
    lengths = [rng.randint(4, longest) for _ in range(rng.randint(1, 24))]
    return sum(lengths), sum(n * n for n in lengths)


def seconds(tokens: int, squares: int, scale: float = 1.0) -> float:
    return scale * (TRUE[0] + TRUE[1] * tokens + TRUE[2] * squares)


def worst(model: CostModel, scale: float = 1.0) -> float:
    """Largest relative error of the middle over shapes of all kinds."""
    shapes = [[n] * b for n in (8, 64, 128, 512) for b in (1, 8, 24)]
    errors = []
    for lengths in shapes:
        tokens, squares = sum(lengths), sum(n * n for n in lengths)
        errors.append(abs(model.mean(tokens, squares) / seconds(tokens, squares, scale) - 1))
    return max(errors)


def test_known_coefficients_are_found_under_noise() -> None:
    rng = random.Random(1)
    model = CostModel((1e-1, 1e-6, 0.0), config=CostConfig(memory=2000))
    for _ in range(6000):
        tokens, squares = batch(rng)
        model.learn(tokens, squares, seconds(tokens, squares) * rng.lognormvariate(0, 0.1))
    for got, true in zip(model.coefficients, TRUE):
        assert got == pytest.approx(true, rel=0.2)
    assert worst(model) < 0.05
    assert model.batches == 6000


@pytest.mark.parametrize("scale", [0.2, 5.0])
def test_lasting_changes_are_followed(scale: float) -> None:
    rng = random.Random(2)
    model = CostModel(TRUE)
    for step in range(600):
        tokens, squares = batch(rng)
        now = scale if step >= 200 else 1.0
        model.learn(tokens, squares, seconds(tokens, squares, now) * rng.lognormvariate(0, 0.1))
    assert worst(model, scale) < 0.25


def test_a_pause_of_ten_seconds_does_not_poison() -> None:
    rng = random.Random(3)
    model = CostModel(TRUE)

    def run(batches: int) -> None:
        for _ in range(batches):
            tokens, squares = batch(rng)
            model.learn(tokens, squares, seconds(tokens, squares) * rng.lognormvariate(0, 0.1))

    run(300)
    before = model.predict(1024, 8 * 128**2)
    model.learn(128, 128**2, 10.0)
    assert model.predict(1024, 8 * 128**2) < 1.2 * before
    model.learn(128, 128**2, 3600.0)
    run(100)
    assert model.predict(1024, 8 * 128**2) == pytest.approx(before, rel=0.2)


@pytest.mark.parametrize("noise", [0.05, 0.3])
@pytest.mark.parametrize("quantile", [0.9, 0.95])
def test_predictions_cover_their_quantile(noise: float, quantile: float) -> None:
    rng = random.Random(4)
    model = CostModel(TRUE, config=CostConfig(quantile=quantile))
    covered = 0
    for step in range(6000):
        tokens, squares = batch(rng)
        took = seconds(tokens, squares) * rng.lognormvariate(0, noise)
        covered += step >= 1000 and took <= model.predict(tokens, squares)
        model.learn(tokens, squares, took)
    assert covered / 5000 == pytest.approx(quantile, abs=0.02)


def test_one_shape_only_keeps_what_warm_up_taught_of_others() -> None:
    rng = random.Random(5)
    model = CostModel(TRUE)
    for _ in range(3000):
        model.learn(1024, 8 * 128**2, seconds(1024, 8 * 128**2) * rng.lognormvariate(0, 0.1))
    assert worst(model) < 0.5
    assert model.mean(1024, 8 * 128**2) == pytest.approx(seconds(1024, 8 * 128**2), rel=0.05)


def test_a_prior_from_warm_up() -> None:
    rng = random.Random(6)
    samples = [
        (lengths, seconds(sum(lengths), sum(n * n for n in lengths)) * rng.lognormvariate(0, 0.02))
        for lengths in [(8,), (128,), (512,), (128,) * 8, (32,) * 16, (256,) * 4] * 3
    ]
    model = CostModel.from_samples(samples)
    assert worst(model) < 0.15
    assert model.factor >= 1.25
    for lengths, took in samples:
        assert model.predict(sum(lengths), sum(n * n for n in lengths)) > took


def test_a_single_sample_is_a_prior_too() -> None:
    model = CostModel.from_samples([((100,), 0.01)])
    assert model.mean(100, 10_000) == pytest.approx(0.01, rel=0.01)
    assert model.mean(200, 20_000) > 0.011


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(1, 100_000), min_size=1, max_size=5),
            st.one_of(
                st.floats(1e-9, 1e9),
                st.sampled_from([0.0, -3600.0, math.nan, math.inf, -math.inf]),
            ),
        ),
        max_size=60,
    )
)
def test_whatever_is_learnt_predictions_stay_usable(
    seen: list[tuple[list[int], float]],
) -> None:
    model = CostModel((1e-3, 1e-5, 0.0))
    for lengths, took in seen:
        model.learn(sum(lengths), sum(n * n for n in lengths), took)
        assert all(c >= 0 and math.isfinite(c) for c in model.coefficients)
        assert 0 < model.predict(1, 1) <= model.predict(2, 4) <= model.predict(4, 16) < math.inf


def test_coefficients_can_be_taken_over() -> None:
    model = CostModel(TRUE, factor=1.5)
    model.learn(100, 10_000, 0.01)
    again = CostModel(model.coefficients, factor=model.factor)
    assert again.predict(300, 30_000) == pytest.approx(model.predict(300, 30_000))


@pytest.mark.parametrize(
    "coefficients", [(0.0, 0.0, 0.0), (-1.0, 1.0, 1.0), (math.nan, 1.0, 1.0), (math.inf, 0.0, 0.0)]
)
def test_coefficients_that_make_no_sense(coefficients: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="coefficients"):
        CostModel(coefficients)


@pytest.mark.parametrize("samples", [[], [((), 1.0)], [((5,), 0.0)], [((5,), math.nan)]])
def test_samples_that_make_no_sense(samples: list[tuple[tuple[int, ...], float]]) -> None:
    with pytest.raises(ValueError, match="samples"):
        CostModel.from_samples(samples)


@pytest.mark.parametrize(
    "bad", [{"quantile": 1.0}, {"memory": 1.0}, {"outlier": 1.0}, {"step": 0.0}, {"floor_s": 0.0}]
)
def test_configurations_that_make_no_sense(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        CostConfig(**bad)


def test_a_factor_out_of_range() -> None:
    with pytest.raises(ValueError, match="factor"):
        CostModel(TRUE, factor=100.0)
