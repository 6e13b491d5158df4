"""The table of kernel costs: measured, kept, read back, used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from limbeck import huggingface
from limbeck.engine import Engine, SparseCosts, isas, tuning
from limbeck.engine.library import has_bf16
from limbeck.errors import EngineError, InputError
from limbeck.tensors import Tensor

COSTS = SparseCosts(dense=1.0, blocks=(2.0, 1.5, 1.25, 1.0), row_of_blocks=3.0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path))
    return tmp_path


def test_what_is_kept_comes_back() -> None:
    assert tuning.saved("avx2") is None
    path = tuning.save("avx2", COSTS)
    assert tuning.saved("avx2") == COSTS
    assert tuning.saved("reference") is None
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1, "isa": "avx2", "dense": 1, "blocks": [1]}'],
)
def test_a_damaged_file_is_named(text: str) -> None:
    path = tuning.save("avx2", COSTS)
    path.write_text(text)
    with pytest.raises(EngineError, match=r"avx2\.json.*limbeck tune"):
        tuning.saved("avx2")


@pytest.mark.parametrize(
    "values",
    [
        {"dense": -1.0},
        {"dense": float("nan")},
        {"blocks": (1.0, 1.0, 1.0)},
        {"dense": 0.0, "blocks": (0.0,) * 4, "row_of_blocks": 0.0},
    ],
)
def test_costs_that_make_no_sense(values: dict[str, object]) -> None:
    given = {"dense": 1.0, "blocks": (1.0,) * 4, "row_of_blocks": 1.0} | values
    with pytest.raises(InputError, match="costs"):
        SparseCosts(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("height", [0, *tuning.HEIGHTS])
def test_kernels_can_be_timed(isa: str, height: int) -> None:
    run = tuning.time_linear(isa, "int8", 24, 40, 20, block_rows=height, density=0.5, seconds=0.001)
    assert 0 < run.median <= run.best
    assert tuning.time_linear(isa, "fp32", 24, 40, 20, seconds=0.001).best > 0


def test_what_cannot_be_timed() -> None:
    for wrong in ({"rows": 0}, {"block_rows": 3}, {"density": 2.0}):
        arguments = {"rows": 8, "block_rows": 0, "density": 0.5} | wrong
        with pytest.raises(EngineError, match="cannot be timed"):
            tuning.time_linear("reference", "int8", cols=8, tokens=1, seconds=0.001, **arguments)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="peak"):
        tuning.peak("reference", "int8", 0.001)
    with pytest.raises(EngineError, match="nonsense"):
        tuning.peak("nonsense", "int8", 0.001)


@pytest.mark.parametrize("precision", ["int8", "bf16", "fp32"])
def test_the_peak_is_above_every_kernel(precision: str) -> None:
    """A miscounted operation shows at any speed; a busy machine passes as soon as it is calm."""
    isa = isas()[0]
    if isa == "reference" or (precision == "bf16" and not has_bf16(isa)):
        pytest.skip("this CPU has no such kernels")
    kernel = tuning.time_linear(isa, precision, 768, 768, 64, seconds=0.02).median
    assert any(tuning.peak(isa, precision, 0.02) > 0.95 * kernel for _ in range(100))


def test_measuring_gives_a_table() -> None:
    found = tuning.measure(isas()[0], tokens=32, seconds=0.002, rounds=1)
    assert found.dense == 1.0
    assert all(0 < cost < 100 for cost in found.blocks)


def test_a_kept_table_decides(zoo: Callable[..., Path]) -> None:
    model = huggingface.read(zoo("bert", "text-classification"))
    name = "layers.0.ffn.in.weight"
    values = model.weights[name].values.copy()
    values[:, 4:] = 0
    weights = dict(model.weights) | {name: Tensor(shape=values.shape, values=values)}
    isa = isas()[0]

    def pattern() -> str | None:
        engine = Engine(model.spec, weights, precision="int8", threads=1, isa=isa)
        layers = {layer["name"]: layer for layer in engine.describe()["layers"]}
        found: str | None = layers["layers.0.ffn.in"]["pattern"]
        return found

    never = SparseCosts(dense=0.0, blocks=(9.0,) * 4, row_of_blocks=9.0)
    tuning.save(isa, never)
    assert pattern() is None
    for place, height in enumerate(tuning.HEIGHTS):
        blocks = np.full(4, 99.0)
        blocks[place] = 0.01
        costs = SparseCosts(dense=50.0, blocks=tuple(blocks.tolist()), row_of_blocks=0.0)
        tuning.save(isa, costs)
        assert pattern() == f"{height}x4"
