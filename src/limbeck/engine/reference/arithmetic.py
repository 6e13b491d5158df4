"""The engine's float32 arithmetic in numpy, operation for operation: the same bits.

What docs/numerics.md promises of int8 answers rests on these: fused multiply-adds in a stated
order, exp, erf and tanh with coefficients of our own, GELU from a table, sums from left to right.
The native definitions are native/base/math_scalar.h and math_constants.h.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from limbeck.spec import Activation

F32 = npt.NDArray[np.float32]


def _constants(*values: float) -> F32:
    return np.array(values, dtype=np.float32)


LOG2_E: Final = np.float32(1.44269504)
# ln 2 in two parts: the first has so few bits that n times it is exact for every n in use
LN2_HIGH: Final = np.float32(0.693359375)
LN2_LOW: Final = np.float32(-2.12194440e-4)
EXP_LOWEST: Final = np.float32(-87.0)
EXP: Final = _constants(0.49999994, 0.166665211, 0.041668389, 0.00836871006, 0.00138146104)
ERF_END: Final = np.float32(3.925)
ERF_P: Final = _constants(
    1.12837911, 0.19058454, 0.0527678952, 0.00377210602, 0.000284825597, 2.04599428e-06
)
ERF_Q: Final = _constants(1.0, 0.502233863, 0.114178747, 0.014982312, 0.0011637354, 3.80464917e-05)
TANH_END: Final = np.float32(9.02)
TANH_P: Final = _constants(1.0, 0.133796722, 0.00349398027, 2.05825727e-05, 1.331781e-08)
TANH_Q: Final = _constants(1.0, 0.467129886, 0.0258708689, 0.000328300317, 7.76150216e-07)
GELU_END: Final = np.float32(5.0)
GELU_PIECES: Final = np.float32(16.0)
GELU_LAST: Final = np.float32(15.9999990)
# g(t) = t (1 - Phi(t)) on 16 pieces of [0, 5]: cubics, [power, piece]
GELU_TAIL: Final = np.array(
    [
        [
            0e00,
            1.1791293e-01,
            1.6624077e-01,
            1.6336203e-01,
            1.3206492e-01,
            9.2322744e-02,
            5.6994416e-02,
            3.1397585e-02,
            1.5524006e-02,
            6.912548e-03,
            2.7779515e-03,
            1.0089402e-03,
            3.3148614e-04,
            9.858358e-05,
            2.6551037e-05,
            6.4779792e-06,
        ],
        [
            1.5636076e-01,
            8.090587e-02,
            1.90353e-02,
            -2.0922305e-02,
            -3.8418453e-02,
            -3.907819e-02,
            -3.0846901e-02,
            -2.0451346e-02,
            -1.174902e-02,
            -5.9395167e-03,
            -2.665376e-03,
            -1.0675066e-03,
            -3.829473e-04,
            -1.2335087e-04,
            -3.5740457e-05,
            -9.327714e-06,
        ],
        [
            -3.963809e-02,
            -3.5777863e-02,
            -2.585331e-02,
            -1.3782817e-02,
            -3.4699244e-03,
            2.9097165e-03,
            5.3070337e-03,
            5.026956e-03,
            3.6185407e-03,
            2.1582968e-03,
            1.1040384e-03,
            4.9284793e-04,
            1.93952e-04,
            6.77224e-05,
            2.1073534e-05,
            5.862409e-06,
        ],
        [
            1.1875909e-03,
            3.197235e-03,
            3.93711e-03,
            3.4072977e-03,
            2.1466669e-03,
            8.4114826e-04,
            -5.6076133e-05,
            -4.486819e-04,
            -4.8083713e-04,
            -3.534229e-04,
            -2.0776992e-04,
            -1.02873026e-04,
            -4.3952452e-05,
            -1.6425269e-05,
            -5.414496e-06,
            -1.5833767e-06,
        ],
    ],
    dtype=np.float32,
)
GELU_TANH_TAIL: Final = np.array(
    [
        [
            0e00,
            1.1791588e-01,
            1.6627869e-01,
            1.6349265e-01,
            1.3228846e-01,
            9.252158e-02,
            5.700221e-02,
            3.1141317e-02,
            1.5084142e-02,
            6.449054e-03,
            2.4156056e-03,
            7.8524754e-04,
            2.1916862e-04,
            5.1921197e-05,
            1.03159355e-05,
            1.6980559e-06,
        ],
        [
            1.5636122e-01,
            8.091669e-02,
            1.9099077e-02,
            -2.0811679e-02,
            -3.8364157e-02,
            -3.9188497e-02,
            -3.1100085e-02,
            -2.0699557e-02,
            -1.185652e-02,
            -5.8875973e-03,
            -2.530481e-03,
            -9.3525206e-04,
            -2.9451348e-04,
            -7.817682e-05,
            -1.7292252e-05,
            -3.149551e-06,
        ],
        [
            -3.9640974e-02,
            -3.5759933e-02,
            -2.581503e-02,
            -1.3777965e-02,
            -3.5391685e-03,
            2.8115364e-03,
            5.267685e-03,
            5.0776177e-03,
            3.7097402e-03,
            2.2235888e-03,
            1.1189561e-03,
            4.7460923e-04,
            1.6896392e-04,
            5.008614e-05,
            1.2242174e-05,
            2.441074e-06,
        ],
        [
            1.1929339e-03,
            3.2034528e-03,
            3.9278287e-03,
            3.3847843e-03,
            2.1369152e-03,
            8.5853867e-04,
            -2.7638771e-05,
            -4.3471926e-04,
            -4.8813532e-04,
            -3.694681e-04,
            -2.1893186e-04,
            -1.0552328e-04,
            -4.1749012e-05,
            -1.353694e-05,
            -3.575329e-06,
            -7.628436e-07,
        ],
    ],
    dtype=np.float32,
)

# Bits of a float64 that a float32 has no room for, and their pattern half-way between two float32.
_BELOW_F32 = np.uint64((1 << 29) - 1)
_HALF_WAY = np.uint64(1 << 28)


def fma(a: F32 | np.float32, b: F32 | np.float32, c: F32 | np.float32) -> F32:
    """a * b + c, rounded once to float32. Results must be normal numbers, zero, or not finite.

    float64 holds the product of two float32 exactly. Rounding the sum first to float64 and then to
    float32 differs from rounding once only where float64 has landed half-way between two float32;
    there the error of the float64 sum (Knuth's two-sum) says on which side the true value lies.
    """
    product = np.multiply(a, b, dtype=np.float64)
    total = np.asarray(product + c)
    half_way = (total.view(np.uint64) & _BELOW_F32) == _HALF_WAY
    if half_way.any():
        p = np.broadcast_to(product, total.shape)[half_way]
        q = np.broadcast_to(np.asarray(c, dtype=np.float64), total.shape)[half_way]
        s = total[half_way]
        back = s - p
        error = (p - (s - back)) + (q - back)
        total[half_way] = np.where(error == 0, s, np.nextafter(s, np.copysign(np.inf, error)))
    rounded: F32 = total.astype(np.float32)
    return rounded


def exp(x: F32) -> F32:
    """e to the x, for x up to 0 as softmax has them; -87 stands for all that lies below it."""
    x = np.maximum(x, EXP_LOWEST)
    n = np.rint(x * LOG2_E)
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    p = np.full_like(r, EXP[-1])
    for c in EXP[-2::-1]:
        p = fma(p, r, c)
    p = fma(p, r * r, r) + np.float32(1)
    return np.ldexp(p, n.astype(np.int32))  # type: ignore[no-any-return]


def _odd_rational(x: F32, end: np.float32, p: F32, q: F32) -> F32:
    x = np.clip(x, -end, end)
    t = x * x
    numerator, denominator = np.full_like(t, p[-1]), np.full_like(t, q[-1])
    for over, under in zip(p[-2::-1], q[-2::-1], strict=True):
        numerator, denominator = fma(numerator, t, over), fma(denominator, t, under)
    return np.clip((x * numerator) / denominator, np.float32(-1), np.float32(1))


def erf(x: F32) -> F32:
    """The error function."""
    return _odd_rational(x, ERF_END, ERF_P, ERF_Q)


def tanh(x: F32) -> F32:
    """The hyperbolic tangent."""
    return _odd_rational(x, TANH_END, TANH_P, TANH_Q)


def table_gelu(x: F32, table: F32) -> F32:
    """max(x, 0) - g(|x|), g by the cubic of its piece: for what becomes eight bits next."""
    place = np.minimum(np.abs(x) * (GELU_PIECES / GELU_END), GELU_LAST)
    piece = place.astype(np.int32)
    r = place - piece.astype(np.float32)
    tail = table[3][piece]
    for power in (2, 1, 0):
        tail = fma(tail, r, table[power][piece])
    bent: F32 = np.maximum(x, np.float32(0)) - tail
    return bent


def activate(x: F32, activation: Activation) -> F32:
    """An activation function ahead of an eight-bit quantiser."""
    if activation == "relu":
        return np.maximum(x, np.float32(0))
    return table_gelu(x, GELU_TAIL if activation == "gelu" else GELU_TANH_TAIL)


def total(x: F32, axis: int) -> F32:
    """The sum along an axis, from left to right; numpy's own adds in another order."""
    last: F32 = np.take(np.add.accumulate(x, axis=axis), -1, axis=axis)
    return last


def layer_norm(x: F32, gain: F32, bias: F32, eps: float) -> F32:
    """[T, C] -> zero mean and unit (biased) variance over C, then gain and bias.

    Sums run in four parts, features 0, 4, 8 .., 1, 5, 9 .. and so on.
    """
    size = np.float32(x.shape[1])
    mean = _in_four_parts(x) / size
    centred = x - mean[:, None]
    squares = np.zeros((4, x.shape[0]), dtype=np.float32)
    for c, column in enumerate(centred.T):
        squares[c % 4] = fma(column, column, squares[c % 4])
    variance = ((squares[0] + squares[1]) + (squares[2] + squares[3])) / size
    inverse = np.float32(1) / np.sqrt(variance + np.float32(eps))
    return fma(centred * inverse[:, None], gain, bias)


def _in_four_parts(x: F32) -> F32:
    parts = [
        total(x[:, i::4], 1) if x.shape[1] > i else np.zeros(len(x), np.float32) for i in range(4)
    ]
    whole: F32 = (parts[0] + parts[1]) + (parts[2] + parts[3])
    return whole


def linear(x: F32, weight: F32, bias: F32) -> F32:
    """[T, K] -> [T, F]: the sum starts at the bias and takes the inputs in order."""
    y: F32 = np.broadcast_to(bias, (len(x), len(bias))).astype(np.float32)
    for inputs, weights in zip(x.T, weight.T, strict=True):
        y = fma(inputs[:, None], weights[None, :], y)
    return y
