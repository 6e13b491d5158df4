"""Static ranges of activations, taken from what the float32 oracle computes on sample texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch
from limbeck.engine.observers import RangeObserver, observer
from limbeck.engine.quantization import FLAT_RANGE, convert_weights
from limbeck.engine.reference import fp32
from limbeck.errors import InputError
from limbeck.spec import EncoderSpec
from limbeck.tensors import Tensor, Weights

F32 = npt.NDArray[np.float32]


def static_ranges(
    encoder: EncoderSpec,
    weights: Weights,
    batches: Iterable[PackedBatch],
    how: str = "minmax",
) -> dict[str, Tensor]:
    """A range for the inputs of each linear layer over all batches: the tensors that a model
    with `QuantSpec(precision="int8", activations="static")` has beside its weights.

    A static range serves all tokens, so most of them are rounded more coarsely than in a range of
    their own: it buys speed with accuracy.

    Args:
        how: one of `limbeck.engine.observers.OBSERVERS`. "minmax": as wide as the widest token asks
            for; "percentile" cuts off the outermost values, "mse" what costs the least.

    Raises:
        InputError: no batch, a layer whose inputs are all zero or not finite, or no such observer.
    """
    return static_ranges_by(encoder, weights, batches, (how,))[how]


def static_ranges_by(
    encoder: EncoderSpec,
    weights: Weights,
    batches: Iterable[PackedBatch],
    how: Sequence[str],
) -> dict[str, dict[str, Tensor]]:
    """`static_ranges` by several observers, from one pass over the batches."""
    observers: dict[str, dict[str, RangeObserver]] = {name: {} for name in how}
    for name in how:
        observer(name)  # no such observer: said before the pass

    def observe(name: str, x: F32) -> None:
        if not np.isfinite(x).all():
            raise InputError(f"{name} has no ends: on these texts that layer reads infinity or NaN")
        for which, found in observers.items():
            if name not in found:
                found[name] = observer(which)
            found[name].see(x)

    floats = convert_weights(weights, encoder, "fp32")
    for batch in batches:
        fp32.encode(encoder, floats, batch, observe)
    return {which: _tensors(found) for which, found in observers.items()}


def _tensors(observers: Mapping[str, RangeObserver]) -> dict[str, Tensor]:
    if not observers:
        raise InputError("static ranges need at least one text to be measured on")
    made = {}
    for name, one in observers.items():
        low, high = one.ends()
        if not high - low > FLAT_RANGE:
            raise InputError(f"{name} would be empty: every input of that layer is zero")
        made[name] = Tensor(shape=(2,), values=np.array((low, high), dtype=np.float32))
    return made
