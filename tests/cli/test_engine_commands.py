"""profile, bench and tune, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from limbeck.cli import main
from limbeck.engine import isas


def test_profile_tells_every_op(
    zoo: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(zoo("bert", "text-classification"))
    trace = tmp_path / "pass.json"
    arguments = [model, "--batch", "3x20", "--precision", "int8", "--rounds", "2"]
    assert main.run(["profile", *arguments, "--threads", "2", "--trace", str(trace)]) == 0
    table = capsys.readouterr().out
    for op in ("qkv", "attention", "quantize", "ffn_in", "ffn_out", "norm", "embed", "other"):
        assert f"\n{op} " in table
    assert "3x20, int8" in table
    assert json.loads(trace.read_text())["traceEvents"]
    assert main.run(["profile", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["batch"] == "3x20"
    assert sum(op["share"] for op in found["ops"]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("batch", ["8", "8x", "x8", "0x5", "8x128x2", "8x99999", "-1x5", "8 x 9"])
def test_profile_refuses_what_is_no_batch(
    zoo: Callable[..., Path], batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(zoo("bert", "text-classification"))
    assert main.run(["profile", model, f"--batch={batch}"]) == main.EXIT_INPUT
    assert "8x128" in (told := capsys.readouterr().err) or "tokens" in told


def test_profile_of_a_trace_that_cannot_be_written(
    zoo: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(zoo("bert", "text-classification"))
    path = tmp_path / "nowhere" / "pass.json"
    code = main.run(["profile", model, "--batch", "1x4", "--rounds", "1", "--trace", str(path)])
    assert code == main.EXIT_INPUT
    assert "cannot write" in capsys.readouterr().err


def test_bench_kernels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    arguments = ["bench", "kernels", "--isa", isas()[0], "--seconds", "0.01", "--tokens", "16"]
    assert main.run([*arguments, "--record", str(rows)]) == 0
    table = capsys.readouterr().out
    for pattern in ("dense", "1x4", "2x4", "4x4", "8x4"):
        assert pattern in table
    assert len(rows.read_text().splitlines()) == len(table.splitlines()) - 1
    assert main.run([*arguments, "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert {"isa", "kernel", "pattern", "median_gops", "peak_gops", "share"} <= set(first)


def test_bench_of_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["bench", "everything"]) == main.EXIT_INPUT
    assert "kernels" in capsys.readouterr().err
    assert main.run(["bench", "kernels", "--isa", "nonsense"]) == main.EXIT_FAILED
    assert "nonsense" in capsys.readouterr().err


def test_tune_keeps_what_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path))
    assert main.run(["tune", "--seconds", "0.01", "--dry-run"]) == 0
    assert "kept nothing" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    assert main.run(["tune", "--seconds", "0.01", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert Path(found["file"]).is_file()
    assert len(found["blocks"]) == 4
