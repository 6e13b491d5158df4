"""Named weights, and the one table that says which of them a model has.

Reader, writer, Hugging Face import, the native engine and docs/format.md all take names, axes,
kinds and requirements from `TENSOR_TABLE`; nobody else spells them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from limbeck.errors import ModelError
from limbeck.spec import Activations, EncoderSpec, HeadSpec

Axis = Literal["C", "F", "V", "P", "Y", "L", "R"]
When = Literal["always", "types", "head", "dense_head", "static"]


@dataclass(frozen=True, kw_only=True)
class TensorRow:
    """One row of the table. `{i}` in a name stands for a layer number.

    kind "linear": [outputs, inputs], may be int8 rows and block-sparse; "embedding": [rows, C],
    may be int8 rows; "float": always float32. Axis R is a range's low and high end.
    """

    name: str
    axes: tuple[Axis, ...]
    kind: Literal["linear", "embedding", "float"]
    when: When = "always"


def _row(
    name: str, axes: str, kind: Literal["linear", "embedding", "float"], when: When = "always"
) -> TensorRow:
    return TensorRow(name=name, axes=tuple(axes), kind=kind, when=when)  # type: ignore[arg-type]


TENSOR_TABLE: tuple[TensorRow, ...] = (
    _row("embeddings.word", "VC", "embedding"),
    _row("embeddings.position", "PC", "float"),
    _row("embeddings.type", "YC", "float", "types"),
    _row("embeddings.norm.gain", "C", "float"),
    _row("embeddings.norm.bias", "C", "float"),
    _row("layers.{i}.attention.query.weight", "CC", "linear"),
    _row("layers.{i}.attention.query.bias", "C", "float"),
    _row("layers.{i}.attention.key.weight", "CC", "linear"),
    _row("layers.{i}.attention.key.bias", "C", "float"),
    _row("layers.{i}.attention.value.weight", "CC", "linear"),
    _row("layers.{i}.attention.value.bias", "C", "float"),
    _row("layers.{i}.attention.range", "R", "float", "static"),
    _row("layers.{i}.attention.output.weight", "CC", "linear"),
    _row("layers.{i}.attention.output.bias", "C", "float"),
    _row("layers.{i}.attention.output.range", "R", "float", "static"),
    _row("layers.{i}.attention.norm.gain", "C", "float"),
    _row("layers.{i}.attention.norm.bias", "C", "float"),
    _row("layers.{i}.ffn.in.weight", "FC", "linear"),
    _row("layers.{i}.ffn.in.bias", "F", "float"),
    _row("layers.{i}.ffn.in.range", "R", "float", "static"),
    _row("layers.{i}.ffn.out.weight", "CF", "linear"),
    _row("layers.{i}.ffn.out.bias", "C", "float"),
    _row("layers.{i}.ffn.out.range", "R", "float", "static"),
    _row("layers.{i}.ffn.norm.gain", "C", "float"),
    _row("layers.{i}.ffn.norm.bias", "C", "float"),
    _row("head.dense.weight", "CC", "float", "dense_head"),
    _row("head.dense.bias", "C", "float", "dense_head"),
    _row("head.classifier.weight", "LC", "float", "head"),
    _row("head.classifier.bias", "L", "float", "head"),
)


def is_range(name: str) -> bool:
    """Whether a tensor is a static range: measured on texts, not one of the model's weights."""
    return name.endswith(".range")


def expected_tensors(
    encoder: EncoderSpec,
    head: HeadSpec | None,
    labels: int,
    activations: Activations = "dynamic",
) -> Iterator[tuple[str, tuple[int, ...], TensorRow]]:
    """Yield (name, shape, table row) for every tensor that a model of this shape must have."""
    sizes: dict[str, int] = {
        "C": encoder.hidden,
        "F": encoder.ffn,
        "V": encoder.vocab,
        "P": encoder.positions,
        "Y": encoder.types,
        "L": labels,
        "R": 2,
    }
    present: dict[When, bool] = {
        "always": True,
        "types": encoder.types > 0,
        "head": head is not None,
        "dense_head": head is not None and head.dense is not None,
        "static": activations == "static",
    }
    for row in TENSOR_TABLE:
        if not present[row.when]:
            continue
        shape = tuple(sizes[axis] for axis in row.axes)
        if "{i}" in row.name:
            for layer in range(encoder.layers):
                yield row.name.replace("{i}", str(layer)), shape, row
        else:
            yield row.name, shape, row


# Numbers of so many bytes, which move faster than bytes of no type.
_WORDS = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Tensor:
    """One weight, in one of three encodings.

    Dense: `values` is [rows, cols] (or [cols]) float32, or int8 with `scale` [rows] float32, and
    weight = scale * values. Block-sparse: `block` = (block rows, block cols), `bitmap` is uint8,
    one bit a block in row-major block order, least significant bit first, and `values` is
    [kept blocks, block rows * block cols] in bitmap order, each block row-major.
    """

    shape: tuple[int, ...]
    values: npt.NDArray[np.float32] | npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32] | None = None
    block: tuple[int, int] | None = None
    bitmap: npt.NDArray[np.uint8] | None = None

    @property
    def is_int8(self) -> bool:
        return self.values.dtype == np.int8

    @property
    def size_bytes(self) -> int:
        """Bytes as stored: values, scales and bitmap."""
        parts = (self.values, self.scale, self.bitmap)
        return sum(part.nbytes for part in parts if part is not None)

    @property
    def sparsity(self) -> float:
        """Share of blocks that are not stored; 0 for a dense tensor."""
        if self.block is None:
            return 0.0
        blocks = (self.shape[0] // self.block[0]) * (self.shape[1] // self.block[1])
        return 1.0 - int(self.values.shape[0]) / blocks

    def stored(self) -> npt.NDArray[np.float32] | npt.NDArray[np.int8]:
        """Dense values in the stored number format, [rows, cols]: zeros where blocks are gone."""
        if self.block is None:
            return self.values
        assert self.bitmap is not None
        rows, cols = self.block
        grid = (self.shape[0] // rows, self.shape[1] // cols)
        kept = np.unpackbits(self.bitmap, count=grid[0] * grid[1], bitorder="little")
        row, col = np.nonzero(kept.reshape(grid))
        # A row of a block moves as one item.
        item = np.dtype(_WORDS.get(cols * self.values.itemsize, f"V{cols * self.values.itemsize}"))
        found = np.zeros((grid[0], rows, grid[1]), dtype=item)
        found[row, :, col] = np.ascontiguousarray(self.values).view(item).reshape(-1, rows)
        return found.view(self.values.dtype).reshape(self.shape)

    def dense(self) -> npt.NDArray[np.float32]:
        """The weight itself as float32, [rows, cols]."""
        stored = self.stored()
        if self.scale is None:
            return stored.astype(np.float32, copy=False)
        return stored.astype(np.float32) * self.scale[:, None]


Weights = Mapping[str, Tensor]


def require_finite(weights: Weights) -> None:
    """Refuse NaN and infinity, which would turn up as silent nonsense in every answer.

    Raises:
        ModelError: naming the tensor.
    """
    for name, tensor in weights.items():
        for part in (tensor.values, tensor.scale):
            if part is None or part.dtype == np.int8:
                continue
            # A sum is not finite if a summand is not, and costs no temporary array; only a sum
            # that overflows needs the second look.
            with np.errstate(over="ignore", invalid="ignore"):
                total = part.sum()
            if not np.isfinite(total) and not np.isfinite(part).all():
                raise ModelError(f"tensor {name} holds NaN or infinity; export the model again")
