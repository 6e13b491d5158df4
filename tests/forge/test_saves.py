"""A training run that was stopped and started again ends with the bits of one that was not."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from limbeck.errors import TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import loop, saves, teacher, training  # noqa: E402
from limbeck.forge.saves import Saves  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

# dropout, an average and batches of two epochs: all that a state must hold
CONFIG = TrainingConfig(
    epochs=2,
    batch_size=8,
    learning_rate=1e-3,
    precision="fp32",
    max_tokens=16,
    dropout=0.1,
    average_decay=0.9,
)
ROWS, STEPS = 44, 12


class StoppedError(Exception):
    """What a test throws where a process would have died."""


def fresh(zoo: Callable[..., Path]) -> Any:
    shape = models.Shape(layers=2, hidden=16, heads=2, ffn=24)
    directory = zoo("bert", "feature-extraction", shape=shape)
    return teacher.prepare(directory, ("no", "yes"), CONFIG).model


def tokens() -> training.TokenisedSet:
    draw = np.random.default_rng(1)
    ids = [[2, *draw.integers(10, 90, draw.integers(2, 12)).tolist(), 3] for _ in range(ROWS)]
    return training.TokenisedSet(ids=ids, type_ids=[[0] * len(row) for row in ids])


def loss_until(last: int | None = None) -> training.Loss:
    """A loss that throws at its step number `last`, counted from this process's first."""
    targets = torch.tensor(np.random.default_rng(2).integers(0, 2, ROWS))
    steps = iter(range(1_000_000))

    def loss(logits: Any, indexes: Any, batch: Any) -> Any:
        if next(steps) == last:
            raise StoppedError
        return torch.nn.functional.cross_entropy(logits, targets[torch.from_numpy(indexes)])

    return loss


def weights(model: Any) -> dict[str, Any]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def undisturbed(zoo: Callable[..., Path]) -> tuple[dict[str, Any], Any]:
    model = fresh(zoo)
    report = loop.run(model, tokens(), loss_until(), CONFIG, "test")
    assert report.steps == STEPS
    return weights(model), report


@pytest.mark.parametrize("stops", [(0,), (1,), (5,), (6,), (11,), (3, 2, 4)])
def test_stopped_and_started_again(
    zoo: Callable[..., Path], tmp_path: Path, undisturbed: Any, stops: tuple[int, ...]
) -> None:
    wanted, whole = undisturbed
    kept = Saves(directory=tmp_path / "state", every_s=0)
    for steps in stops:
        with pytest.raises(StoppedError):
            loop.run(fresh(zoo), tokens(), loss_until(steps), CONFIG, "test", saves=kept)
    model = fresh(zoo)
    torch.manual_seed(99)  # what others drew must not matter
    report = loop.run(model, tokens(), loss_until(), CONFIG, "test", saves=kept)
    assert same(weights(model), wanted)
    assert report.losses == whole.losses
    assert (report.steps, report.rows_seen, report.tokens_seen) == (
        whole.steps,
        whole.rows_seen,
        whole.tokens_seen,
    )
    # a finished run is not trained again
    again = fresh(zoo)
    loop.run(again, tokens(), loss_until(0), CONFIG, "test", saves=kept)
    assert same(weights(again), wanted)


