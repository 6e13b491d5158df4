"""Which layers of a model are pruned, and its weights in blocks.

Linear layers of the encoder only: queries, keys, values, attention output, and the two of the
feed-forward part. Embeddings, pooler and heads stay dense. Letters: F output rows, K inputs of a
layer; a pattern of r x c cuts it into [F / r, K / c] blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from limbeck.errors import InputError, ModelError, TrainingError
from limbeck.forge.taps import encoder_layers

Pattern = Literal["1x4", "2x4", "4x4", "8x4", "4x1"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)

# Names as the artifact has them -> BERT's and RoBERTa's, DistilBERT's.
NAMES: dict[str, tuple[str, str]] = {
    "attention.query": ("attention.self.query", "attention.q_lin"),
    "attention.key": ("attention.self.key", "attention.k_lin"),
    "attention.value": ("attention.self.value", "attention.v_lin"),
    "attention.output": ("attention.output.dense", "attention.out_lin"),
    "ffn.in": ("intermediate.dense", "ffn.lin1"),
    "ffn.out": ("output.dense", "ffn.lin2"),
}
# The engine multiplies these three as one matrix.
_FUSED = ("attention.query", "attention.key", "attention.value")


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One prunable layer. unit: what the engine runs as one matrix with it."""

    name: str
    unit: str
    weight: torch.Tensor


def sides(pattern: Pattern) -> tuple[int, int]:
    """Output rows and inputs of a block."""
    rows, cols = pattern.split("x")
    return int(rows), int(cols)


def part(layer: Any, name: str) -> torch.nn.Linear:
    """The linear layer inside an encoder layer, by the artifact's name for it.

    Raises:
        ModelError: there is none.
    """
    for path in NAMES[name]:
        try:
            found = layer.get_submodule(path)
        except AttributeError:
            continue
        if isinstance(found, torch.nn.Linear):
            return found
    raise ModelError(
        f"{type(layer).__name__} has no linear layer {name} that limbeck knows; it prunes BERT, "
        "RoBERTa, CamemBERT, XLM-R and DistilBERT"
    )


def prunable(model: Any, pattern: Pattern) -> list[Layer]:
    """The layers that can be pruned, in the order in which they run.

    Raises:
        ModelError: an architecture that is not known.
        InputError: the pattern does not divide a layer.
        TrainingError: a weight is not finite.
    """
    found = []
    for number, layer in enumerate(encoder_layers(model)):
        for name in NAMES:
            unit = "attention.qkv" if name in _FUSED else name
            made = Layer(
                name=f"layers.{number}.{name}",
                unit=f"layers.{number}.{unit}",
                weight=part(layer, name).weight,
            )
            _check(made, pattern)
            found.append(made)
    return found


def _check(layer: Layer, pattern: Pattern) -> None:
    rows, cols = layer.weight.shape
    check_divides(layer.name, (rows, cols), pattern)
    if not bool(torch.isfinite(layer.weight).all()):
        raise TrainingError(
            f"the weights of {layer.name} hold NaN or infinity; train or export the model again"
        )


def check_divides(name: str, shape: tuple[int, int], pattern: Pattern) -> None:
    """Whether a layer of so many output rows and inputs can be cut into blocks.

    Raises:
        InputError: it cannot; names the layer and the nearest patterns.
    """
    if not _divides(pattern, shape):
        fitting = sorted(
            (one for one in PATTERNS if _divides(one, shape)), key=lambda one: _far(one, pattern)
        )
        raise InputError(
            f"blocks of {pattern} do not divide {name}, which is {shape[0]}x{shape[1]} "
            f"(output rows x inputs); nearest patterns that do: {', '.join(fitting) or 'none'}"
        )


def _divides(pattern: Pattern, shape: tuple[int, ...]) -> bool:
    rows, cols = sides(pattern)
    return shape[0] % rows == 0 and shape[1] % cols == 0


def _far(one: Pattern, other: Pattern) -> int:
    """How many halvings and doublings lie between two patterns."""
    pairs = zip(sides(one), sides(other), strict=True)
    return sum(abs(a.bit_length() - b.bit_length()) for a, b in pairs)


def block_sums(values: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """[F, K] -> [F / r, K / c]: the sum over each block."""
    rows, cols = sides(pattern)
    grid = values.view(values.shape[0] // rows, rows, values.shape[1] // cols, cols)
    return grid.sum(dim=(1, 3))


def spread(blocks: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """[F / r, K / c] -> [F, K]: each block's value in all its places."""
    rows, cols = sides(pattern)
    return blocks.repeat_interleave(rows, 0).repeat_interleave(cols, 1)


def gone(weight: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    """[F / r, K / c] bool: blocks that hold nothing but zeros."""
    return block_sums((weight.detach() != 0).int(), pattern) == 0


def sparsities(model: Any, pattern: Pattern) -> dict[str, float]:
    """Share of blocks that are gone, by layer."""
    return {
        layer.name: float(gone(layer.weight, pattern).float().mean())
        for layer in prunable(model, pattern)
    }
