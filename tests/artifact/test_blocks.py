"""Block patterns are found where they are, and only there; packing loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import artifact_files as samples
from limbeck.artifact import BLOCK_PATTERNS, encode_blocks, find_block_pattern
from limbeck.errors import InputError
from limbeck.tensors import Tensor


def pruned(
    block: tuple[int, int], density: float, dtype: type = np.float32, seed: int = 0
) -> np.ndarray:
    """A [96, 128] matrix with random blocks of zeros; int8 has more of them, from rounding."""
    rng = np.random.default_rng(seed)
    full = rng.standard_normal((96, 128))
    if dtype is np.int8:
        full = np.rint(full * 127 / np.abs(full).max() / 2)
    mask = np.kron(rng.random((96 // block[0], 128 // block[1])) < density, np.ones(block))
    return (full * mask).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
@pytest.mark.parametrize("density", [0.1, 0.2, 0.5, 0.65])
@pytest.mark.parametrize("block", BLOCK_PATTERNS)
def test_finds_the_pattern(block: tuple[int, int], density: float, dtype: type) -> None:
    assert find_block_pattern(pruned(block, density, dtype)) == block


@pytest.mark.parametrize(
    "matrix",
    [
        pruned((4, 4), 1.0),
        pruned((4, 4), 1.0, np.int8),
        pruned((4, 4), 0.8),  # too few zeros
        pruned((1, 1), 0.5),  # zeros without blocks
        pruned((1, 1), 0.1),
        pruned((1, 1), 0.03, np.int8),
        pruned((1, 2), 0.4),  # blocks of a size that no kernel takes
        pruned((4, 4), 0.3)[:95, :126],  # no pattern divides it
        np.zeros((0, 8), dtype=np.float32),
    ],
    ids=["dense", "dense int8", "20 %", "random", "random 90", "random 97", "1x2", "odd", "empty"],
)
def test_finds_none(matrix: np.ndarray) -> None:
    assert find_block_pattern(matrix) is None


def test_zero_matrix_has_the_largest_pattern() -> None:
    assert find_block_pattern(np.zeros((16, 16), dtype=np.int8)) == BLOCK_PATTERNS[0]


def test_only_patterns_that_divide_the_shape() -> None:
    assert find_block_pattern(pruned((8, 4), 0.3)[:92]) == (4, 4)
    assert find_block_pattern(pruned((4, 4), 0.3)[:, :127]) == (4, 1)
    assert find_block_pattern(pruned((4, 4), 0.3)[:95]) == (1, 4)


def test_of_two_that_explain_the_zeros_the_one_with_fewer_bytes() -> None:
    matrix = pruned((8, 4), 0.5)
    rng = np.random.default_rng(1)
    for top in range(0, 96, 8):
        for left in range(0, 128, 4):
            if rng.random() < 0.2:  # 10 % stray zeros as 8x4, none as 4x4
                matrix[top : top + 4, left : left + 4] = 0
    assert find_block_pattern(matrix) == (4, 4)


def test_nan_is_no_zero() -> None:
    matrix = pruned((4, 4), 0.3)
    matrix[np.nonzero(matrix)] = np.nan
    assert find_block_pattern(matrix) == (4, 4)


def test_views_in_any_memory_order() -> None:
    matrix = pruned((4, 1), 0.3)
    assert find_block_pattern(np.asfortranarray(matrix)) == (4, 1)
    assert find_block_pattern(matrix.T) == (1, 4)


@pytest.mark.parametrize(
    "bad", [np.zeros(8, np.float32), np.zeros((4, 4)), np.zeros((2, 2, 2), np.int8)]
)
def test_refuses_what_is_no_matrix(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="float32 or int8 matrix"):
        find_block_pattern(bad)


def slow_encoding(matrix: np.ndarray, rows: int, cols: int) -> tuple[list[int], list[list[float]]]:
    """Bits and kept blocks by the letter of docs/format.md."""
    bits, kept = [], []
    for top in range(0, matrix.shape[0], rows):
        for left in range(0, matrix.shape[1], cols):
            block = [
                float(matrix[top + row, left + col]) for row in range(rows) for col in range(cols)
            ]
            bits.append(int(any(block)))
            if any(block):
                kept.append(block)
    return bits, kept


@settings(max_examples=60, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    block=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    density=st.floats(0, 1),
    int8=st.booleans(),
    seed=st.integers(0, 99),
)
def test_encoding_by_the_letter(
    grid: tuple[int, int], block: tuple[int, int], density: float, int8: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (grid[0] * block[0], grid[1] * block[1])
    mask = np.kron(rng.random(grid) < density, np.ones(block))
    values = (rng.integers(-9, 10, shape) * mask).astype(np.int8 if int8 else np.float32)
    scale = np.ones(shape[0], dtype=np.float32) if int8 else None
    dense = Tensor(shape=shape, values=values, scale=scale)
    packed = encode_blocks(dense, block)
    bits, kept = slow_encoding(values, *block)
    assert packed.block == block
    assert packed.bitmap is not None
    padded = bits + [0] * (-len(bits) % 8)
    assert np.unpackbits(packed.bitmap, bitorder="little").tolist() == padded
    assert packed.values.tolist() == kept
    assert packed.values.dtype == values.dtype
    assert packed.values.shape == (len(kept), block[0] * block[1])
    assert np.array_equal(packed.stored(), values)
    assert np.array_equal(packed.dense(), dense.dense())
    assert np.array_equal(encode_blocks(packed, (1, 1)).stored(), values), "and from blocks again"


@pytest.mark.parametrize("block", [(3, 4), (4, 3), (0, 4), (4, -4), (32, 4)])
def test_refuses_blocks_that_do_not_divide(block: tuple[int, int]) -> None:
    tensor = samples.weights(samples.spec())[samples.DENSE]
    with pytest.raises(InputError, match="does not divide"):
        encode_blocks(Tensor(shape=(20, 8), values=tensor.values[:20]), block)


def test_refuses_vectors() -> None:
    with pytest.raises(InputError, match="only matrices"):
        encode_blocks(Tensor(shape=(8,), values=np.zeros(8, dtype=np.float32)), (1, 4))
