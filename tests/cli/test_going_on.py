"""Commands that train go on where they were stopped, and end as if they had not been."""

from __future__ import annotations

import errno
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.cli.main import run
from training_commands import asked, contents, workplace

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")

from limbeck.cli import going_on  # noqa: E402
from limbeck.forge import progress, saves, training  # noqa: E402
from limbeck.forge.saves import Saves  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def place(zoo: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workplace(zoo, tmp_path_factory.mktemp("going-on"))


@pytest.fixture(autouse=True)
def kept_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(going_on, "Saves", functools.partial(Saves, every_s=0))


def stopped(arguments: list[str], steps: int) -> int:
    """The exit code where Ctrl-C is pressed after so many steps."""
    real = progress.Bar.advance
    passed = iter(range(1_000_000))

    def advance(self: Any, amount: float = 1.0, note: str = "") -> None:
        if note.startswith("loss") and next(passed) == steps:
            raise KeyboardInterrupt
        real(self, amount, note)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.Bar, "advance", advance)
        return run(arguments)


LATENCY = ["--allocation", "latency", "--tokens", "16"]


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("train", []),
        ("distil", []),
        ("prune", []),
        ("prune", LATENCY),
        ("qat", []),
        ("qat", ["--static"]),
    ],
    ids=" ".join,
)
def test_a_stopped_command_ends_as_if_it_had_not_been(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    more: list[str],
) -> None:
    if more == LATENCY:  # a machine that says something else each time
        known = measured(tmp_path)
        monkeypatch.setattr("limbeck.forge.prune.latency_table", lambda *a, **o: next(known))
    out, kept = tmp_path / "out", tmp_path / "out.training"
    capsys.readouterr()
    assert stopped(asked(place, command, out, *more), 3) == 130
    told = capsys.readouterr().err
    assert f"the state of the training is kept in {kept}; the same command goes on" in told
    assert not out.exists()
    whole = tmp_path / "whole"
    assert stopped(asked(place, command, out, *more), 2) == 130
    assert f"going on from the state of the training in {kept}" in capsys.readouterr().err
    assert run(asked(place, command, out, *more)) == 0
    assert f"going on from the state of the training in {kept}" in capsys.readouterr().err
    assert not kept.exists()
    if more == LATENCY:
        known = measured(tmp_path)
        monkeypatch.setattr("limbeck.forge.prune.latency_table", lambda *a, **o: next(known))
    assert run(asked(place, command, whole, *more)) == 0
    assert "going on" not in capsys.readouterr().err
    assert contents(out) == contents(whole)
    assert not (tmp_path / "whole.training").exists()


def measured(directory: Path) -> Any:
    """Tables of latencies, no two of them the same."""
    from limbeck.engine import LatencyTable, measure_latency

    file = directory / "table.json"
    if not file.is_file():
        shapes = [(48, 16), (16, 16), (32, 16), (16, 32)]
        file.write_text(json.dumps(measure_latency(shapes, tokens=16, threads=1).as_dict()))
    table = json.loads(file.read_text())
    table["costs"]["row_of_blocks"] = 0.0  # layers so small gain nothing on some CPUs
    for number in range(9):
        yield LatencyTable.from_dict(table | {"tokens": 16 + number})


def test_a_loss_that_is_no_number_keeps_the_last_good_state(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(going_on, "Saves", functools.partial(Saves, every_s=1000))
    out, kept = tmp_path / "out", tmp_path / "out.training"
    real, count = training.backward, iter(range(100))

    def backward(value: Any) -> None:
        real(value * float("nan") if next(count) == 4 else value)

    with monkeypatch.context() as patch:
        patch.setattr(training, "backward", backward)
        assert run(asked(place, "train", out)) == 1
    told = capsys.readouterr().err
    assert "at step 5 of" in told
    assert f"the state before it is kept in {kept}" in told
    assert told.count(str(kept)) == 1, "said once"
    state = saves.read(Saves(directory=kept))
    assert state is not None
    assert len(state.tensors["losses"]) == 4
    assert all(bool(torch.isfinite(one).all()) for one in state.tensors.values())

    capsys.readouterr()
    assert run(asked(place, "train", out, "--learning-rate", "1e-6")) == 2
    told = capsys.readouterr().err
    assert "learning_rate 5e-05 there, 1e-06 here" in told
    assert f"delete {kept} to start anew" in told
    assert run(asked(place, "train", out)) == 0
    assert not kept.exists()


def test_other_rows_and_other_models_are_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert stopped(asked(place, "distil", out), 2) == 130
    before = contents(tmp_path / "out.training")
    relabelled = tmp_path / "relabelled.jsonl"
    rows = [json.loads(line) for line in (place / "rows.jsonl").read_text().splitlines()]
    names = sorted({row["label"] for row in rows})
    for row in rows:
        row["label"] = names[1 - names.index(row["label"])]
    relabelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for more, message in (
        (["--data", str(relabelled)], "other rows"),
        (["--teacher", str(place / "teacher")], "other teacher 2"),
        (["--temperature", "3"], "temperature 2.0 there, 3.0 here"),
        (["--layers", "2"], "is of another run"),
    ):
        capsys.readouterr()
        assert run(asked(place, "distil", out, *more)) in (1, 2)
        assert message in capsys.readouterr().err
    assert contents(tmp_path / "out.training") == before
    assert run(asked(place, "train", out)) == 2
    assert "command distil there, train here" in capsys.readouterr().err
    assert run(asked(place, "distil", out)) == 0


def test_the_disk_is_full_at_the_end(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, kept = tmp_path / "out", tmp_path / "out.training"

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("limbeck.cli.saving.sync_file", full)
        assert run(asked(place, "train", out)) == 1
    told = capsys.readouterr().err
    assert "No space left on device" in told
    assert f"kept in {kept}; the same command goes on from there" in told
    with monkeypatch.context() as patch:
        patch.setattr(training, "backward", lambda value: pytest.fail("it trains again"))
        assert run(asked(place, "train", out)) == 0
    assert not kept.exists()


def test_what_stops_before_its_first_step_leaves_nothing(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(asked(place, "train", tmp_path / "out", "--model", str(tmp_path / "absent"))) == 1
    assert run(asked(place, "qat", tmp_path / "out", "--observer", "nonsense", "--static")) != 0
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_something_else_is_left_alone(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "out.training"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    assert run(asked(place, "train", tmp_path / "out")) == 2
    assert "holds 'thesis.txt'" in capsys.readouterr().err
    assert contents(other) == {"thesis.txt": b"years of work"}
    assert not (tmp_path / "out").exists()


def test_notes_beside_the_state_stay(place: Path, tmp_path: Path) -> None:
    kept = tmp_path / "out.training"
    assert stopped(asked(place, "train", tmp_path / "out"), 2) == 130
    (kept / "notes.txt").write_text("mine")
    assert run(asked(place, "train", tmp_path / "out")) == 0
    assert contents(kept) == {"notes.txt": b"mine"}


def test_two_at_once_are_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from limbeck.forge.recipe import store

    with store.locked(tmp_path / "out.training"):
        assert run(asked(place, "train", tmp_path / "out")) == 2
    assert "another run is at work" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "named"),
    [("a/b", "a/b.training"), ("b/", "b.training"), ("..", None), (".", None)],
)
def test_it_lies_beside(out: str, named: str | None) -> None:
    found = going_on.directory_for(Path(out))
    if named is not None:
        assert found == Path(named)
    else:
        real = Path(os.path.realpath(out))
        assert found == real.with_name(f"{real.name}.training")
