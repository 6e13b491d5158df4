"""compress as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import models
import recipes
from limbeck import artifact, evaluation, measure, pipeline
from limbeck.cli.main import run

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a recipe that has been run once."""
    place = tmp_path_factory.mktemp("compress")
    assert run(["compress", str(recipes.write(place))]) == 0
    return place


def test_a_recipe_runs_and_goes_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", str(place / "recipe.toml")]) == 0
    shown = capsys.readouterr()
    made = place / "run" / "artifact"
    with artifact.read(made) as stored:
        assert f"{made}  {stored.digest}" in shown.out
    assert "1-teacher: kept" in shown.err
    assert "3-export" in shown.out
    assert "report.html" in shown.out
    assert pipeline("text-classification", made)("good great")[0]["label"] in ("like", "dislike")


def test_the_gate_leaves_with_3(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # a step as wide as this loses whatever the teacher knew
    wild = recipes.RECIPE.replace(
        "epochs = 2\nlearning_rate = 2e-3", "epochs = 1\nlearning_rate = 0.5"
    )
    assert wild != recipes.RECIPE
    (place / "wild.toml").write_text(wild)
    asked = ["compress", str(place / "wild.toml"), "--out", str(place / "gated")]
    code = run([*asked, "--max-drop", "0", "--strict"])
    shown = capsys.readouterr()
    assert code == 3
    assert "may lose up to" in shown.err
    assert "points from stage to stage: 2-distil" in shown.err
    assert paired_points(place / "gated" / "artifact.failed") in shown.out
    assert (
        "The gate refused it: up to 0 points may be lost, and the interval's worse end decides."
        in shown.out
    )
    assert (place / "gated" / "artifact.failed" / "limbeck.json").is_file()
    assert not (place / "gated" / "artifact").exists()
    assert run([*asked, "--max-drop", "100", "--max-slice-drop", "100"]) == 0
    shown = capsys.readouterr()
    assert paired_points(place / "gated" / "artifact") in shown.out
    assert (
        "The gate let it pass: up to 100 points may be lost, 100 on a slice, and the estimate "
        "decides." in shown.out
    )
    assert (place / "gated" / "artifact" / "limbeck.json").is_file()
    page = (place / "gated" / "report.html").read_text()
    assert "The gate let it pass" in page


def paired_points(made: Path) -> str:
    """What the artifact lost against the teacher, as it was measured, in words of the terminal."""
    lost = json.loads((made / "measured.json").read_text())["lost"]["all rows"]
    change, low, high = (100 * (0 - lost[name]) for name in ("value", "high", "low"))
    assert low < high
    return f": {change:+.2f} ({low:+.2f} to {high:+.2f}) points, with the 95 % interval"


def test_a_model_without_a_recipe(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["compress", str(place / "encoder"), "--data", str(place / "rows.jsonl")]
    asked += ["--out", str(tmp_path / "run"), "--precision", "fp32", "--layers", "1"]
    asked += ["--max-drop", "100"]
    assert run([*asked, "--print-recipe"]) == 0
    text = capsys.readouterr().out
    assert "train = true" in text
    assert not (tmp_path / "run").exists()
    assert run(asked) == 0
    (tmp_path / "recipe.toml").write_text(text)
    assert run(["compress", str(tmp_path / "recipe.toml"), "--out", str(tmp_path / "again")]) == 0
    digests = {
        json.loads((tmp_path / name / "artifact" / "limbeck.json").read_text())["digest"]
        for name in ("run", "again")
    }
    assert len(digests) == 1


def test_a_trained_model_is_taken_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = models.write(tmp_path / "trained", "bert", "text-classification")
    rows = recipes.write_rows(tmp_path / "rows.jsonl", 60)
    asked = ["compress", str(trained), "--data", str(rows), "--out", str(tmp_path / "run")]
    assert run([*asked, "--print-recipe"]) == 0
    assert "train = false" in capsys.readouterr().out
    # its labels are not those of the rows
    assert run(asked) == 2
    assert "is not one of ['negative', 'neutral', 'positive']" in capsys.readouterr().err
    assert run([*asked, "--train", "--print-recipe"]) == 0
    assert "train = true" in capsys.readouterr().out


def test_seeds(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compress", str(place / "recipe.toml"), "--out", str(place / "seeds")]
    assert run([*asked, "--seeds", "2"]) == 0
    shown = capsys.readouterr().out
    assert "accuracy over 2 seeds" in shown
    assert (place / "seeds" / "seed-1" / "artifact" / "limbeck.json").is_file()
    assert json.loads((place / "seeds" / "seeds.json").read_text())["seeds"] == [0, 1]


CURVE = """
[curve]
sparsities = [0.0, 0.5]
patterns = ["4x4"]
tokens = [8]
students = false
"""


def test_a_curve(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = recipes.RECIPE.replace(
        '[[stage]]\nkind = "export"',
        '[[stage]]\nkind = "prune"\nepochs = 1\nevery = 1\n\n[[stage]]\nkind = "export"',
    )
    (place / "curve.toml").write_text(text + CURVE)
    out, record = place / "curve", place / "measured.jsonl"
    asked = ["compress", str(place / "curve.toml"), "--curve", "--out", str(out)]
    asked += ["--record", str(record), "--max-drop"]
    assert run([*asked, "100"]) == 0
    shown = capsys.readouterr().out
    for words in ("2-layers-dense", "2-layers-4x4-50", "Ship 2-layers-", f"{out}/curve.html"):
        assert words in shown
    assert "next: limbeck inspect" in shown
    assert (out / "points" / "2-layers-4x4-50" / "artifact" / "limbeck.json").is_file()
    rows = measure.read_rows(record)
    assert sorted(row.subject for row in rows) == ["2-layers-4x4-50", "2-layers-dense"]
    assert {row.benchmark for row in rows} == {"compression"}
    page = (out / "curve.html").read_text()
    assert "<polyline" in page
    assert ">50</text>" in page
    # nothing keeps the limits: the table is there all the same
    broken = evaluation.Verdict(passed=False, problems=("all rows: loses 9 points",))
    monkeypatch.setattr(evaluation, "judge", lambda *about: broken)
    assert run([*asked, "1"]) == 3
    shown = capsys.readouterr()
    assert "no artifact of the curve keeps the gate's limits" in shown.err
    assert "loses 9 points" in shown.err
    assert "2-layers-4x4-50" in shown.out
    assert len(measure.read_rows(record)) == 4
    assert json.loads((out / "curve.json").read_text())["passed"] is False


def test_the_recipe_of_a_curve(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", str(place / "recipe.toml"), "--curve", "--print-recipe"]) == 0
    shown = capsys.readouterr().out
    assert "sparsities = [0.0, 0.5, 0.6, 0.7, 0.8, 0.9]" in shown
    assert 'patterns = ["4x4", "1x4"]' in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["PLACE/recipe.toml", "--curve", "--seeds", "2"], "a curve has one seed; leave out"),
        (["PLACE/recipe.toml", "--record", "rows.jsonl"], "--record goes with --curve"),
        (["PLACE/recipe.toml", "--jobs", "2"], "--jobs goes with --curve"),
        (["PLACE/recipe.toml", "--curve", "--record", "PLACE"], "is a directory; name a file"),
        (
            ["PLACE/recipe.toml", "--curve", "--record", "PLACE/rows.jsonl"],
            "rows.jsonl:1: not a row of schema 1",
        ),
        (["none.toml"], "cannot read the recipe none.toml: No such file"),
        (["PLACE/recipe.toml", "--data", "x.csv"], "--data goes with a model"),
        (["PLACE/recipe.toml", "--as-it-is"], "--train goes with a model"),
        (["PLACE/recipe.toml", "--strict"], "go with --max-drop"),
        (["PLACE/recipe.toml", "--precision", "int8"], "is not auto, fp32 or bf16"),
        (["PLACE/recipe.toml", "--seed", "-1"], "seed must not be negative"),
        (["PLACE/recipe.toml", "--max-drop", "-1"], "max_drop must be a number of points"),
        (["PLACE/encoder"], "is no recipe (a .toml file); for a model name labelled rows"),
        (["PLACE/encoder", "--data", "none.csv"], "there is no file none.csv"),
        (["PLACE/encoder", "-d", "x", "--task", "poetry"], "--task 'poetry' is not one of"),
        (["PLACE/encoder", "-d", "x", "--problem", "poetry"], "problem 'poetry' is not one of"),
    ],
    ids=" ".join,
)
def test_bad_calls(
    arguments: list[str],
    message: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["compress", *(one.replace("PLACE", str(place)) for one in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_a_model_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = recipes.write_rows(tmp_path / "rows.jsonl", 60)
    asked = ["compress", str(tmp_path / "none"), "--data", str(rows), "--print-recipe"]
    assert run(asked) == 1
    assert "none" in capsys.readouterr().err


def test_python_m_limbeck() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "limbeck", "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("limbeck ")
