"""Contestants behind pipes: answers arrive, failures say why, wrong answers stop the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from limbeck import measure
from limbeck.bench import engine, models, worker
from limbeck.bench.workloads import GRID, Point
from limbeck.errors import EngineError, InputError

SHAPE = models.Shape(layers=2, hidden=32, heads=2, ffn=64, vocab=600, positions=64, labels=3)
POINT = Point(batch=2, tokens=16)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.write_model(tmp_path_factory.mktemp("bench") / "hf", SHAPE)


def test_model_is_the_same_for_the_same_seed_and_has_teeth(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    one = load_file(models.write_model(tmp_path / "a", SHAPE) / "model.safetensors")
    two = load_file(models.write_model(tmp_path / "b", SHAPE) / "model.safetensors")
    other = load_file(models.write_model(tmp_path / "c", SHAPE, seed=1) / "model.safetensors")
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not any(np.array_equal(one[name], other[name]) for name in one)
    for name, values in one.items():
        if name.endswith(".bias"):
            assert values.std() > 0.03, name
        if name.endswith("orm.weight"):
            assert values.min() < 0.7 < 1.3 < values.max(), name
        if "lin" in name and values.ndim == 2:
            rows = np.abs(values).max(axis=1)
            assert rows.max() > 2 * rows.min(), name


def test_tokenizer_has_the_whole_vocabulary(directory: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == SHAPE.vocab
    ids = tokenizer.encode("hello, babab 42").ids
    assert ids[0] == 2
    assert ids[-1] == 3
    assert 1 not in ids


def test_token_ids_are_reproducible_and_in_range() -> None:
    rows = models.token_ids(3, 20, vocab=600)
    assert rows == models.token_ids(3, 20, vocab=600)
    assert [len(row) for row in rows] == [20] * 3
    assert all(0 <= token < 600 for row in rows for token in row)
    assert rows[0] != rows[1]


def test_points_are_read_and_nonsense_is_refused() -> None:
    assert Point.parse(" 32x128") == Point(batch=32, tokens=128)
    assert len(GRID) == 9
    for text in ("", "32", "0x128", "32x", "32 x 128", "-1x8"):
        with pytest.raises(InputError, match="BATCHxTOKENS"):
            Point.parse(text)


def test_relative_error_is_the_naive_one_and_blind_to_a_shared_offset() -> None:
    draw = np.random.default_rng(0)
    wanted = draw.standard_normal((5, 3)).astype(np.float32)
    noise = draw.standard_normal((5, 3)).astype(np.float32) * np.float32(0.1)
    noise -= noise.mean(axis=0)
    spread = sum(float(v) ** 2 for v in (wanted - wanted.mean(axis=0)).ravel()) ** 0.5
    naive = sum(float(v) ** 2 for v in noise.ravel()) ** 0.5 / spread
    assert engine.relative_error(wanted + noise, wanted) == pytest.approx(naive, rel=1e-4)
    assert engine.relative_error(wanted + np.float32(7), wanted) < 1e-5
    assert engine.relative_error(np.zeros_like(wanted), wanted) == pytest.approx(1)


def test_wrong_answers_stop_the_run() -> None:
    good = {
        "limbeck fp32": [1e-6, 1e-6],
        "limbeck int8": [0.05, 0.05],
        "onnxruntime int8": [0.04, 0.04],
    }
    engine.refuse_wrong_answers(good)
    for name, values in (
        ("limbeck fp32", [1e-6, 1e-3]),
        ("limbeck int8", [0.07, 0.05]),
        ("limbeck int8", [0.05, float("nan")]),
    ):
        with pytest.raises(EngineError, match=f"{name}.*nothing was timed"):
            engine.refuse_wrong_answers({**good, name: values})


def test_a_contestant_that_cannot_load_says_why(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"limbeck int8: ModelError: .*nowhere"):
        worker.Worker("limbeck int8", {"hf": str(tmp_path / "nowhere")}, threads=1)


def test_a_contestant_whose_process_dies_is_reported(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.sys, "executable", "/bin/false")
    with pytest.raises(EngineError, match="ended with status 1"):
        worker.Worker("limbeck fp32", {"hf": str(directory)}, threads=1)


def test_prints_of_a_library_do_not_reach_the_pipe(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import os, limbeck.bench.protocol as w\n"
        "w.serve = lambda requests, answers: (print('noise'), os.write(1, b'more noise\\n'),\n"
        "    answers.write('reply\\n'), answers.flush())\n"
        "w.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "reply\n"
    assert "noise" in done.stderr
    assert "more noise" in done.stderr


@pytest.mark.torch
def test_peers_are_compared_timed_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(engine, "BLOCK_S", 0.001)
    rows = engine.run(
        shape=SHAPE,
        points=[POINT],
        outputs=["logits"],
        threads=[1],
        names=["onnxruntime int8", "onnxruntime fp32"],
        rounds=2,
        cache=tmp_path,
    )
    assert [row.subject for row in rows] == ["onnxruntime int8", "onnxruntime fp32"]
    assert rows[0].run == rows[1].run
    assert rows[1].extra["error_logits"] < 1e-5 < rows[0].extra["error_logits"]  # type: ignore[operator]
    assert rows[0].versions["onnxruntime"]
    assert json.loads(rows[0].to_json())["workload"]["tokens"] == 16
    assert measure.Row.from_json(rows[0].to_json()) == rows[0]
    assert "relative error" in capsys.readouterr().out


def test_command_line_refuses_nonsense(capsys: pytest.CaptureFixture[str]) -> None:
    assert engine.main(["--points", "lots"]) == 1
    assert "BATCHxTOKENS" in capsys.readouterr().err
    assert engine.main(["--subjects", "nobody"]) == 1
    assert "no contestant 'nobody'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        engine.main(["--threads", "many"])
