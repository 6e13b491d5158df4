"""Paths and hub names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from limbeck import huggingface
from limbeck.errors import InputError, MissingExtraError, ModelError


def test_a_directory_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert huggingface.resolve(tmp_path) == tmp_path
    assert huggingface.resolve(str(tmp_path)) == tmp_path
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    # What looks like a hub name is a directory where there is one.
    assert huggingface.resolve("owner/name") == Path("owner/name")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert huggingface.resolve("~/owner") == tmp_path / "owner"


def test_a_file_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ModelError, match="is a file; a model is a directory"):
        huggingface.resolve(file)


@pytest.mark.parametrize(
    "path", ["./absent", "/absent/directory", "a/b/c", "~/absent", "-x", "x" * 5000, "~nobody/x"]
)
def test_a_path_that_is_not_there(path: str) -> None:
    with pytest.raises(ModelError, match=r"no directory|cannot be looked up"):
        huggingface.resolve(path)


def test_a_path_object_never_goes_to_the_hub() -> None:
    with pytest.raises(ModelError, match="no directory absent-model"):
        huggingface.resolve(Path("absent-model"))


@pytest.mark.parametrize("value", ["", None, 3, b"bert", "a\0b"])
def test_what_is_no_path(value: object) -> None:
    with pytest.raises(InputError):
        huggingface.resolve(value)  # type: ignore[arg-type]


def test_a_hub_name_without_the_hub_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"owner/absent .* pip install 'limbeck\[forge\]'"):
        huggingface.resolve("owner/absent")


def test_offline_means_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"the hub did not deliver"):
        huggingface.resolve("owner/absent-model")


def test_a_download_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert huggingface.resolve("owner/some.model_1") == tmp_path
    assert asked[0][0] == "owner/some.model_1"
    assert not any("bin" in pattern or "pickle" in pattern for pattern in asked[0][1])
