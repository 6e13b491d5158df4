"""The oracle's float32 arithmetic: fused multiply-adds, functions near the true ones, and the
coefficients that the native code has."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from limbeck.engine.reference import arithmetic

F32 = npt.NDArray[np.float32]
HEADER = Path(__file__).parents[2] / "native" / "base" / "math_constants.h"
# what math_constants.h calls each
NAMES = {
    "kLog2E": arithmetic.LOG2_E,
    "kLn2High": arithmetic.LN2_HIGH,
    "kLn2Low": arithmetic.LN2_LOW,
    "kExpLowest": arithmetic.EXP_LOWEST,
    "kExp": arithmetic.EXP,
    "kErfEnd": arithmetic.ERF_END,
    "kErfP": arithmetic.ERF_P,
    "kErfQ": arithmetic.ERF_Q,
    "kTanhEnd": arithmetic.TANH_END,
    "kTanhP": arithmetic.TANH_P,
    "kTanhQ": arithmetic.TANH_Q,
    "kGeluEnd": arithmetic.GELU_END,
    "kGeluPieces": arithmetic.GELU_PIECES,
    "kGeluLast": arithmetic.GELU_LAST,
    "kGeluTail": arithmetic.GELU_TAIL,
    "kGeluTanhTail": arithmetic.GELU_TANH_TAIL,
}


@pytest.mark.parametrize("name", NAMES)
def test_the_coefficients_are_those_of_the_native_code(name: str) -> None:
    (body,) = re.findall(rf"constexpr float {name}\b[^=]*= ([^;]*);", HEADER.read_text())
    values = [np.float32(value) for value in re.findall(r"-?[0-9.]+(?:e[-+]?[0-9]+)?(?=f)", body)]
    assert values == np.ravel(NAMES[name]).tolist()


def rounded(value: Fraction) -> np.float32:
    """The float32 nearest to an exact number, ties to even, by trying its neighbours."""
    near = np.float32(float(value))
    around = [np.nextafter(near, np.float32(end), dtype=np.float32) for end in (-np.inf, np.inf)]
    return min(
        [near, *around], key=lambda f: (abs(Fraction(float(f)) - value), f.view(np.uint32) & 1)
    )


def test_fma_rounds_once() -> None:
    generator = np.random.default_rng(0)
    a, b, c = (generator.normal(size=4000).astype(np.float32) for _ in range(3))
    # the cases that rounding twice gets wrong: a sum that float64 moves onto a half-way point
    a[:1000], b[:1000] = 1 + 2.0**-12, 1 + 2.0 ** -generator.integers(1, 24, 1000)
    c[:1000] = generator.choice([-1, 1], 1000) * 2.0 ** -generator.integers(20, 90, 1000)
    a[1000:1500], b[1000:1500] = 1 + 2.0**-12, 1 - 2.0**-12 + 2.0**-24
    c[1000:1500] = 2.0 ** generator.integers(-70, 30, 500)
    found = arithmetic.fma(a, b, c)
    wanted = [
        rounded(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)))
        for x, y, z in zip(a, b, c, strict=True)
    ]
    np.testing.assert_array_equal(found, np.array(wanted, np.float32))
    twice = (a.astype(np.float64) * b + c).astype(np.float32)
    assert (twice != found).any(), "no case here needs the correction"


def test_exp_erf_and_tanh_are_near_the_true_ones() -> None:
    down = np.linspace(-87, 0, 20001, dtype=np.float32)
    true = np.exp(down.astype(np.float64))
    assert np.abs(arithmetic.exp(down) / true - 1).max() < 4e-7
    assert arithmetic.exp(np.array([0.0, -1000.0], np.float32)).tolist()[0] == 1
    x = np.linspace(-12, 12, 20001, dtype=np.float32)
    true_erf = np.array([math.erf(v) for v in x.tolist()])
    assert np.abs(arithmetic.erf(x) - true_erf).max() < 4e-7
    assert np.abs(arithmetic.tanh(x) - np.tanh(x.astype(np.float64))).max() < 4e-7


def test_each_form_of_gelu_is_near_the_true_one_and_not_the_other() -> None:
    x = np.linspace(-9, 9, 40001, dtype=np.float32)
    wide = x.astype(np.float64)
    gelu = wide / 2 * (1 + np.array([math.erf(v) for v in (wide / math.sqrt(2)).tolist()]))
    bent = wide / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
    assert np.abs(arithmetic.activate(x, "gelu") - gelu).max() < 6e-6
    assert np.abs(arithmetic.activate(x, "gelu_tanh") - bent).max() < 6e-6
    assert np.abs(gelu - bent).max() > 4e-4
    assert np.array_equal(arithmetic.activate(x, "relu"), np.maximum(x, 0))


def test_sums_run_from_left_to_right() -> None:
    x: F32 = np.array([[1, 2.0**-24, 2.0**-24, 2.0**-24, 2.0**-24]], np.float32)
    assert arithmetic.total(x, 1).tolist() == [1.0]
    assert arithmetic.total(x[:, ::-1], 1)[0] > 1


def test_layer_norm_and_linear_are_near_the_plain_formulas() -> None:
    generator = np.random.default_rng(1)
    for width in (1, 2, 3, 5, 42):
        x, gain, bias = (
            generator.normal(size=size).astype(np.float32) for size in ((7, width), width, width)
        )
        wide = x.astype(np.float64)
        unit = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
        found = arithmetic.layer_norm(x, gain, bias, 1e-5)
        np.testing.assert_allclose(found, unit * gain + bias, atol=1e-5)
        weight = generator.normal(size=(3, width)).astype(np.float32)
        np.testing.assert_allclose(
            arithmetic.linear(x, weight, bias[:3] if width > 2 else np.zeros(3, np.float32)),
            wide @ weight.T + (bias[:3] if width > 2 else 0),
            atol=1e-5,
        )
