"""Measurements lie beside the artifact and change nothing in it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

import artifact_files as samples
from limbeck import artifact
from limbeck.errors import ArtifactError


def test_comes_back_and_stays_outside_the_digest(tmp_path: Path) -> None:
    digest = samples.write(tmp_path)
    assert artifact.read_measured(tmp_path) == {}
    artifact.write_measured(tmp_path, {"f1": 0.5, "host": {"cpu": "x", "runs": (1, 2)}})
    artifact.write_measured(tmp_path, {"f1": 0.75, "p99_ms": [1.5]})
    assert artifact.read_measured(tmp_path) == {"f1": 0.75, "p99_ms": [1.5]}
    assert artifact.read(tmp_path).digest == digest
    names = sorted(os.listdir(tmp_path))
    assert names == ["limbeck.json", "measured.json", "model.safetensors", "tokenizer.json"]


def test_needs_an_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no artifact"):
        artifact.write_measured(tmp_path, {})
    assert artifact.read_measured(tmp_path) == {}
    with pytest.raises(ArtifactError, match="cannot open"):
        artifact.read_measured(tmp_path / "nothing")


def test_refuses_what_json_cannot_hold(tmp_path: Path) -> None:
    samples.write(tmp_path)
    with pytest.raises(ArtifactError, match=r"measured\.json\.f1 is nan"):
        artifact.write_measured(tmp_path, {"f1": float("nan")})
    with pytest.raises(ArtifactError, match="shorten"):
        artifact.write_measured(tmp_path, {"long": "x" * 17_000_000})
    assert not (tmp_path / "measured.json").exists()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failure_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    samples.write(tmp_path)
    artifact.write_measured(tmp_path, {"f1": 0.5})
    before = sorted(os.listdir(tmp_path))

    def full(*args: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(ArtifactError, match="No space left"):
            artifact.write_measured(tmp_path, {"f1": 0.6})
    assert artifact.read_measured(tmp_path) == {"f1": 0.5}
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a": NaN}', b"\xff", b'{"a":1,"a":2}'])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    samples.write(tmp_path)
    (tmp_path / "measured.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"measured\.json"):
        artifact.read_measured(tmp_path)


def test_link_or_pipe_in_its_place(tmp_path: Path) -> None:
    samples.write(tmp_path)
    os.mkfifo(tmp_path / "measured.json")
    with samples.no_hang(), pytest.raises(ArtifactError, match="pipe"):
        artifact.read_measured(tmp_path)
    (tmp_path / "measured.json").unlink()
    (tmp_path / "measured.json").symlink_to("/etc/passwd")
    with pytest.raises(ArtifactError, match="symbolic link"):
        artifact.read_measured(tmp_path)