def test_seldom_kept_is_trained_again_from_there(
    zoo: Callable[..., Path], tmp_path: Path, undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr(saves, "write", lambda *state: written.append(state))
    kept = Saves(directory=tmp_path, every_s=1000)
    loop.run(fresh(zoo), tokens(), loss_until(), CONFIG, "test", saves=kept)
    assert len(written) == 1  # the end


def test_another_run_and_other_threads_are_refused(
    zoo: Callable[..., Path], tmp_path: Path
) -> None:
    kept = Saves(directory=tmp_path, every_s=0)
    with pytest.raises(StoppedError):
        loop.run(fresh(zoo), tokens(), loss_until(3), CONFIG, "test", saves=kept)
    other = replace(CONFIG, learning_rate=2e-3)
    with pytest.raises(TrainingError, match="another run"):
        loop.run(fresh(zoo), tokens(), loss_until(), other, "test", saves=kept)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.raises(TrainingError, match=f"{threads} threads"):
            loop.run(fresh(zoo), tokens(), loss_until(), CONFIG, "test", saves=kept)
    finally:
        torch.set_num_threads(threads)
    kept.file.write_bytes(kept.file.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"damaged.*delete it"):
        loop.run(fresh(zoo), tokens(), loss_until(), CONFIG, "test", saves=kept)


@pytest.mark.parametrize("where", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_the_last_state(
    zoo: Callable[..., Path],
    tmp_path: Path,
    undisturbed: Any,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    wanted, _ = undisturbed
    kept = Saves(directory=tmp_path, every_s=0)
    with pytest.raises(StoppedError):
        loop.run(fresh(zoo), tokens(), loss_until(3), CONFIG, "test", saves=kept)
    before = kept.file.read_bytes()

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if where == "write":
            patch.setattr(saves, "save_file", full)
        else:
            patch.setattr(saves.os, {"fsync": "fsync", "rename": "replace"}[where], full)
        with pytest.raises(TrainingError, match=r"No space left.*still there"):
            loop.run(fresh(zoo), tokens(), loss_until(), CONFIG, "test", saves=kept)
    assert kept.file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [kept.file]
    model = fresh(zoo)
    loop.run(model, tokens(), loss_until(), CONFIG, "test", saves=kept)
    assert same(weights(model), wanted)


def test_a_loss_that_is_no_number_keeps_the_last_good_state(
    zoo: Callable[..., Path], tmp_path: Path
) -> None:
    good = loss_until()
    count = iter(range(100))

    def loss(logits: Any, indexes: Any, batch: Any) -> Any:
        value = good(logits, indexes, batch)
        return value * (float("nan") if next(count) == 4 else 1.0)

    kept = Saves(directory=tmp_path, every_s=1000)
    model = fresh(zoo)
    with pytest.raises(TrainingError, match=r"step 5 of 12 .*rows \[.*is kept in"):
        loop.run(model, tokens(), loss, CONFIG, "test", saves=kept)
    state = saves.read(kept)
    assert state is not None
    assert len(state.tensors["losses"]) == 4
    now = dict(model.named_parameters())
    for name, value in now.items():
        assert torch.equal(value, state.tensors[f"model.{name}"]), name
        assert torch.isfinite(value).all()


def test_two_processes_take_the_steps_of_one(zoo: Callable[..., Path], tmp_path: Path) -> None:
    shape = models.Shape(layers=2, hidden=16, heads=2, ffn=24)
    directory = zoo("bert", "feature-extraction", shape=shape)
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    found = {}
    for count in (1, 2):
        out = tmp_path / f"weights-{count}"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={count}", str(program), str(directory), str(out)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        found[count] = [torch.load(f"{out}-{rank}", weights_only=True) for rank in range(count)]
    one, (first, second) = found[1][0], found[2]
    assert same(first, second)
    for name, value in one.items():
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-4, msg=name)


# 41 rows in batches of 8: the last batch of an epoch is one row, and one process has none of it
_PROGRAM = """
import sys
from dataclasses import replace
import numpy as np, torch
from limbeck.forge import loop, processes, teacher, training
from limbeck.forge.training import TrainingConfig

torch.set_num_threads(1)
config = TrainingConfig(
    epochs=2, batch_size=8, learning_rate=1e-3, precision="fp32", max_tokens=16, dropout=0.0
)
with processes.joined() as group:
    # other weights in the second process: the first one's must come to count
    model = teacher.prepare(sys.argv[1], ("no", "yes"), replace(config, seed=group.rank)).model
    draw = np.random.default_rng(1)
    ids = [[2, *draw.integers(10, 90, draw.integers(2, 12)).tolist(), 3] for _ in range(41)]
    rows = training.TokenisedSet(ids=ids, type_ids=[[0] * len(row) for row in ids])
    targets = torch.tensor(draw.integers(0, 2, 41))

    def loss(logits, indexes, batch):
        return torch.nn.functional.cross_entropy(logits, targets[torch.from_numpy(indexes)])

    report = loop.run(model, rows, loss, config, "test")
    assert report.steps == 12 and report.rows_seen == 82, report
    torch.save(model.state_dict(), f"{sys.argv[2]}-{group.rank}")
"""
