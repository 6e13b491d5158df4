"""A run that dies once in every stage ends where one does that was left alone, whatever its stages
learn from and keep meanwhile."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import recipes
from recipe_runs import KILLED, Trial, digests, trials

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")

from safetensors import safe_open

pytestmark = pytest.mark.torch

RECIPES = {"narrower": recipes.NARROWER, "together": recipes.TOGETHER}
# What the state of a stage's training holds beside the model and the optimiser, by its beginning.
KEPT = {
    "narrower": {
        "1-teacher": (),
        "2-distil": ("extra.0.weight", "extra.1.weight", "average."),
        "3-prune": ("alongside.",),
        "4-qat": (),
    },
    "together": {
        "1-teacher": (),
        "2-online": ("model.models.0.bert.", "model.models.1.bert.encoder.layer.1."),
        "3-distil": (),
    },
}
MORE = ("extra.", "average.", "alongside.", "model.models.")


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """trial(out, fault, stage) runs the recipe; counts: of passings, of each stage; wanted: what
    every run of it has to end with."""

    name: str
    trial: Trial
    counts: dict[int, dict[str, int]]
    wanted: dict[str, str]


@pytest.fixture(scope="module", params=RECIPES)
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Undisturbed]:
    place = tmp_path_factory.mktemp(request.param)
    recipe = recipes.write(place, RECIPES[request.param], rows=100)
    recipes.write_beside(place)
    with trials(recipe) as run:
        found = run("undisturbed")
        assert (found["code"], found["error"]) == (0, "")
        yield Undisturbed(
            name=request.param,
            trial=run,
            counts=found["stages"],
            wanted=digests(found["out"]),
        )


def ends_well(undisturbed: Undisturbed, out: str) -> None:
    """Started once more, the run ends as the undisturbed one did, and leaves no scraps."""
    found = undisturbed.trial(out)
    assert (found["code"], found["error"]) == (0, "")
    assert digests(found["out"]) == undisturbed.wanted
    scraps = found["out"] / ".unfinished"
    assert not scraps.exists() or not any(scraps.iterdir())
    assert not any((found["out"] / "saves").iterdir())


def one_of_each_stage(undisturbed: Undisturbed, point: str, seed: int) -> dict[int, int]:
    """Of every stage that passes the point, one of the passings."""
    draw = random.Random(f"{undisturbed.name} {point} {seed}")
    return {
        stage: draw.randint(1, counts[point])
        for stage, counts in undisturbed.counts.items()
        if point in counts
    }


def test_every_stage_passes_every_point(undisturbed: Undisturbed) -> None:
    *training, export = undisturbed.counts.values()
    assert len(training) == len(KEPT[undisturbed.name])
    for counts in (*training, export):
        assert {"stage", "made", "progress", "write", "fsync", "rename", "ledger"} <= set(counts)
    # each step of a training keeps its state
    assert all(counts["write"] >= 4 for counts in training)


@pytest.mark.parametrize(
    ("point", "seed"),
    [(point, seed) for point in ("progress", "write", "fsync", "rename") for seed in (0, 1)]
    + [("made", 0)],
)
def test_killed_once_in_every_stage(point: str, seed: int, undisturbed: Undisturbed) -> None:
    out = f"{point}-{seed}"
    for stage, number in one_of_each_stage(undisturbed, point, seed).items():
        found = undisturbed.trial(out, f"{point}:{number}:kill", stage)
        assert found["code"] == KILLED, f"{point} {number} of stage {stage}"
    ends_well(undisturbed, out)


@pytest.mark.parametrize("point", ["write", "fsync", "rename"])
def test_the_disk_full_once_in_every_stage(point: str, undisturbed: Undisturbed) -> None:
    out = f"full-{point}"
    for stage, number in one_of_each_stage(undisturbed, point, 2).items():
        found = undisturbed.trial(out, f"{point}:{number}:ENOSPC", stage)
        assert found["code"] == 0
        assert "No space left on device" in found["error"], f"{point} {number} of stage {stage}"
    ends_well(undisturbed, out)


def test_a_training_goes_on_from_what_it_kept(undisturbed: Undisturbed) -> None:
    """Refused when it saves its model, a stage is trained: the next run has no step left to do."""
    kept = KEPT[undisturbed.name]
    found: dict[str, Any] = {}
    for stage, name in enumerate(kept):
        found = undisturbed.trial("kept", "save:1:ENOSPC", stage)
        assert "cannot save the model" in found["error"]
        holds_what_it_should(found["out"], name, kept[name])
        if stage:
            ends_at_once(undisturbed, found, stage - 1)
    found = undisturbed.trial("kept")
    ends_at_once(undisturbed, found, len(kept) - 1)
    assert digests(found["out"]) == undisturbed.wanted


def holds_what_it_should(out: Path, stage: str, wanted: tuple[str, ...]) -> None:
    [file] = (out / "saves").glob(f"{stage}-*/training.safetensors")
    with safe_open(file, framework="numpy") as state:
        names = list(state.keys())
    for beginning in wanted:
        assert any(name.startswith(beginning) for name in names), beginning
    for beginning in MORE:
        if not any(one.startswith(beginning) for one in wanted):
            assert not any(name.startswith(beginning) for name in names), beginning


def ends_at_once(undisturbed: Undisturbed, found: dict[str, Any], stage: int) -> None:
    """No step is taken again, and so no state is written; all else is."""
    [done] = found["out"].glob(f"{stage + 1}-*/done.json")
    steps = json.loads(done.read_text())["figures"]["steps"]
    assert steps >= 3
    writes = undisturbed.counts[stage]["write"]
    assert found["stages"][stage]["write"] == writes - steps
