"""Static ranges that a model was trained with: they travel in its lineage, as numbers by name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from limbeck import engine, runtimes
from limbeck.batch import PackedBatch, pack
from limbeck.errors import ModelError
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.quantize.fake import Ranges
from limbeck.forge.tokenised import TokenisedSet
from limbeck.tensors import Tensor

KEY = "static_ranges"
_WINDOWS = 8


def measured(model: Checkpoint, tokens: TokenisedSet, count: int, observer: str) -> Ranges:
    """Ranges of a model's activations on `count` evenly chosen windows of its training rows.

    Raises:
        InputError: no windows, no such observer, or a layer whose inputs are all zero.
    """
    chosen = np.unique(np.linspace(0, len(tokens.ids) - 1, count).astype(np.int64)).tolist()

    def batches() -> Iterator[PackedBatch]:
        for start in range(0, len(chosen), _WINDOWS):
            some = chosen[start : start + _WINDOWS]
            yield pack([tokens.ids[at] for at in some], [tokens.type_ids[at] for at in some])

    with tempfile.TemporaryDirectory(prefix="limbeck-") as scratch:
        source = runtimes.open_source(model.save(Path(scratch) / "model"), model.task)
        found = engine.static_ranges(source.spec.encoder, source.weights, batches(), observer)
    return {
        name: (float(tensor.values[0]), float(tensor.values[1])) for name, tensor in found.items()
    }


def of_lineage(lineage: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """The ranges that a model was last trained with; None where it was trained without.

    Raises:
        ModelError: they are no pairs of numbers.
    """
    found = lineage.get(KEY)
    if found is None or lineage.get("step") != "qat":
        return None
    try:
        return {
            str(name): Tensor(shape=(2,), values=np.array([float(low), float(high)], np.float32))
            for name, (low, high) in found.items()
        }
    except (AttributeError, TypeError, ValueError):
        raise ModelError(
            f"the lineage's {KEY} must hold a low and a high end by tensor name; train the model "
            "again, or delete its lineage.json to leave them out"
        ) from None
