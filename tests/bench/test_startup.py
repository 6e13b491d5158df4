"""Start-up costs are read from real processes, and a process that fails is an error."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from limbeck import artifact, measure
from limbeck.bench import models, startup
from limbeck.errors import EngineError

SHAPE = models.Shape(layers=1, hidden=32, heads=2, ffn=64, vocab=600, positions=64, labels=3)


def test_rows_come_from_real_processes(tmp_path: Path) -> None:
    if not (Path(sys.executable).parent / "limbeck").is_file():
        pytest.skip("limbeck is not installed into this environment")
    rows = {row.subject: row for row in startup.run(cache=tmp_path, rounds=1, shape=SHAPE)}
    assert len(rows) == 9
    imported, everything, predicted, sparsely, *rest = rows.values()
    in_a_row, after_a_pause, memory, sparse_memory, size = rest
    assert 0 < imported.value <= everything.value
    for cold in (predicted, sparsely):
        assert everything.value < cold.value  # a whole process and an answer besides
    assert 0 < in_a_row.value < predicted.value
    assert 0 < after_a_pause.value < predicted.value
    for peak in (memory, sparse_memory):
        assert peak.unit == "MB"
        assert 10 < peak.value < 1000
    assert 0 < size.value < 1
    assert measure.Row.from_json(memory.to_json()) == memory


def test_the_artifact_is_int8_and_sound(tmp_path: Path) -> None:
    directory = startup.write_artifact(tmp_path, SHAPE)
    with artifact.read(directory) as opened:
        assert opened.spec.quant.precision == "int8"
        assert opened.weights["layers.0.ffn.in.weight"].is_int8
    sparse = replace(SHAPE, blocks=models.Blocks(rows=4, cols=4))
    with artifact.read(startup.write_artifact(tmp_path, sparse)) as opened:
        assert opened.weights["layers.0.ffn.in.weight"].block == (4, 4)


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(EngineError, match="no such thing"):
        startup._run([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_the_memory_bound_is_the_promised_one() -> None:
    assert startup.bound_memory_mb(100) == pytest.approx(190)
