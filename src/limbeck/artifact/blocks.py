"""Recognising and packing block-sparse weights.

A pruned layer arrives as a dense matrix with zeros. Stored as bitmap + kept blocks it takes the
space of what is left, and the engine sees the pattern without looking for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.tensors import Tensor

# Rows x cols, in the shapes that sparse kernels for panels of four inputs or of single ones take.
BLOCK_PATTERNS: tuple[tuple[int, int], ...] = (
    (8, 4),
    (4, 4),
    (8, 1),
    (2, 4),
    (4, 1),
    (1, 4),
)

# Below this share of zero blocks neither space nor time is worth a second encoding.
_MIN_ZERO_BLOCKS = 0.3
# Zeros that a pattern leaves inside its kept blocks, as a share of the elements there. int8
# rounding leaves 1 to 6 %; a pattern twice too coarse leaves s / (1 + s), over 35 % wherever it
# would reach _MIN_ZERO_BLOCKS at all, and unstructured zeros leave more.
_MAX_STRAY_ZEROS = 0.2

Matrix = npt.NDArray[np.float32] | npt.NDArray[np.int8]


def find_block_pattern(dense: Matrix) -> tuple[int, int] | None:
    """The block pattern of a matrix [F, K], or None when it is not block-sparse.

    Of the patterns in BLOCK_PATTERNS that explain the zeros, the one that stores the matrix in the
    fewest bytes: of two that find the same zeros, the larger.

    Raises:
        InputError: not a matrix of float32 or int8.
    """
    if dense.ndim != 2 or dense.dtype not in (np.dtype(np.float32), np.dtype(np.int8)):
        raise InputError(f"expected a float32 or int8 matrix, found {dense.dtype} {dense.shape}")
    if not dense.size:
        return None
    nonzero = dense != 0
    nonzeros = int(np.count_nonzero(nonzero))
    if dense.size - nonzeros < _MIN_ZERO_BLOCKS * dense.size:
        return None
    best: tuple[float, tuple[int, int]] | None = None
    for rows, cols in BLOCK_PATTERNS:
        if dense.shape[0] % rows or dense.shape[1] % cols:
            continue
        kept_blocks = int(np.count_nonzero(_kept(nonzero, rows, cols)))
        blocks = dense.size // (rows * cols)
        kept = kept_blocks * rows * cols
        if blocks - kept_blocks < _MIN_ZERO_BLOCKS * blocks:
            continue
        if kept - nonzeros > _MAX_STRAY_ZEROS * kept:
            continue
        size = kept * dense.itemsize + blocks / 8
        if best is None or size < best[0]:
            best = (size, (rows, cols))
    return None if best is None else best[1]


def _kept(nonzero: npt.NDArray[np.bool_], rows: int, cols: int) -> npt.NDArray[np.bool_]:
    """[F / rows, K / cols]: blocks with anything in them. Folds halves; sizes are powers of two."""
    while cols > 1:
        nonzero = nonzero[:, 0::2] | nonzero[:, 1::2]
        cols //= 2
    while rows > 1:
        nonzero = nonzero[0::2] | nonzero[1::2]
        rows //= 2
    return nonzero


def encode_blocks(tensor: Tensor, block: tuple[int, int]) -> Tensor:
    """The same weight with its zero blocks left out; `dense()` gives it back exactly.

    Args:
        tensor: [rows, cols], dense or block-sparse, float32 or int8.
        block: any (block rows, block cols) that divides the shape.

    Raises:
        InputError: no matrix, or the block does not divide it.
    """
    rows, cols = block
    if len(tensor.shape) != 2:
        raise InputError(f"only matrices can be block-sparse, found shape {tensor.shape}")
    if rows < 1 or cols < 1 or tensor.shape[0] % rows or tensor.shape[1] % cols:
        raise InputError(f"shape {tensor.shape} does not divide into blocks of {rows}x{cols}")
    grid = (tensor.shape[0] // rows, tensor.shape[1] // cols)
    stored: npt.NDArray[Any] = tensor.stored().reshape(grid[0], rows, grid[1], cols)
    blocks = stored.transpose(0, 2, 1, 3).reshape(grid[0] * grid[1], rows * cols)
    kept = blocks.any(axis=1)
    values: Matrix = blocks[kept]
    return Tensor(
        shape=tensor.shape,
        values=values,
        scale=tensor.scale,
        block=(rows, cols),
        bitmap=np.packbits(kept, bitorder="little"),
    )
