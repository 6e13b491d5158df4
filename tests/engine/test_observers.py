"""Observers of activations against their formulas written out, and what each is good for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import models
from comparing import relative_error
from limbeck import huggingface
from limbeck.batch import pack
from limbeck.engine import OBSERVERS, reference, static_ranges, static_ranges_by
from limbeck.engine.observers import Histogram, MinMax, Percentile, SquaredError, observer
from limbeck.engine.quantization import quantize_activations
from limbeck.errors import InputError
from limbeck.spec import QuantSpec
from limbeck.tensors import Tensor

F32 = np.ndarray


def batches(seed: int, scale: float = 1.0) -> list[F32]:
    """Of several sizes, the last with the outermost values."""
    draw = np.random.default_rng(seed)
    found = [draw.normal(0.3, 1, (count, 12)) * scale for count in (3, 40, 200)]
    found[-1][5, 3] = 30 * scale
    return [one.astype(np.float32) for one in found]


def seen(one, parts: list[F32]) -> tuple[float, float]:
    for part in parts:
        one.see(part)
    return one.ends()


def test_the_lowest_and_the_highest_value() -> None:
    parts = batches(0)
    everything = np.concatenate(parts)
    assert seen(MinMax(), parts) == (everything.min(), everything.max())
    assert seen(MinMax(), [np.full((2, 3), 5, np.float32)]) == (0.0, 5.0)  # zero is within
    assert seen(MinMax(), [np.full((2, 3), -5, np.float32)]) == (-5.0, 0.0)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 3e7])
def test_a_histogram_counts_everything_once(scale: float) -> None:
    parts = batches(1, scale)
    histogram = Histogram()
    for part in [np.zeros((2, 3), np.float32), *parts, np.zeros((1, 1), np.float32)]:
        histogram.add(part)
    everything = np.concatenate([np.zeros(7), *(part.ravel() for part in parts)])
    edges = histogram.edges()
    # numpy takes a value on the last edge for the last bin; here no bin has its upper edge
    wanted, _ = np.histogram(everything, np.append(edges, edges[-1] + histogram.width))
    assert histogram.counts().tolist() == wanted[:-1].tolist()
    assert histogram.counts().sum() == len(everything)
    assert histogram.width < abs(everything).max() / 4096
    for share in (0.001, 0.2, 0.5, 0.9, 0.999):
        near = np.quantile(everything, share, method="inverted_cdf")
        assert abs(histogram.quantile(share) - near) <= histogram.width


@pytest.mark.parametrize("share", [0.9, 0.99, 0.9999])
def test_percentiles(share: float) -> None:
    parts = batches(2)
    everything = np.concatenate([part.ravel() for part in parts])
    low, high = seen(Percentile(share), parts)
    width = 30 / 4096
    wanted = np.quantile(everything, [(1 - share) / 2, (1 + share) / 2], method="inverted_cdf")
    # between two values that lie far apart, as the outermost do, any number is a quantile
    assert low == pytest.approx(wanted[0], abs=width)
    assert wanted[1] - width <= high
    if share < 0.9999:
        assert high == pytest.approx(wanted[1], abs=width)
        assert high < 5
    assert seen(Percentile(1.0), parts) == (everything.min(), everything.max())
    positive = [np.abs(part) + 1 for part in parts]
    assert seen(Percentile(0.5), positive)[0] == 0.0


def written_out(values: F32, low: float, high: float) -> float:
    """sum of (x - Q(clip(x)))**2, value by value, in plain Python."""
    scale = np.float32(high - low) * (np.float32(1) / np.float32(255))
    inverse = np.float32(255) / np.float32(high - low)
    zero = min(255, max(0, round(float(np.float32(-low) * inverse))))
    total = 0.0
    for x in values.ravel():
        clipped = min(max(x, np.float32(low)), np.float32(high))
        q = min(255, max(0, int(np.rint(clipped * inverse)) + zero))
        total += (float(x) - float(scale) * (q - zero)) ** 2
    return total


def test_the_range_of_least_squared_error() -> None:
    draw = np.random.default_rng(3)
    values = draw.normal(0.2, 1, (200, 8)).astype(np.float32)
    outliers = np.float32([[-5.0, 7.0]])
    low, high = seen(SquaredError(), [values] * 300 + [outliers])

    def error(low: float, high: float) -> float:
        return 300 * written_out(values, low, high) + written_out(outliers, low, high)

    least = min(error(-5.0 * i, 7.0 * j) for i in (0.64, 0.8, 1) for j in (0.48, 0.6, 0.72, 0.8, 1))
    found = error(low, high)
    assert found <= 1.02 * least  # it takes bins for values
    assert found < 0.9 * error(-5.0, 7.0)
    assert -5.0 < low < 0 < high < 7.0
    # without outliers nothing is worth clipping away that costs more than it saves
    flat = draw.uniform(-1, 1, (500, 4)).astype(np.float32)
    low, high = seen(SquaredError(), [flat])
    assert low < -0.95
    assert high > 0.95


def test_the_error_counts_with_the_rounding_of_the_engine() -> None:
    from limbeck.engine.observers import squared_errors

    values = np.random.default_rng(4).normal(0, 1, 60).astype(np.float32)
    counts = np.random.default_rng(5).integers(1, 9, 60).astype(np.float64)
    lows, highs = np.float32([-2, -0.5]), np.float32([2.5, 1.0])
    found = squared_errors(values, counts, lows, highs)
    for one, low, high in zip(found, lows, highs, strict=True):
        each = [written_out(value[None], low, high) for value in values]
        assert one == pytest.approx(float(np.dot(each, counts)), rel=1e-5)
    q, scale, zero = quantize_activations(values[None], (lows[:1], highs[:1]))
    assert q.dtype == np.uint8
    assert scale.shape == zero.shape == (1,)


@pytest.mark.parametrize("name", OBSERVERS)
def test_layers_of_a_model(zoo: Callable[..., Path], name: str) -> None:
    model = huggingface.read(zoo("bert", "text-classification"))
    rows = [pack([row]) for row in models.random_ids("bert", (40, 9, 64, 33), seed=8)]
    ranges = static_ranges(model.spec.encoder, model.weights, rows, name)
    together = static_ranges_by(model.spec.encoder, model.weights, rows, OBSERVERS)
    widest = together["minmax"]
    assert set(ranges) == set(widest)
    for layer, tensor in ranges.items():
        assert tensor.values.tolist() == together[name][layer].values.tolist()
        low, high = tensor.values
        assert widest[layer].values[0] <= low <= 0 <= high <= widest[layer].values[1]
    batch = pack(models.random_ids("bert", (7, 30, 64)))
    exact = reference.forward(model.spec, model.weights, batch, "fp32", "hidden")
    spec = type(model.spec)(
        encoder=model.spec.encoder,
        task=model.spec.task,
        quant=QuantSpec(precision="int8", activations="static"),
    )
    found = reference.forward(spec, {**model.weights, **ranges}, batch, "int8", "hidden")
    assert relative_error(found, exact) < 0.25


def test_what_cannot_be_observed(zoo: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="one of minmax, percentile, mse"):
        observer("median")
    with pytest.raises(InputError, match="a share in"):
        Percentile(0.0)
    model = huggingface.read(zoo("bert", "text-classification"))
    rows = [pack([[5, 6, 7]])]
    with pytest.raises(InputError, match="one of minmax"):
        static_ranges(model.spec.encoder, model.weights, rows, "median")
    weights = dict(model.weights)
    name = "layers.1.ffn.in.bias"
    weights[name] = Tensor(
        shape=weights[name].shape, values=np.full(weights[name].shape, np.inf, np.float32)
    )
    with pytest.raises(InputError, match=r"layers\.1\.ffn\.out\.range .* infinity or NaN"):
        static_ranges(model.spec.encoder, weights, rows)
