"""Static ranges of activations, taken from what the float32 oracle computes on sample texts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch
from limbeck.engine.quantization import FLAT_RANGE, convert_weights, token_extent
from limbeck.engine.reference import fp32
from limbeck.errors import InputError
from limbeck.spec import EncoderSpec
from limbeck.tensors import Tensor, Weights

F32 = npt.NDArray[np.float32]


def static_ranges(
    encoder: EncoderSpec, weights: Weights, batches: Iterable[PackedBatch]
) -> dict[str, Tensor]:
    """The lowest and highest input of each linear layer over all batches: the tensors that a model
    with `QuantSpec(precision="int8", activations="static")` has beside its weights.

    A static range is as wide as the widest token asks for, so every other token is rounded more
    coarsely than in a range of its own: it buys speed with accuracy. Outliers are not cut off.

    Raises:
        InputError: no batch, or a layer whose inputs are all alike.
    """
    found: dict[str, tuple[float, float]] = {}

    def observe(name: str, x: F32) -> None:
        lows, highs = token_extent(x)
        low, high = found.get(name, (0.0, 0.0))
        found[name] = (min(low, float(lows.min())), max(high, float(highs.max())))

    floats = convert_weights(weights, encoder, "fp32")
    for batch in batches:
        fp32.encode(encoder, floats, batch, observe)
    if not found:
        raise InputError("static ranges need at least one text to be measured on")
    for name, (low, high) in found.items():
        if not high - low > FLAT_RANGE:
            raise InputError(f"{name} would be empty: every input of that layer is zero")
    return {
        name: Tensor(shape=(2,), values=np.array(ends, dtype=np.float32))
        for name, ends in found.items()
    }
