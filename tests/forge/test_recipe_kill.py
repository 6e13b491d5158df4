"""A run that is killed anywhere, or runs out of disk, and is started again ends where it should."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import recipes
from recipe_runs import KILLED, Trial, digests, trials

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """trial(out, fault) -> what came of one run of the tiny recipe."""
    with trials(recipes.write(tmp_path_factory.mktemp("kill"), rows=100)) as run:
        yield run


@pytest.fixture(scope="module")
def undisturbed(trial: Trial) -> dict[str, Any]:
    found = trial("undisturbed")
    assert found["code"] == 0
    assert found["error"] == ""
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
