"""Peer environments: made once, made anew when pins change, and a failure is said, not fatal."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("peers_tool", TOOLS / "peers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_every_peer_environment_has_pins() -> None:
    from limbeck.bench.contestants import CONTESTANTS
    from limbeck.bench.serving.contestants import CONTESTANTS as SERVERS

    known = tomllib.loads((TOOLS / "peers.toml").read_text(encoding="utf-8"))
    environments = {c.environment for c in CONTESTANTS.values()}
    environments |= {c.environment for c in SERVERS.values()}
    assert environments - {None} == set(known)
    for peer in known.values():
        assert all("==" in package for package in peer["packages"])


def test_environments_are_made_once_and_anew_when_pins_change(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # No package: pip is asked for itself, which is there already, and reaches no network.
    file = pins(tmp_path / "a.toml", "[one]\npackages = ['pip']\ntry = 'import json'\n")
    assert tool.main([], file, tmp_path / "peers") == 0
    record = tmp_path / "peers" / "one" / tool.RECORD
    assert record.read_text(encoding="utf-8").endswith("\npip")
    assert tool.main(["one"], file, tmp_path / "peers") == 0
    assert "one is up to date" in capsys.readouterr().out
    file = pins(tmp_path / "a.toml", "[one]\npackages = ['pip>1']\ntry = 'import no_such'\n")
    assert tool.main([], file, tmp_path / "peers") == 0
    assert "one cannot be had here" in capsys.readouterr().err
    assert not (tmp_path / "peers" / "one").exists()


def test_a_peer_without_its_python_is_said(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = pins(tmp_path / "a.toml", "[old]\npackages = []\ntry = ''\npython = '2.6'\n")
    assert tool.main([], file, tmp_path / "peers") == 0
    assert tool.main(["old"], file, tmp_path / "peers") == 1
    assert "needs Python 2.6" in capsys.readouterr().err
    assert tool.main(["new"], file, tmp_path / "peers") == 1
    assert "no peer new; there are: old" in capsys.readouterr().err
    assert tool.python_for(None) == sys.executable
