"""A file has its old content or its new one, and nothing is left beside it."""

import os
import stat
from pathlib import Path

import pytest

from limbeck.errors import InputError
from limbeck.whole_files import check_replaceable, whole_file


def test_a_file_takes_its_name_when_the_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path, "w") as file:
        file.write("ä\r\nb\n")
        assert not path.exists()
    assert path.read_bytes() == "ä\r\nb\n".encode()
    with whole_file(path) as file:
        file.write(b"\x00")
        assert path.read_bytes() == "ä\r\nb\n".encode()
    assert path.read_bytes() == b"\x00"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_content_and_name_are_put_on_disk(tmp_path, monkeypatch):
    path, synced, real = tmp_path / "a", [], os.fsync

    def noted(descriptor):
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append(("directory" if is_directory else "file", path.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with whole_file(path) as file:
        file.write(b"x")
    assert synced == [("file", False), ("directory", True)]


def test_it_may_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "a") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def _fail(*arguments):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_the_system_refuses_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "a"
    path.write_text("old")
    with monkeypatch.context() as broken:
        broken.setattr(os, step, _fail)
        with pytest.raises(OSError, match="No space left"), whole_file(path, "w") as file:
            file.write("new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a"
    path.write_text("old")

    def broken():
        with whole_file(path, "w") as file:
            file.write("new")
            raise error

    with pytest.raises(error):
        broken()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_names_of_what_is_no_file_are_refused(tmp_path):
    check_replaceable(tmp_path / "absent")
    (tmp_path / "there").touch()
    check_replaceable(tmp_path / "there")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe; name a file"):
        check_replaceable(tmp_path / "pipe")
    with pytest.raises(InputError, match="is a directory; name a file"):
        check_replaceable(tmp_path)
    with pytest.raises(InputError, match="device"):
        check_replaceable(Path(os.devnull))
