"""What a batch costs, learnt from the batches that ran.

cost(batch) = c0 + c1 * sum(L) + c2 * sum(L^2), with coefficients that are not negative. Two
things are tracked: the coefficients, which give the middle, by least squares on relative errors
with forgetting; and a factor on top, by steps of stochastic gradient on the pinball loss (Robbins
and Monro's quantile recursion), which makes the prediction a high quantile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

Row = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostConfig:
    """How a cost model learns.

    quantile: of the predictions.
    memory: batches after which an observation counts 1 / e.
    step: of the quantile's factor, in logarithms; a single observation moves it by no more.
    outlier: an observation counts as at most so many times what was expected (and at least one
        such part of it): a pause of the whole process is one mild vote among many, while a lasting
        change is followed within some batches.
    floor_s: the least that is ever predicted.

    Raises:
        ValueError: a value out of its range.
    """

    quantile: float = 0.95
    memory: float = 64.0
    step: float = 0.05
    outlier: float = 2.0
    floor_s: float = 1e-6

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise ValueError(f"quantile must be between 0 and 1, not {self.quantile}")
        if not (self.memory > 1 and self.outlier > 1):
            raise ValueError("memory and outlier must be above 1")
        if not (self.step > 0 and self.floor_s > 0):
            raise ValueError("step and floor_s must be above 0")


# Sequences of this length make the three terms comparable; only the conditioning depends on it.
_SCALE = (1.0, 1.0 / 128, 1.0 / 128**2)
# Weight, in observations, of the coefficients so far: keeps directions that the load does not show.
_HOLD = 0.01
# The factor of the quantile stays within these.
_LEAST, _MOST = 0.5, 8.0


class CostModel:
    """Predicts the seconds of a batch from its sum of lengths and sum of squared lengths.

    updated: when the scheduler last told it something, on the scheduler's clock; None before.
    """

    __slots__ = ("_a", "_b", "_c", "_factor", "_seen", "config", "q0", "q1", "q2", "updated")

    def __init__(
        self, coefficients: Row, *, factor: float = 1.25, config: CostConfig | None = None
    ) -> None:
        """A model to begin with.

        coefficients: c0 in s, c1 in s a token, c2 in s a squared token, as `coefficients` gives.

        Raises:
            ValueError: a coefficient is negative or not finite, or all are zero.
        """
        if not all(math.isfinite(c) and c >= 0 for c in coefficients) or not any(coefficients):
            raise ValueError(f"coefficients must be finite, >= 0 and not all 0: {coefficients}")
        if not _LEAST <= factor <= _MOST:
            raise ValueError(f"factor must be in {_LEAST} .. {_MOST}, not {factor}")
        self.config = CostConfig() if config is None else config
        self.updated: float | None = None
        self._factor = factor
        self._seen = 0
        self._c = [c / s for c, s in zip(coefficients, _SCALE)]
        self._a = [[0.0] * 3 for _ in range(3)]
        self._b = [0.0] * 3
        self._publish()

    @classmethod
    def from_samples(
        cls,
        samples: Iterable[tuple[Sequence[int], float]],
        *,
        config: CostConfig | None = None,
    ) -> CostModel:
        """A prior from warm-up measurements: (lengths of a batch, seconds that it took).

        Raises:
            ValueError: no sample, an empty batch, or a time that is not positive and finite.
        """
        config = CostConfig() if config is None else config
        seen = [(sum(ls), sum(n * n for n in ls), s) for ls, s in samples]
        if not seen or any(t < 1 or not (0 < s < math.inf) for t, _, s in seen):
            raise ValueError("samples must be batches with tokens, and times above 0 s")
        # The cheapest proportional model explains the first sample; the rest is learnt from it.
        a = [[0.0] * 3 for _ in range(3)]
        b = [0.0] * 3
        for tokens, squares, seconds in seen:
            _add(a, b, (1.0, tokens * _SCALE[1], squares * _SCALE[2]), seconds, 1 / seconds**2)
        slope = sum(s for _, _, s in seen) / sum(t for t, _, _ in seen) / _SCALE[1]
        fitted = _solve(a, b, [0.0, slope, 0.0], hold=1e-6)
        model = cls(
            (fitted[0] * _SCALE[0], fitted[1] * _SCALE[1], fitted[2] * _SCALE[2]), config=config
        )
        model._a, model._b, model._seen = a, b, len(seen)
        ratios = sorted(s / max(model.mean(t, q), config.floor_s) for t, q, s in seen)
        top = ratios[min(int(len(ratios) * config.quantile), len(ratios) - 1)]
        model._factor = min(max(top, 1.25), _MOST)
        model._publish()
        return model

    @property
    def coefficients(self) -> Row:
        """(c0 in s, c1 in s a token, c2 in s a squared token), of the middle."""
        c = self._c
        return (c[0] * _SCALE[0], c[1] * _SCALE[1], c[2] * _SCALE[2])

    @property
    def factor(self) -> float:
        """What the middle is multiplied with to be the quantile."""
        return self._factor

    @property
    def batches(self) -> int:
        """Observations so far."""
        return self._seen

    def mean(self, tokens: int, squares: int) -> float:
        """Seconds, in the middle."""
        c = self._c
        return c[0] + c[1] * (tokens * _SCALE[1]) + c[2] * (squares * _SCALE[2])

    def predict(self, tokens: int, squares: int) -> float:
        """Seconds, as a high quantile. tokens: sum(L); squares: sum(L^2)."""
        return self.q0 + self.q1 * tokens + self.q2 * squares

    def learn(self, tokens: int, squares: int, seconds: float) -> None:
        """A batch took so long; a time that is not above 0 (a clock went back) tells nothing."""
        if not (seconds > 0 and math.isfinite(seconds)):
            return
        config = self.config
        self._seen += 1
        middle = max(self.mean(tokens, squares), config.floor_s)
        step = config.step * (
            config.quantile if seconds > middle * self._factor else config.quantile - 1
        )
        self._factor = min(max(self._factor * math.exp(step), _LEAST), _MOST)
        counted = min(max(seconds, middle / config.outlier), middle * config.outlier)
        keep = math.exp(-1 / config.memory)
        a, b = self._a, self._b
        for i in range(3):
            b[i] *= keep
            row = a[i]
            row[0] *= keep
            row[1] *= keep
            row[2] *= keep
        x = (1.0, tokens * _SCALE[1], squares * _SCALE[2])
        _add(a, b, x, counted, 1 / middle**2)
        self._c = _solve(a, b, self._c, hold=_HOLD)
        self._publish()

    def _publish(self) -> None:
        c, f = self._c, self._factor
        self.q0 = max(c[0] * f, self.config.floor_s)
        self.q1 = c[1] * _SCALE[1] * f
        self.q2 = c[2] * _SCALE[2] * f


def _add(a: list[list[float]], b: list[float], x: Row, y: float, weight: float) -> None:
    for i in range(3):
        xi = x[i] * weight
        row = a[i]
        row[0] += xi * x[0]
        row[1] += xi * x[1]
        row[2] += xi * x[2]
        b[i] += xi * y


def _solve(
    a: list[list[float]], b: list[float], before: list[float], *, hold: float
) -> list[float]:
    """argmin over c >= 0 of c'Ac - 2b'c + hold * sum(a_ii * (c_i - before_i)^2).

    Exact: the best of the solutions with some coefficients at zero; the full one nearly always is.
    """
    m = [list(row) for row in a]
    r = list(b)
    for i in range(3):
        d = hold * a[i][i] + 1e-300
        m[i][i] += d
        r[i] += d * before[i]
    best, least = [max(c, 0.0) for c in before], math.inf
    for size in (3, 2, 1):
        for free in combinations(range(3), size):
            c = _subsystem(m, r, free)
            if c is None or min(c) < 0 or not any(c):
                continue
            value = sum(c[i] * (sum(m[i][j] * c[j] for j in range(3)) - 2 * r[i]) for i in range(3))
            if size == 3:
                return c
            if value < least:
                best, least = c, value
    return best


def _subsystem(m: list[list[float]], r: list[float], free: Sequence[int]) -> list[float] | None:
    """Cramer's rule for one, two or three unknowns, the others zero; None if singular."""
    c = [0.0, 0.0, 0.0]
    if len(free) == 1:
        (i,) = free
        if m[i][i] <= 0:
            return None
        c[i] = r[i] / m[i][i]
    elif len(free) == 2:
        i, j = free
        det = m[i][i] * m[j][j] - m[i][j] * m[j][i]
        if det <= 0:
            return None
        c[i] = (r[i] * m[j][j] - m[i][j] * r[j]) / det
        c[j] = (m[i][i] * r[j] - r[i] * m[j][i]) / det
    else:
        (m00, m01, m02), (_, m11, m12), (_, _, m22) = m
        k00, k01, k02 = m11 * m22 - m12 * m12, m02 * m12 - m01 * m22, m01 * m12 - m02 * m11
        det = m00 * k00 + m01 * k01 + m02 * k02
        if det <= 0:
            return None
        k11, k12, k22 = m00 * m22 - m02 * m02, m01 * m02 - m00 * m12, m00 * m11 - m01 * m01
        c[0] = (k00 * r[0] + k01 * r[1] + k02 * r[2]) / det
        c[1] = (k01 * r[0] + k11 * r[1] + k12 * r[2]) / det
        c[2] = (k02 * r[0] + k12 * r[1] + k22 * r[2]) / det
    return c
