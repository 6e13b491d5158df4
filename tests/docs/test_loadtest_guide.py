"""The guide to load tests: its commands run, and so does its Python."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("httptools")
pytest.importorskip("jinja2")

from limbeck.cli import main as cli
from trial_server import serve

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "loadtest.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [
    line
    for kind, text in BLOCKS
    if not kind
    for line in text.splitlines()
    if line.startswith("limbeck loadtest")
]


def test_there_are_commands_to_run() -> None:
    assert len(COMMANDS) == 3


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_run(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    words += ["--duration", "0.5", "--warmup", "0"]
    if "--find-rate" in words:
        words += ["--rate", "600", "--max-rate", "600", "--tolerance", "0.9"]
        words += ["--seeds", "0", "--deadline-ms", "20000"]
    with serve() as s:
        words[1] = s.url
        assert cli.run(words) == 0
        assert len(s.asked) > 10
    if "--report" in words:
        assert "What autoscaling should watch" in (tmp_path / "load.html").read_text()


def test_every_option_that_is_named_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["loadtest", "--help"]) == 0
    shown = capsys.readouterr().out
    for option in set(re.findall(r"--[a-z][a-z-]+", PAGE)):
        assert re.search(rf"(^|[\s,]){option}\b", shown, flags=re.MULTILINE), option


def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [code] = [text for kind, text in BLOCKS if kind == "python"]
    with serve() as s:
        quick = code.replace("http://127.0.0.1:8080", s.url)
        quick = quick.replace("duration_s=10, warmup_s=2", "duration_s=0.5")
        assert quick.count(s.url) == 1
        exec(compile(quick, "loadtest.md", "exec"), {})
    assert "Counts(sent=" in capsys.readouterr().out
