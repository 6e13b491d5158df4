"""Blocks, criteria, schedule and allocation against numpy and sums written out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import models
from limbeck.errors import InputError, TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import teacher  # noqa: E402
from limbeck.forge.prune import Schedule, allocation, criteria, layers  # noqa: E402
from limbeck.forge.prune.allocation import Blocks  # noqa: E402
from limbeck.forge.prune.layers import PATTERNS, sides  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch


def by_block(values: np.ndarray, pattern: str) -> np.ndarray:
    rows, cols = (int(side) for side in pattern.split("x"))
    high, wide = values.shape[0] // rows, values.shape[1] // cols
    found = np.zeros((high, wide))
    for i in range(high):
        for j in range(wide):
            for r in range(rows):
                for c in range(cols):
                    found[i, j] += values[i * rows + r, j * cols + c]
    return found


@pytest.mark.parametrize("pattern", PATTERNS)
def test_criteria_are_their_formulas(pattern: str) -> None:
    draw = np.random.default_rng(0)
    w, g, first = draw.normal(size=(3, 16, 24))
    start = by_block(first, pattern)
    weight, gradient, before = (torch.tensor(value) for value in (w, g, start))
    for found, wanted in (
        (criteria.squares(weight, pattern), by_block(w * w, pattern)),
        (criteria.absolutes(weight, pattern), by_block(np.abs(w), pattern)),
        (
            criteria.movement(before, weight, gradient, pattern),
            start + by_block(-w * g, pattern),
        ),
        (
            criteria.snip_momentum(before, weight, gradient, pattern, 0.9),
            0.9 * start + by_block(np.abs(w * g), pattern),
        ),
    ):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_blocks_spread_and_empty_blocks_are_seen(pattern: str) -> None:
    rows, cols = sides(pattern)
    kept = torch.tensor(np.random.default_rng(1).random((16 // rows, 24 // cols)) < 0.5)
    whole = layers.spread(kept, pattern)
    np.testing.assert_array_equal(whole.numpy(), np.kron(kept.numpy(), np.ones((rows, cols))) > 0)
    weight = torch.where(whole, torch.randn(16, 24), 0.0)
    assert torch.equal(layers.gone(weight, pattern), ~kept)


def test_the_ramp_is_zhu_and_guptas() -> None:
    schedule = Schedule(start=0.2, end=0.7, lock=0.8)
    assert schedule.sparsity(0.1, 0.05, 0.8) == 0.05
    for t in (0.2, 0.3, 0.55, 0.7):
        wanted = 0.8 + (0.05 - 0.8) * (1 - (t - 0.2) / (0.7 - 0.2)) ** 3
        assert schedule.sparsity(t, 0.05, 0.8) == pytest.approx(wanted, abs=1e-12)
    assert schedule.sparsity(0.9, 0.05, 0.8) == 0.8
    phases = [schedule.phase(share) for share in (0.1, 0.2, 0.69, 0.7, 0.79, 0.8, 1.0)]
    assert phases == ["before", "ramp", "ramp", "cooldown", "cooldown", "locked", "locked"]
    assert Schedule(start=0.5, end=0.5, lock=0.5).sparsity(0.5, 0.0, 0.8) == 0.8
    with pytest.raises(TrainingError, match="start <= end <= lock"):
        Schedule(start=0.6, end=0.5)
    with pytest.raises(TrainingError, match="every must be"):
        Schedule(every=0)


def blocks(*sizes: int, seed: int = 0, gone: tuple[int, ...] = (), scale: object = None) -> list:
    draw = np.random.default_rng(seed)
    made = []
    for index, size in enumerate(sizes):
        empty = gone[index] if gone else 0
        scores = np.sort(draw.random(size)) * (1 if scale is None else scale[index])  # type: ignore[index]
        scores[:empty] = -np.inf
        made.append(Blocks(name=f"layer {index}", unit=f"unit {index}", scores=scores, gone=empty))
    return made


def test_uniform_takes_the_same_share_and_exactly_the_target() -> None:
    some = blocks(10, 7, 33, 1)
    for target in range(52):
        counts = allocation.uniform(some, target, 1.0)
        assert sum(counts) == target
        for one, count in zip(some, counts):
            assert abs(count - target * one.count / 51) < 1
    with pytest.raises(TrainingError, match=r"layer 1 lacks 71.43% .* allocate globally"):
        allocation.uniform(blocks(10, 7, gone=(0, 5)), 8, 1.0)
    with pytest.raises(TrainingError, match=r"above the cap of 50\.00%"):
        allocation.uniform(blocks(10, 10), 16, 0.5)


def greedy(some: list, target: int, cap: float) -> list[int]:
    """One block after the other: the lowest score of a layer that may still lose one."""
    counts = [0] * len(some)
    for _ in range(target):
        open_ = [i for i, one in enumerate(some) if counts[i] < one.most(cap)]
        best = min(open_, key=lambda i: some[i].scores[counts[i]])
        counts[best] += 1
    return counts


def test_global_takes_the_lowest_scores_up_to_the_cap() -> None:
    for seed in range(5):
        some = blocks(20, 40, 30, seed=seed, scale=(1.0, 0.1, 3.0), gone=(3, 0, 30))
        for target in (33, 50, 80):
            assert allocation.globally(some, target, 0.9) == greedy(some, target, 0.9)
    # 18 + 36 + 30 that are gone already
    assert sum(allocation.globally(some, 84, 0.9)) == 84
    with pytest.raises(TrainingError, match=r"94.44% is impossible: .*at most 93.33% of all"):
        allocation.globally(some, 85, 0.9)
    with pytest.raises(TrainingError, match=r"lacks 36\.67% of its blocks already"):
        allocation.target_of(some, 0.2)
    assert allocation.target_of(some, 0.8) == 72
    # 1x4 after 4x4: 4 * round(0.8 * 333) blocks of 1332 are gone, and 0.8 of them are 1066
    assert allocation.target_of(blocks(1332, gone=(1067,)), 0.8) == 1067
    with pytest.raises(TrainingError, match=r"lacks 80\.18% .* 80\.00% is below"):
        allocation.target_of(blocks(1332, gone=(1068,)), 0.8)


def test_latency_beats_every_other_choice_for_what_it_costs() -> None:
    """Among all counts with the same sum, none has less loss and less time at once."""
    some = blocks(12, 12, 12, scale=(1.0, 2.0, 1.0))
    speed = {"unit 0": 10.0, "unit 1": 30.0, "unit 2": 10.0}

    def cost(unit: str, sparsity: float) -> float:
        if unit == "unit 2":
            return 10.0  # never faster
        return speed[unit] * min(1.0, 1.4 * (1 - sparsity) + 0.1)  # pays from 36 % on

    for target in (6, 12, 15, 20):
        counts = allocation.by_latency(some, target, 0.9, cost)
        assert sum(counts) == target
        assert counts[2] == 0

        def of(counts: tuple[int, ...]) -> tuple[float, float]:
            loss = sum(one.scores[:n].sum() for one, n in zip(some, counts))
            return loss, sum(cost(one.unit, n / 12) for one, n in zip(some, counts))

        loss, time = of(tuple(counts))
        for a in range(11):
            for b in range(11):
                if a + b == target:
                    other = of((a, b, 0))
                    assert not (other[0] < loss - 1e-9 and other[1] < time - 1e-9), (a, b)
        for n in counts[:2]:
            assert n == 0 or n >= 5  # where it is faster, or not at all
    with pytest.raises(TrainingError, match=r"layers that get faster can lose at most 55.56%"):
        allocation.by_latency(some, 21, 0.9, cost)


def test_latency_keeps_units_together_and_what_is_gone() -> None:
    some = blocks(40, 40, 40, 80, gone=(4, 0, 0, 0))
    some = [
        Blocks(name=one.name, unit="qkv" if i < 3 else "ffn", scores=one.scores, gone=one.gone)
        for i, one in enumerate(some)
    ]
    counts = allocation.by_latency(some, 120, 0.95, lambda unit, s: 100.0 * (1 - s))
    assert sum(counts) == 120
    assert counts[0] >= 4
    assert max(counts[:3]) <= 38
    assert counts[3] <= 76


def test_thinned_keeps_proportions_and_what_is_gone() -> None:
    some = blocks(100, 100, gone=(10, 0))
    assert allocation.thinned(some, [90, 50], 75) == [50, 25]
    assert allocation.thinned(some, [10, 0], 10) == [10, 0]


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_linear_layers_of_the_encoder_and_no_others(
    zoo: Callable[..., Path], architecture: str
) -> None:
    shape = models.Shape(layers=2, hidden=32, heads=2, ffn=48)
    directory = zoo(architecture, "feature-extraction", shape=shape)
    model = teacher.prepare(directory, ("a", "b"), TrainingConfig()).model
    found = layers.prunable(model, "8x4")
    assert [one.name for one in found[:6]] == [
        "layers.0.attention.query",
        "layers.0.attention.key",
        "layers.0.attention.value",
        "layers.0.attention.output",
        "layers.0.ffn.in",
        "layers.0.ffn.out",
    ]
    assert len({one.unit for one in found}) == 8
    weights = {id(one.weight) for one in found}
    own = {name for name, value in model.named_parameters() if id(value) in weights}
    assert len(own) == 12
    assert all(".layer." in name and name.endswith(".weight") for name in own)
    matrices = {n for n, v in model.named_parameters() if v.dim() == 2 and ".layer." in n}
    assert own == matrices


def test_a_pattern_that_does_not_divide_names_the_layer_and_what_would(
    zoo: Callable[..., Path],
) -> None:
    shape = models.Shape(layers=1, hidden=20, heads=2, ffn=46)
    directory = zoo("bert", "feature-extraction", shape=shape)
    model = teacher.prepare(directory, ("a", "b"), TrainingConfig()).model
    wanted = r"8x4 do not divide layers.0.attention.query, which is 20x20 .*: 4x4, 2x4, 1x4, 4x1"
    with pytest.raises(InputError, match=wanted):
        layers.prunable(model, "8x4")
    with pytest.raises(InputError, match=r"4x4 do not divide layers.0.ffn.in, which is 46x20"):
        layers.prunable(model, "4x4")
    with pytest.raises(InputError, match=r"layers.0.ffn.out, which is 20x46 .* do: 4x1"):
        layers.prunable(model, "2x4")


def test_weights_that_are_no_numbers_name_the_layer(zoo: Callable[..., Path]) -> None:
    shape = models.Shape(layers=2, hidden=32, heads=2, ffn=48)
    directory = zoo("bert", "feature-extraction", shape=shape)
    model = teacher.prepare(directory, ("a", "b"), TrainingConfig()).model
    with torch.no_grad():
        model.bert.encoder.layer[1].output.dense.weight[3, 4] = torch.nan
    with pytest.raises(TrainingError, match=r"layers.1.ffn.out hold NaN"):
        layers.prunable(model, "4x4")
