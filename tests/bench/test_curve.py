"""A tiny form of the curves: the rows that a recipe reads, keys, what is run and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models
from generated_rows import sentences, write
from limbeck import evaluation, measure
from limbeck.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")

from limbeck.bench.curve import __main__ as command  # noqa: E402
from limbeck.bench.curve import files, plan  # noqa: E402
from limbeck.bench.distillation import digests, sets, work  # noqa: E402
from limbeck.forge.recipe import rows as recipe_rows  # noqa: E402
from limbeck.forge.recipe.sections import CurveSection  # noqa: E402

pytestmark = pytest.mark.torch

Zoo = Callable[..., Path]


def squad(count: int, seed: int) -> dict[str, object]:
    texts, questions = sentences(count, seed), sentences(count, seed + 50)
    paragraphs = []
    for index, (text, question) in enumerate(zip(texts, questions, strict=True)):
        word = text.split()[-1]
        answer = {"text": word, "answer_start": text.index(word)}
        asked = {"id": str(index), "question": question, "answers": [answer]}
        paragraphs.append({"context": text, "qas": [asked]})
    return {"version": "1.1", "data": [{"title": "x", "paragraphs": paragraphs}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for split, count, seed in (("train", 70, 0), ("validation", 40, 1)):
        texts = sentences(count, seed)
        rows = [{"text": text, "label": int("good" in text)} for text in texts]
        write(root / "sst2" / f"{split}.jsonl", rows)
        pairs = zip(texts, sentences(count, seed + 10), strict=True)
        scored = [
            {"text": one, "text_pair": two, "label": len(set(one.split()) & set(two.split())) / 3}
            for one, two in pairs
        ]
        write(root / "stsb" / f"{split}.jsonl", scored)
    (root / "squad").mkdir()
    for name, count in (("train", 60), ("dev", 20)):
        (root / "squad" / f"{name}.json").write_text(json.dumps(squad(count, len(name))))
    return root


def small(one: sets.DataSet) -> sets.DataSet:
    """Little training on files that are not packed, with texts left over to learn from."""
    budget = sets.Budget(epochs=1, learning_rate=1e-3)
    names = tuple(name.removesuffix(".gz") for name in one.train_files)
    test = one.test_file.removesuffix(".gz")
    if one.name == "squad":
        names, test = ("squad/train.json",), "squad/dev.json"
    return replace(
        one, train_files=names, test_file=test, teacher=budget, student=budget, prune=budget,
        max_tokens=32, train_rows=30, test_rows=None,
    )  # fmt: skip


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "SETS", tuple(small(one) for one in sets.SETS))
    section = CurveSection(sparsities=(0.0, 0.5), patterns=("4x4",), tokens=(4, 16))
    monkeypatch.setattr(command.plan, "QUICK", section)
    monkeypatch.setattr(sets, "quick", lambda one: one)


@pytest.fixture
def encoder(zoo: Zoo) -> Path:
    return zoo("bert", "feature-extraction", shape=models.Shape(layers=4))


def arguments(folder: Path, encoder: Path, base: Path, *more: str) -> list[str]:
    return [
        *("--data", str(folder), "--encoder", str(encoder), "--quick"),
        *("--cache", str(base / "cache"), "--results", str(base / "rows.jsonl"), *more),
    ]


@pytest.mark.parametrize("name", ["sst2", "stsb", "squad"])
def test_a_recipe_reads_the_same_rows(
    name: str, folder: Path, encoder: Path, tmp_path: Path
) -> None:
    (one,) = [small(one) for one in sets.SETS if one.name == name]
    rows = sets.read(folder, one)
    assert rows.transfer is not None
    found = files.write(rows, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jsonl")}
    assert len(times) == 4
    wanted = plan.Wanted(
        data_set=one, rows=rows, teacher=plan.teacher(one, rows, "encoder"), seed=0,
        section=CurveSection(),
    )  # fmt: skip
    recipe = wanted.recipe(encoder, found, tmp_path / "run")
    names = None if name != "sst2" else rows.train.names
    read = recipe_rows.read(recipe.data, recipe.task, names, None)
    assert read.train.digest == rows.train.digest
    assert read.transfer is not None
    assert read.transfer.text_digest == rows.transfer.text_digest
    assert not read.transfer.labelled.any()
    held_out = sets.as_examples(read.held_out)  # type: ignore[arg-type]
    for mine, other in ((read.examples, rows.test), (held_out, rows.held_out)):
        assert (mine.texts, mine.pairs) == (other.texts, other.pairs)
        if name == "stsb":
            np.testing.assert_allclose(mine.targets, other.targets, rtol=1e-6)
        else:
            assert mine.targets == other.targets
    assert files.write(rows, tmp_path) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jsonl")} == times


def test_an_answer_that_stands_nowhere(folder: Path, tmp_path: Path) -> None:
    (one,) = [small(one) for one in sets.SETS if one.name == "squad"]
    rows = sets.read(folder, one)
    test = replace(rows.test, targets=(("nowhere",), *rows.test.targets[1:]))
    with pytest.raises(InputError, match=r"'nowhere', to answer .* is not in its context"):
        files.write(replace(rows, test=test), tmp_path)


def test_only_what_is_missing_is_run(
    folder: Path,
    encoder: Path,
    tmp_path: Path,
    known: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = arguments(folder, encoder, tmp_path, "--only", "sst2")
    assert command.main([*call, "--list"]) == 0
    said = capsys.readouterr().out
    assert "0 of 4 rows are there" in said
    assert "4-layers-4x4-50: to be made" in said
    assert "seed 0: to be trained" in said
    assert not (tmp_path / "cache").exists()

    assert command.main(call) == 0
    rows = measure.read_rows(tmp_path / "rows.jsonl")
    assert sorted(row.subject for row in rows) == [
        "3-layers-4x4-50", "3-layers-dense", "4-layers-4x4-50", "4-layers-dense",
    ]  # fmt: skip
    assert len({row.workload["key"] for row in rows}) == 4
    for row in rows:
        assert row.workload["data_set"] == "sst2"
        assert (row.workload["train_rows"], row.workload["quick"]) == (30, 1)
        assert row.workload["rows"] == 40
    # the teacher is the one of the distillation's cache
    (one,) = [one for one in sets.SETS if one.name == "sst2"]
    run = plan.teacher(one, sets.read(folder, one), digests.of_directory(encoder))
    shop = work.Workshop(tmp_path / "cache", encoder)
    assert shop.is_trained(run)
    assert {row.workload["teacher"] for row in rows} == {run.key}
    (dense,) = [row for row in rows if row.subject == "4-layers-dense"]
    answered = shop.answer(run, "fp32", sets.read(folder, one).test, digests.scoring_code())
    metric = next(iter(evaluation.metrics_of(answered.problem, answered.values).values()))
    assert dense.extra["teacher"] == pytest.approx(100 * metric(np.arange(40)))

    assert command.main(call) == 0
    assert "all rows are there" in capsys.readouterr().out
    assert measure.read_rows(tmp_path / "rows.jsonl") == rows
    assert command.main([*call, "--list"]) == 0
    assert "4 of 4 rows are there" in capsys.readouterr().out

    # where the rows are lost, models are measured again and none is trained
    trained: list[str] = []
    monkeypatch.setattr(work.Workshop, "_trained", lambda *about: trained.append("teacher"))
    monkeypatch.setattr("limbeck.forge.loop.run", lambda *about, **more: trained.append("model"))
    (tmp_path / "rows.jsonl").unlink()
    assert command.main(call) == 0
    assert not trained
    again = measure.read_rows(tmp_path / "rows.jsonl")
    assert {row.workload["artifact"] for row in again} == {row.workload["artifact"] for row in rows}
    assert {row.workload["key"] for row in again} == {row.workload["key"] for row in rows}


def test_pairs_and_questions_run_too(
    folder: Path, encoder: Path, tmp_path: Path, known: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = sets.Budget(epochs=1, learning_rate=1e-5)
    changed = tuple(replace(one, qat=budget if one.name == "stsb" else None) for one in sets.SETS)
    monkeypatch.setattr(sets, "SETS", changed)
    call = arguments(folder, encoder, tmp_path, "--only", "stsb,squad", "--seed", "1")
    assert command.main(call) == 0
    rows = measure.read_rows(tmp_path / "rows.jsonl")
    assert len(rows) == 8
    assert {(row.workload["data_set"], row.workload["metric"]) for row in rows} == {
        ("stsb", "Spearman"), ("squad", "F1"),
    }  # fmt: skip
    assert {row.workload["seed"] for row in rows} == {1}
    assert {row.workload["qat_epochs"] for row in rows} == {0.0, 1.0}
    assert len(list((tmp_path / "cache" / "curves").glob("stsb-*/points/*/*-qat"))) == 4


def test_figures_of_other_code_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "curves" / "one"
    command._forget(home)
    (home / "figures").mkdir(parents=True)
    command._forget(home)
    assert (home / "figures").is_dir()
    monkeypatch.setattr(digests, "scoring_code", lambda: "other")
    command._forget(home)
    assert not (home / "figures").exists()
    assert home.is_dir()


def test_a_key_changes_with_all_that_it_depends_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = [small(one) for one in sets.SETS if one.name == "sst2"]

    def wanted(
        one: sets.DataSet = one, seed: int = 0, section: CurveSection | None = None
    ) -> plan.Wanted:
        rows = sets.read(folder, one)
        return plan.Wanted(
            data_set=one, rows=rows, teacher=plan.teacher(one, rows, "encoder"), seed=seed,
            section=section or CurveSection(),
        )  # fmt: skip

    budget = sets.Budget(epochs=2, learning_rate=1e-3)
    first = wanted()
    assert first.key_of("a") == wanted().key_of("a") != first.key_of("b")
    others = {
        "seed": wanted(seed=1),
        "prune": wanted(replace(one, prune=budget)),
        "student": wanted(replace(one, student=budget)),
        "qat": wanted(replace(one, qat=budget)),
        "teacher": wanted(replace(one, teacher=budget)),
        "rows": wanted(replace(one, train_rows=29)),
        "section": wanted(section=CurveSection(sparsities=(0.5,))),
    }
    keys = {name: other.key_of("a") for name, other in others.items()}
    assert len({first.key_of("a"), *keys.values()}) == len(others) + 1
    # settings of stages may be tried in one place; other models have one of their own
    assert {name for name, other in others.items() if other.folder == first.folder} == {
        "prune", "student", "qat", "section",
    }  # fmt: skip
    assert [stage.kind for stage in others["qat"].stages(Path())] == [
        "teacher", "distil", "prune", "qat", "export",
    ]  # fmt: skip
    monkeypatch.setattr(plan, "code", lambda: "other")
    assert wanted().folder != first.folder


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--only", "cola"], "no data set 'cola'; there are: sst2, stsb, squad, imdb"),
        (["--scale", "0"], "--scale must be above 0"),
        (["--seed", "-1"], "--seed must not be negative"),
        (["--data", "none"], "no directory none: the data sets are no part of limbeck"),
        (["--encoder", "none"], "none is no model directory"),
        (["--only", "imdb"], r"imdb/train.jsonl is not there"),
    ],
)
def test_requests_that_make_no_sense(
    more: list[str],
    message: str,
    folder: Path,
    encoder: Path,
    tmp_path: Path,
    known: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main([*arguments(folder, encoder, tmp_path), *more]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
