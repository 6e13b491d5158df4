"""Outliers of activations moved into weights and biases, where that changes no answer.

SmoothQuant (Xiao et al. 2022, arXiv:2211.10438), equation 4: input channel j of a linear layer is
divided by `s_j = max|X_j|**alpha / max|W_j|**(1 - alpha)`, and column j of its weights multiplied
by it. Outlier Suppression+ (Wei et al. 2023, arXiv:2304.09145), section 4.1: channel j is moved by
`z_j = (max X_j + min X_j) / 2`, and `W z` added to the bias.

In an encoder with its norms behind the residual sums, both do not go everywhere. What a norm gives
is read by linear layers and, unchanged, by the next sum, which the next norm takes the mean and
variance of over all channels: channels divided by different s_j would make another sum. A move can
be taken back there, in the bias of the layer whose output is added. So:

- behind a norm that feeds linear layers: a move, into the norm's bias; back in the biases of the
  linear layers and of the residual branch (`attention.output` or `ffn.out`).
- before `attention.output`: a move, into the bias of the values, as the shares of attention add up
  to 1; and a division, into the rows of the values.
- before `ffn.out`, if the activation is ReLU: a division, into the rows of `ffn.in`.

All this is exact but for float rounding, which is tested.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch
from limbeck.engine import dequantize_weights
from limbeck.engine.reference import fp32
from limbeck.errors import InputError
from limbeck.spec import EncoderSpec
from limbeck.tensors import Tensor, Weights

F32 = npt.NDArray[np.float32]
_INPUTS = ("attention.query", "attention.key", "attention.value")
# A channel is divided or multiplied by no more than this: beyond it float32 would lose bits.
_MOST = 1e3


@dataclass(frozen=True, kw_only=True)
class Channels:
    """[K] lowest and highest value of each input channel of a layer, over all tokens."""

    low: F32
    high: F32

    @property
    def middle(self) -> F32:
        found: F32 = (self.low + self.high) / np.float32(2)
        return found

    def moved(self, by: F32) -> Channels:
        return Channels(low=self.low - by, high=self.high - by)

    @property
    def largest(self) -> F32:
        return np.maximum(np.abs(self.low), np.abs(self.high))


def channels(
    encoder: EncoderSpec, weights: Weights, batches: Iterable[PackedBatch]
) -> dict[str, Channels]:
    """What the inputs of each linear layer span on these texts, by the name of their range.

    Raises:
        InputError: no texts.
    """
    found: dict[str, Channels] = {}

    def observe(name: str, x: F32) -> None:
        low, high = x.min(axis=0), x.max(axis=0)
        if name in found:
            low, high = np.minimum(found[name].low, low), np.maximum(found[name].high, high)
        found[name] = Channels(low=low, high=high)

    for batch in batches:
        fp32.encode(encoder, weights, batch, observe)
    if not found:
        raise InputError("outliers need at least one text to be found on")
    return found


def check_alpha(alpha: float) -> None:
    """Raises InputError where alpha is no share."""
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha of smoothing must be in 0 .. 1, found {alpha!r}")


def smooth(
    encoder: EncoderSpec, weights: Weights, spans: dict[str, Channels], alpha: float = 0.5
) -> dict[str, Tensor]:
    """Weights that give the same answers in float32, from smoother activations.

    Args:
        weights: float32. spans: as `channels` gives them for these weights.
        alpha: how much of the difficulty goes from activations to weights.

    Returns:
        The tensors that changed; those with zeros in blocks keep them.

    Raises:
        InputError: alpha is no share.
    """
    check_alpha(alpha)
    floats = dequantize_weights(weights)
    work = {
        name: tensor.dense().astype(np.float64)
        for name, tensor in floats.items()
        if name.startswith(("layers.", "embeddings.norm."))
    }
    for i in range(encoder.layers):
        at = f"layers.{i}."
        before = "embeddings.norm" if i == 0 else f"layers.{i - 1}.ffn.norm"
        readers = [at + name for name in _INPUTS]
        _move_norm(work, spans[at + "attention.range"].middle, before, readers, at + _OUTPUT)
        _smooth_values(work, spans[at + "attention.output.range"], at, alpha)
        _move_norm(
            work,
            spans[at + "ffn.in.range"].middle,
            at + "attention.norm",
            [at + "ffn.in"],
            at + "ffn.out",
        )
        if encoder.activation == "relu":
            largest = spans[at + "ffn.out.range"].largest
            factor = _factors(largest, work[at + "ffn.out.weight"], alpha)
            _divide(work, at + "ffn.in", at + "ffn.out", factor)
    return {
        name: Tensor(shape=values.shape, values=values.astype(np.float32))
        for name, values in work.items()
        if not np.array_equal(values, floats[name].dense())
    }


_OUTPUT = "attention.output"


def _move_norm(
    work: dict[str, npt.NDArray[np.float64]], by: F32, norm: str, readers: list[str], branch: str
) -> None:
    work[norm + ".bias"] = work[norm + ".bias"] - by
    for reader in readers:
        work[reader + ".bias"] = work[reader + ".bias"] + work[reader + ".weight"] @ by
    # the sum that the next norm looks at is what it was
    work[branch + ".bias"] = work[branch + ".bias"] + by


def _smooth_values(
    work: dict[str, npt.NDArray[np.float64]], span: Channels, at: str, alpha: float
) -> None:
    value, output, by = at + "attention.value", at + _OUTPUT, span.middle
    work[value + ".bias"] = work[value + ".bias"] - by
    work[output + ".bias"] = work[output + ".bias"] + work[output + ".weight"] @ by
    factor = _factors(span.moved(by).largest, work[output + ".weight"], alpha)
    _divide(work, value, output, factor)


def _divide(
    work: dict[str, npt.NDArray[np.float64]],
    giver: str,
    reader: str,
    factor: npt.NDArray[np.float64],
) -> None:
    work[giver + ".weight"] = work[giver + ".weight"] / factor[:, None]
    work[giver + ".bias"] = work[giver + ".bias"] / factor
    work[reader + ".weight"] = work[reader + ".weight"] * factor


def _factors(
    largest: F32, weight: npt.NDArray[np.float64], alpha: float
) -> npt.NDArray[np.float64]:
    """[K] s_j of equation 4; 1 where a channel or its weights are all zero."""
    columns = np.abs(weight).max(axis=0)
    there = (largest > 0) & (columns > 0)
    activations = np.where(there, largest, 1).astype(np.float64)
    found = activations**alpha / np.where(there, columns, 1) ** (1 - alpha)
    # one factor for all channels changes nothing: their geometric mean is taken out
    found = found / np.exp(np.log(found[there]).mean()) if there.any() else found
    return np.where(there, np.clip(found, 1 / _MOST, _MOST), 1.0)
