"""The curve of a recipe: its points, what they share, what follows from their figures."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
import recipes

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")

import torch
from safetensors.numpy import load_file

from limbeck import load, measure
from limbeck.errors import InputError, TrainingError
from limbeck.evaluation import Interval, Limits, Verdict
from limbeck.forge import faults, processes, recipe
from limbeck.forge.recipe import curve, defaults, schema, state
from limbeck.forge.recipe.curve import judging, page, running
from limbeck.forge.recipe.kept import kept_of
from limbeck.forge.recipe.ledger import Ledger

pytestmark = pytest.mark.torch

PRUNE = """\
[[stage]]
kind = "prune"
epochs = 1
learning_rate = 2e-3
every = 1

[[stage]]
kind = "export"
"""
CURVE = """
[curve]
sparsities = [0.0, 0.5, 0.75]
tokens = [16, 4]
"""
TEXT = recipes.RECIPE.replace('[[stage]]\nkind = "export"\n', PRUNE) + CURVE
OPTIONS = recipe.Options(resamples=20)
NAMES = [
    f"{layers}-layers-{what}"
    for layers in (2, 1)
    for what in ("dense", "4x4-50", "4x4-75", "1x4-50", "1x4-75")
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("curve")
    recipes.write(place, TEXT, rows=120)
    return place


@pytest.fixture(scope="module")
def made(place: Path) -> recipe.Curve:
    return recipe.make_curve(recipe.read(place / "recipe.toml"), OPTIONS, rounds=2)


def events(out: Path, event: str = "stage") -> list[str]:
    """The stages of all points with this event, by kind."""
    found = []
    for folder in sorted((out / "points").iterdir()):
        lines = Ledger(path=folder / "ledger.jsonl").read()
        found += [one["stage"].split("-")[1] for one in lines if one["event"] == event]
    return found


def digests(made: recipe.Curve) -> dict[str, str]:
    return {one.point.name: one.digest for one in made.measured}


def test_points_and_what_they_share(made: recipe.Curve, place: Path) -> None:
    assert sorted(digests(made)) == sorted(NAMES)
    assert len(set(digests(made).values())) == len(NAMES)
    # each stage once: a pruning a pruned point, an artifact a point
    assert Counter(events(place / "run")) == {
        "teacher": 1, "distil": 1, "prune": 8, "export": 10, "verify": 10,
    }  # fmt: skip
    assert events(place / "run", "failed") == []
    for folder in (place / "run" / "points").iterdir():
        assert not (folder / "figures").exists()
        assert not (folder / "logits").exists()
    # a stage that two points have is one file
    first, second = (
        place / "run" / "points" / f"2-layers-4x4-{share}" / "2-prune" / "model.safetensors"
        for share in ("50", "75")
    )
    assert first.stat().st_ino == second.stat().st_ino


def test_sparsity_is_exact(made: recipe.Curve) -> None:
    for one in made.measured:
        folder = one.artifact.parent
        trained = max(
            (path for path in folder.iterdir() if path.name[0].isdigit()
             and not path.name.endswith(("export", "verify"))),
            key=lambda path: int(path.name.split("-")[0]),
        )  # fmt: skip
        gone = total = 0
        rows, cols = (int(side) for side in (one.point.pattern or "4x4").split("x"))
        for name, weight in load_file(trained / "model.safetensors").items():
            if ".layer." in name and weight.ndim == 2:
                high, wide = weight.shape
                blocks = weight.reshape(high // rows, rows, wide // cols, cols).any(axis=(1, 3))
                gone, total = gone + int((~blocks).sum()), total + blocks.size
        assert gone == round(one.point.sparsity * total), one.point.name
        assert one.sparsity == pytest.approx(one.point.sparsity, abs=1 / total)
        assert load(one.artifact).spec.encoder.layers == one.point.layers


def test_a_chain_begins_where_the_last_one_ended(made: recipe.Curve, place: Path) -> None:
    folder = place / "run" / "points" / "1-layers-1x4-75"
    weights = [
        load_file(folder / f"{number}-prune" / "model.safetensors") for number in (3, 4)
    ]  # fmt: skip
    name = "bert.encoder.layer.0.output.dense.weight"
    before, after = (one[name] == 0 for one in weights)
    assert before.any()
    assert after[before].all()
    assert after.sum() > before.sum()


def test_figures_are_of_the_same_artifacts(made: recipe.Curve, place: Path) -> None:
    from limbeck import evaluation
    from limbeck.forge.recipe.rows import read

    wanted = recipe.read(place / "recipe.toml")
    rows = read(wanted.data, wanted.task, None, None)
    teacher = evaluation.score(
        load(place / "run" / "points" / "2-layers-dense" / "1-teacher"), rows.examples
    )
    assert made.teacher.value == teacher.value()
    for one in made.measured[:4]:
        scored = evaluation.score(load(one.artifact), rows.examples)
        assert one.value.value == scored.value()
        assert one.drop.value == pytest.approx(teacher.value() - scored.value())
        assert one.kept.value == pytest.approx(100 * scored.value() / teacher.value())
        assert [speed.tokens for speed in one.speeds] == [4, 16]
        assert len(one.speed.timing.rounds) == 2
        with_files = sum(path.stat().st_size for path in one.artifact.iterdir())
        assert 0 < one.size_bytes < with_files
    by_name = {one.point.name: one for one in made.measured}
    assert by_name["2-layers-dense"].speed.faster.median == 1.0
    student = by_name["1-layers-dense"]
    for one in made.measured:
        dense = one.point.pattern is None
        assert one.rival == (None if dense else "1-layers-dense"), one.point.name
        if one.behind is not None:
            lost = student.value.value - one.value.value
            assert one.behind.value == pytest.approx(lost)
        assert (one.behind is None) == dense
    assert [one.ms for one in made.measured] == sorted(one.ms for one in made.measured)


def test_killed_and_gone_on(made: recipe.Curve, place: Path, tmp_path: Path) -> None:
    file = recipes.write(tmp_path, TEXT, rows=120)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "LIMBECK_FAULT": "progress:45:kill"}
    died = subprocess.run(
        [sys.executable, "-m", "limbeck", "compress", str(file), "--curve"],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert died.returncode == 137, died.stderr
    before = events(tmp_path / "run")
    assert 5 < len(before) < 30, before
    again = recipe.make_curve(recipe.read(file), OPTIONS, rounds=1)
    assert digests(again) == digests(made)
    # no stage twice; of one that was made it was not yet told
    told, wanted = (Counter(events(out / "run")) for out in (tmp_path, place))
    assert not told - wanted
    assert (wanted - told).total() <= 1


def test_what_is_there_is_not_made_again(made: recipe.Curve, place: Path) -> None:
    before = events(place / "run")
    figures = {path: path.stat().st_mtime_ns for path in (place / "run" / "figures").iterdir()}
    wanted = recipe.read(place / "recipe.toml")
    again = recipe.make_curve(wanted, OPTIONS, rounds=1)
    assert digests(again) == digests(made)
    assert events(place / "run") == before
    after = {path: path.stat().st_mtime_ns for path in (place / "run" / "figures").iterdir()}
    assert after == figures
    # fewer points are fewer points, and nothing is made for them
    section = recipe.sections.CurveSection(sparsities=(0.5,), patterns=("1x4",), tokens=(4,))
    fewer = recipe.make_curve(dataclasses.replace(wanted, curve=section), OPTIONS, rounds=1)
    assert sorted(digests(fewer)) == [
        "1-layers-1x4-50", "1-layers-dense", "2-layers-1x4-50", "2-layers-dense",
    ]  # fmt: skip
    assert events(place / "run") == before


def test_a_run_of_the_recipe_itself_is_gone_on_from(tmp_path: Path) -> None:
    text = TEXT.replace("[0.0, 0.5, 0.75]", "[0.5]") + 'patterns = ["4x4"]\nstudents = false\n'
    wanted = recipe.read(recipes.write(tmp_path, text, rows=80))
    plain = recipe.run(wanted, recipe.Options(resamples=20, lengths=()))
    found = recipe.make_curve(wanted, OPTIONS, rounds=1)
    assert "teacher" not in events(tmp_path / "run")
    # the recipe alone prunes the student, by the sparsity of its own stage
    assert [step.output.kind for step in plain.steps][1:3] == ["student", "pruned"]
    assert sorted(digests(found)) == ["2-layers-4x4-50", "2-layers-dense"]
    assert recipe.run(wanted, recipe.Options(resamples=20, lengths=())).digest == plain.digest


def test_what_it_leaves(made: recipe.Curve, place: Path, tmp_path: Path) -> None:
    told = json.loads((place / "run" / "curve.json").read_text())
    assert {one["name"] for one in told["artifacts"]} >= {"2-layers-dense", "1-layers-1x4-50"}
    for one in told["artifacts"]:
        assert (place / "run" / one["artifact"] / "limbeck.json").is_file()
    # written again by the test that makes fewer points, so of the value itself
    whole = page.as_json(made)
    assert len(whole["artifacts"]) == len(NAMES)
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    html = page.write(dataclasses.replace(made, page=tmp_path / "curve.html")).read_text()
    assert html.count("<polyline") == 8  # four lines in each of two plots
    for words in ("What to ship", "2-layers-1x4", "accuracy over sparsity", ">75</text>"):
        assert words in html
    assert html.count(">75</text>") >= 8
    assert "http://" not in html.replace("http://www.w3.org", "")


def test_rivals_have_a_line_over_time_and_none_over_sparsity(
    made: recipe.Curve, tmp_path: Path
) -> None:
    (student,) = [one for one in made.measured if one.point.name == "1-layers-dense"]
    point = dataclasses.replace(student.point, name="3-layers-dense", base="rival")
    rival = dataclasses.replace(student, point=point)
    wider = dataclasses.replace(
        made, measured=(*made.measured, rival), page=tmp_path / "curve.html"
    )
    html = page.write(wider).read_text()
    assert html.count("<polyline") == 9  # four lines in each of two plots, and the dense models
    assert html.count("<title>dense: ") == 3


def test_rows(made: recipe.Curve, tmp_path: Path) -> None:
    measure.append_rows(tmp_path / "rows.jsonl", curve.rows(made, {"data_set": "tiny"}))
    rows = measure.read_rows(tmp_path / "rows.jsonl")
    assert [row.subject for row in rows] == [one.point.name for one in made.measured]
    assert len({row.run for row in rows}) == 1
    for row, one in zip(rows, made.measured, strict=True):
        assert (row.benchmark, row.unit, row.value) == ("compression", "ms", one.ms)
        assert row.workload["data_set"] == "tiny"
        assert row.workload["pattern"] == (one.point.pattern or "dense")
        assert row.workload["tokens"] == 16
        assert row.extra["metric"] == pytest.approx(100 * one.value.value)
        assert row.extra["kept_low"] == pytest.approx(one.kept.low)
        assert row.extra["ms_4"] == one.speeds[0].timing.p50_ms
        assert ("behind" in row.extra) == (one.behind is not None)
        assert row.extra.get("rival") == one.rival


# ---- several lines at once


def test_lines_and_what_they_wait_for(place: Path) -> None:
    planned = curve.points(recipe.read(place / "recipe.toml"))
    shared = running.Place(
        home=place, planned=planned, options=OPTIONS, begin=state.RunState(threads=1)
    )
    found = running.lines(shared, 1, False)
    assert [(line.name, set(line.needs)) for line in found] == [
        ("1-layers", set()),
        ("2-layers-4x4", set()),
        ("2-layers-1x4", set()),
        ("1-layers-4x4", {"1-layers"}),
        ("1-layers-1x4", {"1-layers"}),
    ]


def test_several_jobs_make_the_same(
    made: recipe.Curve, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe.read(recipes.write(tmp_path, TEXT, rows=120))
    out, said = tmp_path / "run", []
    # a line's process dies, and another one's disk is full: what was done before is kept. Faults
    # are planned where a process starts, so that this one has none
    for planned, message in (
        ("progress:10:kill", r"2-layers-.x4 died \(exit code 137\)"),
        ("rename:9:ENOSPC", "No space left on device"),
    ):
        monkeypatch.setenv(faults.VARIABLE, planned)
        with pytest.raises(TrainingError, match=message):
            recipe.make_curve(wanted, OPTIONS, jobs=2)
    monkeypatch.delenv(faults.VARIABLE)
    assert multiprocessing.active_children() == []
    begun = Counter(events(out))
    assert begun["teacher"] == 1
    assert 0 < begun["prune"] < 8
    again = recipe.make_curve(wanted, OPTIONS, say=said.append, rounds=1, jobs=3)
    assert digests(again) == digests(made)
    assert multiprocessing.active_children() == []
    told, whole = (Counter(events(home)) for home in (out, place / "run"))
    assert not told - whole
    assert (whole - told).total() <= 3  # of one that a fault met it was not yet told, once a line
    assert any(line.startswith("1-layers-4x4-75: 5-export: ") for line in said)
    assert [one.point.name for one in again.measured] != NAMES  # by time, as always
    assert (out / "curve.json").is_file()


def test_jobs_share_the_threads(tmp_path: Path) -> None:
    text = TEXT.replace("threads = 1\n", "").replace("[0.0, 0.5, 0.75]", "[0.5]")
    wanted = recipe.read(recipes.write(tmp_path, text, rows=80))
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        recipe.make_curve(wanted, OPTIONS, rounds=1, jobs=2)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    for run in (tmp_path / "run", *(tmp_path / "run" / "points").iterdir()):
        assert json.loads((run / "run.json").read_text())["threads"] == 2


def test_jobs_that_cannot_be(place: Path) -> None:
    wanted = recipe.read(place / "recipe.toml")
    with pytest.raises(InputError, match="jobs must be positive, found 0"):
        recipe.make_curve(wanted, jobs=0)
    group = processes.Group(rank=0, count=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "current", lambda: group)
        with pytest.raises(InputError, match=r"2 processes .* leave out torchrun"):
            recipe.make_curve(wanted, jobs=2)


# ---- what follows from figures


def test_the_front() -> None:
    # ms and metric: 3 is as good as 2 and slower; 5 is slower and worse than 4
    placed = [(1.0, 0.70), (2.0, 0.80), (2.5, 0.80), (3.0, 0.90), (4.0, 0.85)]
    assert judging.front(placed) == [True, True, False, True, False]
    # equals do not beat one another; what is undefined is on no front
    assert judging.front([(1.0, 0.5), (1.0, 0.5), (0.5, float("nan"))]) == [True, True, False]
    assert judging.front([(1.0, 0.5), (1.0, 0.6)]) == [False, True]


def test_kept_is_paired() -> None:
    right = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    other = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    found = kept_of(lambda at: float(other[at].mean()), lambda at: float(right[at].mean()), 5)
    assert found.value == pytest.approx(75.0)
    # by the same draws, written out
    draw, shares = np.random.default_rng(0), []
    for _ in range(1000):
        at = draw.integers(0, 5, 5)
        if right[at].sum():
            shares.append(100 * other[at].mean() / right[at].mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(shares, [0.025, 0.975])))
    same = kept_of(lambda at: 0.5, lambda at: 0.5, 5)
    assert (same.low, same.value, same.high) == (100.0, 100.0, 100.0)
    nothing = kept_of(lambda at: 0.5, lambda at: -0.1, 5)
    assert np.isnan([nothing.value, nothing.low]).all()


def _worth(made: recipe.Curve, name: str, **changes: Any) -> judging.Measured:
    (one,) = [one for one in made.measured if one.point.name == name]
    return dataclasses.replace(one, **changes)


def _timed(one: judging.Measured, ms: float) -> judging.Measured:
    timing = measure.Timing(rounds=((ms / 1e3,),))
    speed = dataclasses.replace(one.speed, timing=timing)
    return dataclasses.replace(one, speeds=(speed,))


def _behind(value: float) -> Interval:
    return Interval(value=value, low=value - 0.01, high=value + 0.01)


def test_the_answer(made: recipe.Curve) -> None:
    broken, fine = Verdict(passed=False, problems=("all rows: loses 9",)), Verdict(passed=True)
    fast = _timed(_worth(made, "2-layers-4x4-75", behind=_behind(0.05), verdict=broken), 1.0)
    student = _timed(_worth(made, "1-layers-dense", verdict=fine), 2.0)
    slow = _timed(_worth(made, "2-layers-1x4-50", behind=_behind(-0.03), verdict=fine), 3.0)
    even = _timed(_worth(made, "2-layers-4x4-50", behind=_behind(0.0), verdict=fine), 4.0)
    worse = _timed(_worth(made, "2-layers-1x4-75", behind=_behind(0.04), verdict=fine), 1.95)
    every = tuple(
        one if one is student else dataclasses.replace(one, rival="1-layers-dense")
        for one in (fast, worse, student, slow, even)
    )
    found = dataclasses.replace(made, measured=every, gate=Limits(max_drop=1.5))
    assert found.choice is not None
    assert found.choice.point.name == "2-layers-1x4-75"
    said = judging.told(found)
    assert "Ship 2-layers-1x4-75: of what keeps the gate's limits (1.5 points)" in said[0]
    assert said[2:] == [
        "Faster than every dense student; less accurate than the fastest: 2-layers-4x4-75 "
        "(1-layers-dense: -5.00 (-6.00 to -4.00)).",
        "Less accurate than the best dense student that is as fast: 2-layers-1x4-75 "
        "(1-layers-dense: -4.00 (-5.00 to -3.00)).",
        "More accurate than the best dense student that is as fast: 2-layers-1x4-50 "
        "(1-layers-dense: +3.00 (+2.00 to +4.00)).",
        "Not to be told from the best dense student that is as fast: 2-layers-4x4-50 "
        "(1-layers-dense: +0.00 (-1.00 to +1.00)).",
    ]
    none = dataclasses.replace(found, measured=every[:1])
    assert not none.passed
    assert "2-layers-4x4-75 loses least: all rows: loses 9" in none.refusal()
    alone = dataclasses.replace(none, measured=(dataclasses.replace(fast, behind=None),))
    assert "No artifact keeps the gate's limits" in judging.told(alone)[0]
    assert dataclasses.replace(none, gate=None).passed


# ---- the plan, and bad input


def parsed(place: Path, text: str) -> recipe.Recipe:
    return schema.parse(text, home=place)


def test_the_plan_of_a_recipe_without_prune_or_distil(place: Path) -> None:
    text = TEXT.replace(PRUNE, '[[stage]]\nkind = "export"\n')
    text = text.replace(
        '[[stage]]\nkind = "distil"\nlayers = 1\nepochs = 2\nlearning_rate = 2e-3\n', ""
    )
    wanted = parsed(place, text.replace(CURVE, ""))
    planned = curve.points(dataclasses.replace(wanted, curve=None))
    assert len(planned) == 2 * (1 + 2 * 5)
    last = planned[-1]
    assert (last.name, last.base, last.layers) == ("1-layers-1x4-90", "student", 1)
    kinds = [stage.kind for stage in last.recipe.stages]
    assert kinds == ["teacher", "distil", *["prune"] * 5, "export", "verify"]
    cut = [stage.config for stage in last.recipe.stages if stage.kind == "prune"]
    assert [one.prune.sparsity for one in cut] == [0.5, 0.6, 0.7, 0.8, 0.9]
    usual = defaults.curve_prune()
    assert all(one.prune.distil == usual.prune.distil for one in cut)
    assert {one.prune.pattern for one in cut} == {"1x4"}
    assert last.recipe.gate is None
    assert last.recipe.run.out.name == last.name


def test_rivals_are_dense_students_of_other_depths(place: Path) -> None:
    deep = place / "deep"
    recipes.write(deep, TEXT)
    models.write(
        deep / "encoder", "bert", "feature-extraction", shape=models.Shape(layers=4, hidden=32)
    )
    planned = curve.points(parsed(deep, TEXT + "rivals = [3, 2]\n"))
    assert [(one.name, one.base) for one in planned[-2:]] == [
        ("3-layers-dense", "rival"), ("2-layers-dense", "rival"),
    ]  # fmt: skip
    usual = next(one for one in planned if one.name == "1-layers-dense").recipe.stages[1]
    for one in planned[-2:]:
        begins = one.recipe.stages[1].config
        assert begins == dataclasses.replace(usual.config, layers=one.layers)
        assert one.body == f"{one.layers}-layers"
    assert {one.body for one in planned} == {"4-layers", "1-layers", "3-layers", "2-layers"}
    for wrong, message in (
        ("[4]", r"rivals: 4 layers are not fewer than the teacher's 4"),
        ("[2, 1]", r"rivals: the student has 1 layers too"),
    ):
        with pytest.raises(InputError, match=message):
            curve.points(parsed(deep, f"{TEXT}rivals = {wrong}\n"))


def test_qat_ends_every_point_and_structure_goes_once(place: Path) -> None:
    text = TEXT.replace("every = 1", "every = 1\nffn = 32")
    text = text.replace(
        '[[stage]]\nkind = "export"\n', '[[stage]]\nkind = "qat"\n\n[[stage]]\nkind = "export"\n'
    )
    planned = curve.points(parsed(place, text))
    for point in planned:
        assert [stage.kind for stage in point.recipe.stages][-3:] == ["qat", "export", "verify"]
    cut = [one.config.prune for one in planned[2].recipe.stages if one.kind == "prune"]
    assert [one.structure.ffn for one in cut] == [32, None]


def test_curve_in_toml(place: Path) -> None:
    whole = parsed(place, TEXT)
    assert whole.curve is not None
    assert whole.curve.tokens == (16, 4)
    assert schema.parse(schema.to_toml(whole)) == whole
    for old, new, wanted in (
        ("[0.0, 0.5, 0.75]", "[0.5, 0.5]", r"curve\.sparsities: sparsities must rise"),
        ("[0.0, 0.5, 0.75]", "[0.8, 0.5]", r"sparsities must rise"),
        ("[0.0, 0.5, 0.75]", "[0.5, 1.0]", r"from 0 and below 1"),
        ("[0.0, 0.5, 0.75]", "[]", r"from 0 and below 1"),
        ("[16, 4]", "[0]", r"tokens must be positive"),
        ("[16, 4]", "[]", r"tokens must be named"),
        ("[16, 4]", '[4]\npatterns = ["4x5"]', r"curve\.patterns\[0\] must be one of 1x4"),
        ("[16, 4]", '[4]\npatterns = ["4x4", "4x4"]', r"patterns must be named, each once"),
        ("[16, 4]", "[4]\nthreads = 0", r"threads must be positive"),
        ("[16, 4]", "[4]\nrivals = [1, 1]", r"rivals must be numbers of layers, each once"),
        ("[16, 4]", "[4]\nrivals = [0]", r"rivals must be numbers of layers, each once"),
        ("[16, 4]", "[4]\nrivals = [1]\nstudents = false", r"rivals are students; leave out"),
        ("[16, 4]", "[4]\nsparsity = 0.5", r"has no key 'sparsity'; did you mean 'sparsities'"),
        ("[curve]", "[curves]", r"no section \[curves\]; did you mean 'curve'"),
    ):
        assert old in TEXT
        with pytest.raises(InputError, match=wanted):
            schema.parse(TEXT.replace(old, new))


def test_what_cannot_be_a_curve(place: Path, tmp_path: Path) -> None:
    def elsewhere(wanted: recipe.Recipe) -> recipe.Recipe:
        out = recipe.sections.RunSection(out=tmp_path / "none")
        return dataclasses.replace(wanted, run=out)

    def refused(text: str, wanted: str, home: Path = place) -> None:
        before = sorted(home.iterdir())
        with pytest.raises(InputError, match=wanted):
            recipe.make_curve(
                dataclasses.replace(
                    parsed(home, text), run=recipe.sections.RunSection(out=tmp_path / "none")
                )
            )
        assert sorted(home.iterdir()) == before
        assert not (tmp_path / "none").exists()

    online = 'kind = "online"\nstudents = [{layers = 1}, {take = [1]}]'
    refused(
        TEXT.replace('kind = "distil"\nlayers = 1', online),
        r"no place for stage\[1\] \(online\); it is put together of teacher, distil",
    )
    refused(TEXT.replace(PRUNE, PRUNE.rsplit("[[stage]]", 1)[0] + PRUNE), r"one stage 'prune'")
    refused(
        TEXT.replace("every = 1", "every = 1\ncap = 0.6"),
        r"\[curve\] sparsities, 4x4 in 2-layers: a sparsity of 75\.00% is impossible: with a cap",
    )
    refused(
        TEXT.replace("every = 1", 'every = 1\nallocation = "uniform"\ncap = 0.6'),
        r"75\.00% of every layer is above the cap of 60\.00%",
    )
    other = tmp_path / "other"
    recipes.write(other, TEXT)
    shape = models.Shape(layers=2, hidden=36, heads=2, ffn=72, positions=64)
    models.write(other / "encoder", "bert", "feature-extraction", shape=shape)
    refused(
        TEXT + 'patterns = ["8x4"]\n',
        r"blocks of 8x4 do not divide attention of 2-layers, which is 36x36 .* that do: 4x4",
        other,
    )
    refused(TEXT.replace("[16, 4]", "[900]"), r"2-layers has positions for 64 tokens, and none")
