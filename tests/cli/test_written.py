"""Files of results: whole or not at all, and never in the place of something that is no file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from limbeck import report
from limbeck.cli import answers, profile, written
from limbeck.errors import InputError


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Stands for /dev/null, which root could rename away for everybody."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def into_answers(path: Path) -> None:
    with answers._whole_file(path) as file:
        file.write("x")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: written.write_whole(path, "x"),
        lambda path: report.write_html(path, "t", []),
        lambda path: profile._write(path, SimpleNamespace(chrome_trace=dict)),  # type: ignore[arg-type]
        into_answers,
    ],
)
def test_devices_and_pipes_stay_what_they_are(write, pipe, tmp_path) -> None:
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(InputError, match="name a file"):
            write(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_directories_too(tmp_path) -> None:
    with pytest.raises(InputError, match="is a directory; name a file"):
        written.write_whole(tmp_path, "x")


def test_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    path = tmp_path / "f"
    written.write_whole(path, "one")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        written.write_whole(path, "two")
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]
