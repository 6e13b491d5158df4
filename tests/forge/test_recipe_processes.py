"""A recipe in two processes, as torchrun starts them: one writes, both train, neither hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import recipes
from limbeck import artifact

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")

pytestmark = pytest.mark.torch


def torchrun(recipe: Path, *options: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "LIMBECK_FAULT": fault}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "limbeck", "compress", str(recipe), *options]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_two_processes_make_one_artifact(tmp_path: Path) -> None:
    recipe = recipes.write(tmp_path, rows=100)
    done = torchrun(recipe)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "run"
    with artifact.read(out / "artifact") as made:
        assert done.stdout.count(made.digest) == 1
        digest = made.digest
    events = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    stages = [one["stage"] for one in events if one["event"] == "stage"]
    assert stages == ["1-teacher", "2-distil", "3-export", "4-verify"]
    assert done.stderr.count("1-teacher: ") == 1

    # the first process dies while it saves the student; the others do not wait for it
    (out / "2-distil" / "done.json").unlink()
    died = torchrun(recipe, fault="save:1:kill")
    assert died.returncode != 0
    assert not (out / "2-distil" / "done.json").exists()
    # and fails in words, where the disk is full
    failed = torchrun(recipe, fault="rename:2:ENOSPC")
    assert failed.returncode != 0
    assert "No space left on device" in failed.stderr
    again = torchrun(recipe)
    assert again.returncode == 0, again.stderr
    with artifact.read(out / "artifact") as made:
        assert made.digest == digest


def test_a_curve_in_two_processes(tmp_path: Path) -> None:
    export = '[[stage]]\nkind = "export"'
    prune = '[[stage]]\nkind = "prune"\nepochs = 1\nevery = 1\n\n'
    text = recipes.RECIPE.replace(export, prune + export)
    text += '[curve]\nsparsities = [0.5]\npatterns = ["4x4"]\ntokens = [8]\nstudents = false\n'
    done = torchrun(recipes.write(tmp_path, text, rows=60), "--curve")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("curve.json") == 1
    assert done.stderr.count("2-layers-4x4-50 (2 of 2)") == 1
    found = json.loads((tmp_path / "run" / "curve.json").read_text())
    assert sorted(one["name"] for one in found["artifacts"]) == [
        "2-layers-4x4-50", "2-layers-dense",
    ]  # fmt: skip
