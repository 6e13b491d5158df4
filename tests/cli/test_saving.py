"""Commands that train leave an old model as it was until the new one is whole."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck import load
from limbeck.cli.main import run
from training_commands import asked, contents, workplace

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("pyarrow")

from safetensors import SafetensorError  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def place(zoo: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workplace(zoo, tmp_path_factory.mktemp("saving"))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """full(where): from now on the disk is full where a model is saved."""
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    whole = transformers.PreTrainedModel.save_pretrained

    def fill(where: str) -> None:
        def truncated(self: Any, directory: Path) -> None:
            whole(self, directory)
            weights = Path(directory) / "model.safetensors"
            os.truncate(weights, 100)
            if where == "safetensors":
                raise SafetensorError("I/O error: No space left on device (os error 28)")
            raise error

        def unsynced(path: Path) -> None:
            raise error

        if where == "sync":
            monkeypatch.setattr("limbeck.cli.saving.sync_file", unsynced)
        else:
            monkeypatch.setattr(transformers.PreTrainedModel, "save_pretrained", truncated)

    return fill


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("train", "write"),
        ("train", "safetensors"),
        ("train", "sync"),
        ("distil", "write"),
        ("prune", "write"),
        ("qat", "write"),
    ],
)
def test_a_full_disk_leaves_the_old_model(
    place: Path,
    tmp_path: Path,
    full: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    command: str,
    where: str,
) -> None:
    out = tmp_path / "out"
    shutil.copytree(place / "teacher", out)
    before = contents(out)
    full(where)
    capsys.readouterr()
    assert run(asked(place, command, out)) == 1
    told = capsys.readouterr().err
    assert f"cannot save {out}: " in told
    assert "No space left on device" in told
    assert "the old model there is untouched" in told
    assert contents(out) == before
    assert not list(tmp_path.glob(".limbeck*"))


def test_a_full_disk_leaves_nothing_where_nothing_was(
    place: Path, tmp_path: Path, full: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    full("write")
    assert run(asked(place, "train", tmp_path / "out")) == 1
    assert "nothing was left there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_old_model_goes_and_notes_stay(place: Path, tmp_path: Path) -> None:
    out, link = tmp_path / "out", tmp_path / "link"
    shutil.copytree(place / "teacher", out)
    (out / "README.md").write_text("mine")
    (out / "notes").mkdir()
    (out / "notes" / "one.txt").write_text("mine too")
    (out / "modules.json").write_text("[]")
    (out / "1_Pooling").mkdir()
    (out / "pytorch_model.bin").write_bytes(b"of an old model")
    link.symlink_to(out)
    assert run(asked(place, "distil", link)) == 0
    assert link.is_symlink()
    found = set(contents(out))
    assert {"README.md", os.path.join("notes", "one.txt"), "model.safetensors"} <= found
    assert not {"modules.json", "pytorch_model.bin"} & found
    assert not (out / "1_Pooling").exists()
    assert load(out).spec.encoder.layers == 1


def test_a_model_may_take_its_own_place(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(place / "teacher", out)
    arguments = asked(place, "qat", out)
    arguments[1] = str(out)
    assert run(arguments) == 0
    assert load(out).spec.encoder.layers == 2


def test_what_cannot_be_replaced_is_told_before_training(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("it trains")

    monkeypatch.setattr("limbeck.forge.teacher.finetune", never)
    (tmp_path / "file").write_text("")
    assert run(asked(place, "train", tmp_path / "file" / "out")) == 2
    assert "is a file" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path / "out")
        assert run(asked(place, "train", tmp_path / "out")) == 2
    assert "name a directory in it" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
        assert run(asked(place, "train", tmp_path / "out")) == 2
    assert "may not be written to" in capsys.readouterr().err
