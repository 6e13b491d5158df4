"""The estimate of a layer's time against the rule written out, and against the library's choice."""

from __future__ import annotations

import json

import numpy as np
import pytest

from limbeck.engine import LatencyTable, SparseCosts, latency_us, measure_latency, tuning
from limbeck.engine.latency import kept_share
from limbeck.errors import InputError

COSTS = SparseCosts(dense=1.0, blocks=(1.9, 1.25, 1.08, 1.05), row_of_blocks=3.0)
PATTERNS = ((1, 4), (2, 4), (4, 4), (8, 4), (4, 1))


def table(**more: object) -> LatencyTable:
    known = {(64, 96): 50.0, (768, 3072): 900.0, (20, 30): 7.0}
    options = {"isa": "avx2", "tokens": 128, "threads": 1, "costs": COSTS, "dense_us": known}
    return LatencyTable(**(options | more))  # type: ignore[arg-type]


def test_expected_blocks_are_those_of_random_masks() -> None:
    draw = np.random.default_rng(0)
    for rows, cols in PATTERNS:
        for sparsity in (0.5, 0.9):
            kept = draw.random((1600 // rows, 1600 // cols)) >= sparsity
            whole = np.kron(kept, np.ones((rows, cols))) > 0
            for height in (1, 2, 4, 8):
                blocks = whole.reshape(1600 // height, height, 400, 4).any(axis=(1, 3))
                assert kept_share((rows, cols), sparsity, height) == pytest.approx(
                    blocks.mean(), abs=0.01
                )


def written_out(shape: tuple[int, int], pattern: tuple[int, int], s: float, dense: float) -> float:
    """ChooseBlockHeight of native/ops/block_sparse.cc, with blocks gone at random."""
    rows, quads = (shape[0] + 7) // 8 * 8, (shape[1] + 3) // 4
    costs = [rows * quads * 1.0]
    for height, cost in zip((1, 2, 4, 8), COSTS.blocks):
        small = (max(height, pattern[0]) // pattern[0]) * (4 // pattern[1])
        kept = (1 - s**small) * rows / height * quads
        slices = 1 if height >= 4 or quads <= 192 else (quads + 127) // 128
        costs.append(kept * height * cost + slices * rows / height * 3.0)
    return dense * min(costs) / (rows * quads)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("sparsity", [0.0, 0.2, 0.5, 0.8, 0.98, 1.0])
def test_the_cheapest_kernel_counts(pattern: tuple[int, int], sparsity: float) -> None:
    for shape, dense in table().dense_us.items():
        found = table().latency_us(shape, pattern, sparsity)
        assert found == pytest.approx(written_out(shape, pattern, sparsity, dense), rel=1e-9)
        assert found <= dense
        assert table(threads=2).latency_us(shape, pattern, sparsity) == pytest.approx(found / 2)
    assert table().latency_us((64, 96), None, 0.9) == 50.0


def test_a_table_is_the_same_behind_json_and_refuses_nonsense() -> None:
    again = LatencyTable.from_dict(json.loads(json.dumps(table().as_dict())))
    assert again == table()
    with pytest.raises(InputError, match="no table of latencies"):
        LatencyTable.from_dict({"isa": "avx2"})
    with pytest.raises(InputError, match="65x96 is not in this table"):
        table().latency_us((65, 96), (4, 4), 0.5)
    with pytest.raises(InputError, match=r"0 \.\. 1, found 1.5"):
        table().latency_us((64, 96), (4, 4), 1.5)
    with pytest.raises(InputError, match="one token"):
        table(tokens=0)
    with pytest.raises(InputError, match="more than 0"):
        table(dense_us={(4, 4): 0.0})


def test_it_is_measured_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "saved", lambda isa: COSTS)
    found = measure_latency([(64, 64), (64, 64), (128, 64)], tokens=32, seconds=0.01)
    assert sorted(found.dense_us) == [(64, 64), (128, 64)]
    assert found.costs == COSTS
    half, whole = (latency_us((256, 256), (8, 4), s, 32, 1) for s in (0.9, 0.0))
    assert 0 < half < whole
