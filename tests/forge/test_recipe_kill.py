"""A run that is killed anywhere, or runs out of disk, and is started again ends where it should."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import recipes

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")

pytestmark = pytest.mark.torch

PROGRAM = Path(__file__).with_name("recipe_trials.py")
KILLED = 137
# A plan that never comes true: what is passed is counted.
COUNTING = "nowhere:1:kill"
Trial = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """trial(out, fault) -> what came of one run of the tiny recipe."""
    place = tmp_path_factory.mktemp("kill")
    recipe = recipes.write(place, rows=100)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    program = subprocess.Popen(
        [sys.executable, PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    stdin, stdout = program.stdin, program.stdout

    def run(out: str, fault: str = COUNTING) -> dict[str, Any]:
        job = {"recipe": str(recipe), "out": str(place / out), "fault": fault}
        stdin.write(json.dumps(job) + "\n")
        stdin.flush()
        found: dict[str, Any] = json.loads(stdout.readline())
        return found | {"out": place / out}

    yield run
    stdin.close()
    assert program.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def undisturbed(trial: Trial) -> dict[str, Any]:
    found = trial("undisturbed")
    assert found["code"] == 0
    assert found["error"] == ""
    return found


def digests(out: Path) -> dict[str, str]:
    """The artifact's digest and that of every stage's files."""
    found = {"artifact": json.loads((out / "artifact" / "limbeck.json").read_text())["digest"]}
    for done in sorted(out.glob("*/done.json")):
        found[done.parent.name] = json.loads(done.read_text())["output"]
    return found


def spread(count: int, most: int) -> list[int]:
    """At most so many of 1 .. count, the first and the last among them."""
    most = min(most, count)
    return sorted({1 + round(i * (count - 1) / max(1, most - 1)) for i in range(most)})


# Of each point so many passings: all of a stage's, and some of those that come often.
POINTS = {
    "stage": 4,
    "made": 4,
    "save": 2,
    "progress": 6,
    "write": 5,
    "fsync": 5,
    "rename": 5,
    "ledger": 3,
    "publish": 1,
    "published": 1,
}


def test_every_point_is_passed(undisturbed: dict[str, Any]) -> None:
    assert set(undisturbed["passed"]) == set(POINTS)
    assert undisturbed["passed"]["stage"] == undisturbed["passed"]["made"] == 4
    # training saves its state, so there are many writes
    assert undisturbed["passed"]["write"] > 20


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_started_again(point: str, trial: Trial, undisturbed: dict[str, Any]) -> None:
    wanted = digests(undisturbed["out"])
    for number in spread(undisturbed["passed"][point], POINTS[point]):
        out = f"{point}-{number}"
        assert trial(out, f"{point}:{number}:kill")["code"] == KILLED
        again = trial(out)
        assert (again["code"], again["error"]) == (0, "")
        assert digests(again["out"]) == wanted, f"{point} {number}"
        assert not (again["out"] / ".unfinished").exists() or not any(
            (again["out"] / ".unfinished").iterdir()
        )


def test_killed_over_and_over(trial: Trial, undisturbed: dict[str, Any]) -> None:
    deaths = 0
    for number in range(2, 60):
        found = trial("often", f"progress:{number % 5 + 2}:kill")
        if found["code"] == 0:
            break
        assert found["code"] == KILLED
        deaths += 1
    assert deaths >= 4
    assert digests(found["out"]) == digests(undisturbed["out"])


@pytest.mark.parametrize("point", ["save", "write", "fsync", "rename", "ledger"])
def test_disk_full_and_started_again(point: str, trial: Trial, undisturbed: dict[str, Any]) -> None:
    for number in spread(undisturbed["passed"][point], 3):
        out = f"full-{point}-{number}"
        found = trial(out, f"{point}:{number}:ENOSPC")
        assert found["code"] == 0
        assert "No space left on device" in found["error"]
        again = trial(out)
        assert (again["code"], again["error"]) == (0, "")
        assert digests(again["out"]) == digests(undisturbed["out"]), f"{point} {number}"
