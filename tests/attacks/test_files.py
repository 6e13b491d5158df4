"""Things that are no regular files where files should be, and directories that are no artifact."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import artifact_files as samples
from limbeck import artifact
from limbeck.errors import ArtifactError

FILES = ("limbeck.json", "model.safetensors", "tokenizer.json")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    samples.write(tmp_path / "a")
    return tmp_path / "a"


def refused(directory: Path | str, message: str) -> None:
    for verify in (True, False):
        with samples.no_hang(), pytest.raises(ArtifactError, match=message):
            artifact.read(directory, verify=verify)


@pytest.mark.parametrize("name", FILES)
def test_missing(made: Path, name: str) -> None:
    (made / name).unlink()
    refused(made, f"{name} is missing")


@pytest.mark.parametrize("name", FILES)
def test_empty(made: Path, name: str) -> None:
    (made / name).write_bytes(b"")
    refused(made, name)
    if name != "limbeck.json":
        samples.reseal(made)
        refused(made, name)


def link_out(path: Path) -> None:
    outside = path.parent.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)


def link_relative(path: Path) -> None:
    path.rename(path.parent.parent / "outside")
    path.symlink_to("../outside")


def link_inside(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def link_to(target: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return change


def replaced_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (link_out, "symbolic link"),
        (link_relative, "symbolic link"),
        (link_inside, "symbolic link"),
        (link_to("/dev/zero"), "symbolic link"),
        (link_to("/etc/passwd"), "symbolic link"),
        (link_to("nowhere"), "symbolic link"),
        (replaced_by(lambda path: path.symlink_to(path)), "symbolic link"),
        (replaced_by(os.mkdir), "is a directory"),
        (replaced_by(os.mkfifo), "pipe, socket or device"),
        (replaced_by(lambda path: os.mknod(path, stat.S_IFSOCK | 0o600)), "pipe, socket or device"),
    ],
)
def test_no_regular_file(
    made: Path, name: str, change: Callable[[Path], None], message: str
) -> None:
    change(made / name)
    refused(made, f"{name} is a.*{message}|{name} is a {message}|{message}")


@pytest.mark.parametrize("name", FILES)
def test_device(made: Path, name: str) -> None:
    (made / name).unlink()
    try:
        os.mknod(made / name, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("only root makes devices")
    refused(made, "pipe, socket or device")


@pytest.mark.parametrize("name", FILES)
def test_unreadable(made: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open  # permissions themselves would not stop root

    def denying(path: str | Path, *args: int, **options: int) -> int:
        if path == name:
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", denying)
    refused(made, f"cannot open {name}: Permission denied")


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("pread", "limbeck.json"),
        ("pread", "model.safetensors"),
        ("preadv", "model.safetensors"),
        ("preadv", "tokenizer.json"),
    ],
)
def test_failing_disk(made: Path, name: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors: set[int] = set()
    opening, reading = os.open, getattr(os, call)

    def opened(path: str | Path, *args: int, **options: int) -> int:
        descriptor = opening(path, *args, **options)
        descriptors.discard(descriptor)
        if path == name:
            descriptors.add(descriptor)
        return descriptor

    def failing(descriptor: int, *args: object) -> object:
        if descriptor in descriptors:
            raise OSError(5, "Input/output error")
        return reading(descriptor, *args)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, call, failing)
    with pytest.raises(ArtifactError, match=f"cannot read {name}: Input/output error"):
        artifact.read(made)


@pytest.mark.parametrize("name", FILES)
def test_pipe_that_appears_between_look_and_open(
    made: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def swapping(path: str | Path, flags: int, *args: int, **options: int) -> int:
        if path == name and "dir_fd" in options and not stat.S_ISFIFO(os.stat(made / name).st_mode):
            (made / name).unlink()
            os.mkfifo(made / name)
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", swapping)
    refused(made, "pipe, socket or device")


@pytest.mark.parametrize("name", FILES[1:])
def test_file_of_another_artifact(made: Path, tmp_path: Path, name: str) -> None:
    samples.write(tmp_path / "b", "fp32" if name == "model.safetensors" else "int8", seed=1)
    (tmp_path / "b" / "tokenizer.json").write_bytes(b"{}")
    shutil.copy(tmp_path / "b" / name, made / name)
    refused(made, f"{name} has .* bytes")


def test_changed_tokenizer(made: Path) -> None:
    content = (made / "tokenizer.json").read_bytes()
    (made / "tokenizer.json").write_bytes(content.replace(b"1.0", b"2.0"))
    with pytest.raises(ArtifactError, match=r"wrong digest: tokenizer\.json"):
        artifact.read(made)


def test_no_artifact(tmp_path: Path, made: Path) -> None:
    refused(tmp_path, r"limbeck\.json is missing")
    refused(tmp_path / "nothing", "cannot open the artifact")
    refused(made / "limbeck.json", "is a file")
    refused("a\0b", "cannot open the artifact")
    refused("x" * 5000, "cannot open the artifact")
    refused(made / ("../" * 5) / "nowhere", "cannot open the artifact")
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path / "loop", "cannot open the artifact|is a file")
    refused("/dev/null", "is a file")


def test_message_names_the_directory(made: Path) -> None:
    (made / "tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match=str(made)):
        artifact.read(made)


def test_errors_keep_no_files_open(made: Path) -> None:
    (made / "model.safetensors").write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        refused(made, "truncated")
    assert len(os.listdir("/proc/self/fd")) == before
