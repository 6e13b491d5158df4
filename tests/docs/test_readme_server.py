"""README's server: the command and the curl, copied as written, give the documented answer.

With LIMBECK_DEMO=DIR the artifact of a demo answers; else a random model of its kind, whose score
says nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from limbeck import artifact
from limbeck.runtimes import open_source
from limbeck.spec import Threshold
from serving_program import Program

pytest.importorskip("uvicorn")

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## As a server\n")[2].partition("\n## ")[0]
COMMAND, CURL, ANSWER = re.findall(r"```\n(.*?)\n```", SECTION, flags=re.DOTALL)[:3]


@pytest.fixture
def demo(tmp_path: Path, zoo: Callable[..., Path]) -> Path:
    """A directory with an artifact "demo" in it."""
    given = os.environ.get("LIMBECK_DEMO")
    if given:
        shutil.copytree(given, tmp_path / "demo")
        return tmp_path
    source = open_source(zoo("bert", "text-classification"))
    label = source.spec.task.labels[0]
    threshold = Threshold(label=label, value=0.5, false_alarm_rate=0.001)
    artifact.write(
        tmp_path / "demo",
        spec=replace(source.spec, task=replace(source.spec.task, threshold=threshold)),
        weights=source.weights,
        tokenizer_json=source.tokenizer_json(),
        lineage={},
    )
    return tmp_path


@pytest.fixture
def port(demo: Path, program: Callable[..., Program]) -> Iterator[int]:
    assert COMMAND == "limbeck serve ./demo"
    server = program(*COMMAND.split()[2:], "--port", "0", cwd=demo)
    url = server.ready()
    yield int(url.rpartition(":")[2])
    assert server.end() == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_gives_the_documented_answer(port: int) -> None:
    # The one change: the port, for 8080 may be taken here.
    assert ":8080" in CURL
    done = subprocess.run(
        ["bash", "-c", CURL.replace(":8080", f":{port}")],
        capture_output=True,
        text=True,
        check=True,
    )
    said, documented = json.loads(done.stdout), json.loads(ANSWER)
    assert list(said) == list(documented)
    assert 0 <= float(said.pop("probabilityScore")) <= 1
    assert documented.pop("probabilityScore")
    label = said.pop("scoreDetails")
    assert label in ({"label": "Fraud"}, {"label": "NonFraud"})
    documented.pop("scoreDetails")
    assert said == documented
