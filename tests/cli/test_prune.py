"""limbeck prune as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import models
import recipes
from limbeck import load
from limbeck.cli.main import run

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")

pytestmark = pytest.mark.torch

SHAPE = models.Shape(layers=2, hidden=64, heads=4, ffn=96)


@pytest.fixture(scope="module")
def workshop(zoo: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with rows and a trained teacher."""
    encoder = zoo("distilbert", "feature-extraction", shape=SHAPE)
    place = tmp_path_factory.mktemp("prune")
    data = recipes.write_rows(place / "rows.jsonl", 200)
    arguments = ["--data", str(data), "--model", str(encoder), "--out", str(place / "teacher")]
    options = ["--epochs", "3", "--learning-rate", "2e-3", "--precision", "fp32"]
    assert run(["train", *arguments, *options, "--max-tokens", "32"]) == 0
    return place


def asked(place: Path, out: str, *more: str) -> list[str]:
    return [
        *("prune", str(place / "teacher"), "--data", str(place / "rows.jsonl")),
        *("--out", str(place / out), "--cache", str(place / "logits"), "--precision", "fp32"),
        *("--learning-rate", "1e-3", "--every", "1", *more),
    ]


def test_from_a_teacher_to_an_artifact_with_blocks(
    workshop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    options = ["--pattern", "4x4", "--sparsity", "0.8", "--epochs", "4"]
    assert run(asked(workshop, "pruned", *options, "--allocation", "uniform")) == 0
    shown = capsys.readouterr().out
    assert "teacher: accuracy" in shown
    assert "trained: accuracy" in shown
    assert "% of all 4x4 blocks are gone; most of layers." in shown
    lineage = json.loads((workshop / "pruned" / "lineage.json").read_text())
    assert lineage["sparsity"] == pytest.approx(0.8, abs=0.001)
    assert run(["convert", str(workshop / "pruned"), "--out", str(workshop / "artifact")]) == 0
    described = load(workshop / "artifact").describe()["layers"]
    patterns = {one["name"]: one["block"] for one in described}
    assert patterns["layers.1.ffn.in"] == [4, 4]


def test_where_it_saves_time_and_without_heads(
    workshop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--allocation", "latency", "--heads", "2", "--ffn", "64", "--tokens", "16"]
    options += ["--epochs", "1", "--sparsity", "0.7", "--criterion", "movement"]
    assert run(asked(workshop, "smaller", *options)) == 0
    config = json.loads((workshop / "smaller" / "config.json").read_text())
    assert (config["n_heads"], config["hidden_dim"]) == (2, 64)
    lineage = json.loads((workshop / "smaller" / "lineage.json").read_text())
    assert lineage["sparsity"] == pytest.approx(0.7, abs=0.001)
    assert f"{lineage['sparsity']:.2%} of all 4x4 blocks" in capsys.readouterr().out
    assert lineage["latency"]["tokens"] == 16


def test_two_processes_prune_one_model(workshop: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = ["--allocation", "latency", "--tokens", "16", "--epochs", "1", "--sparsity", "0.6"]
    done = subprocess.run(
        [*launch, "-m", "limbeck", *asked(workshop, "together", *options)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("next: limbeck") == 1, "the first process alone speaks"
    lineage = json.loads((workshop / "together" / "lineage.json").read_text())
    assert lineage["sparsity"] == pytest.approx(0.6, abs=0.001)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pattern", "3x3"], "pattern must be one of 1x4, 2x4, 4x4, 8x4, 4x1, found '3x3'"),
        (["--criterion", "luck"], "criterion must be one of magnitude, absolute"),
        (["--sparsity", "1.2"], "sparsity must be in 0 .. 1, found 1.2"),
        (["--end", "0.9"], "start <= end <= lock"),
        (["--sparsity", "0.9", "--cap", "0.5"], "can lose at most 50.00% of all blocks"),
        (["--heads", "3"], "3 heads do not divide a width of 64"),
        (["--soft-loss", "l1"], "soft loss 'l1'"),
    ],
)
def test_what_cannot_be(
    workshop: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(asked(workshop, "never", *options)) != 0
    assert said in capsys.readouterr().err
    assert not (workshop / "never").exists()
