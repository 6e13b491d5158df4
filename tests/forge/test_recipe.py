"""A recipe's run: what is run again and what is not, what is kept, the gate, bad input."""

from __future__ import annotations

import dataclasses
import fcntl
import importlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import models
import recipes

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")

import torch
import transformers

from limbeck import artifact, load
from limbeck.errors import InputError, TrainingError
from limbeck.evaluation import Limits
from limbeck.forge import faults, loop, recipe, training
from limbeck.forge.recipe import state, store
from limbeck.forge.recipe.ledger import Ledger
from limbeck.forge.recipe.sections import Recipe

pytestmark = pytest.mark.torch

QUICK = recipe.Options(resamples=20, lengths=(), save_every_s=3600)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> recipe.Finished:
    """The tiny recipe, run once; copy its directory before changing anything in it."""
    file = recipes.write(tmp_path_factory.mktemp("recipe"))
    return recipe.run(recipe.read(file), recipe.Options(resamples=20, lengths=(4, 16)))


@pytest.fixture
def copy(finished: recipe.Finished, tmp_path: Path) -> Recipe:
    """The tiny recipe with its run in a directory of its own."""
    target = tmp_path / "place"
    shutil.copytree(finished.recipe.run.out.parent, target)
    return recipe.read(target / "recipe.toml")


@pytest.fixture
def fault() -> Iterator[Callable[[str], None]]:
    yield faults.arm
    faults.arm("")


def with_stage(wanted: Recipe, index: int, **changes: Any) -> Recipe:
    stages = list(wanted.stages)
    config = dataclasses.replace(stages[index].config, **changes)
    stages[index] = dataclasses.replace(stages[index], config=config)
    return dataclasses.replace(wanted, stages=tuple(stages))


def with_run(wanted: Recipe, **changes: Any) -> Recipe:
    return dataclasses.replace(wanted, run=dataclasses.replace(wanted.run, **changes))


def ran(wanted: Recipe, options: recipe.Options = QUICK) -> dict[str, bool]:
    """Run, and say which stages were made rather than kept."""
    ledger = Ledger(path=wanted.run.out / "ledger.jsonl")
    before = len(ledger.read())
    recipe.run(wanted, options)
    events = ledger.read()[before:]
    return {one["stage"]: one["event"] == "stage" for one in events if "stage" in one}


def test_what_a_run_leaves(finished: recipe.Finished) -> None:
    home = finished.recipe.run.out
    assert finished.artifact == home / "artifact"
    with artifact.read(finished.artifact) as made:
        assert made.digest == finished.digest
        assert made.spec.encoder.layers == 1
        assert made.spec.task.labels == ("dislike", "like")
        assert str(home) not in json.dumps(made.lineage)
    for stage in ("1-teacher", "2-distil"):
        assert str(home) not in (home / stage / "config.json").read_text()
        model = transformers.AutoModelForSequenceClassification.from_pretrained(home / stage)
        assert model.config.num_labels == 2
        tokenizer = transformers.AutoTokenizer.from_pretrained(home / stage)
        assert tokenizer("good house")["input_ids"]
    assert not list((home / "saves").glob("*"))
    assert recipe.read(home / "recipe.toml") == finished.recipe  # all of whose paths are whole
    page = (home / "report.html").read_text()
    for words in ("Stage by stage", "Loss over steps", "2-distil", "label=like", "16 tokens"):
        assert words in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_figures_are_those_of_evaluate(finished: recipe.Finished) -> None:
    from limbeck import evaluation

    home = finished.recipe.run.out
    facts = artifact.read_measured(finished.artifact)
    assert [one["stage"] for one in facts["stages"]] == ["1-teacher", "2-distil", "3-export"]
    assert {one["tokens"] for one in facts["latency"]} == {4, 16}
    assert facts["gate"] is None
    from limbeck.forge.recipe.rows import read

    rows = read(finished.recipe.data, finished.recipe.task, None, None)
    for step, where in zip(finished.steps, ("1-teacher", "2-distil", "artifact"), strict=True):
        scored = evaluation.score(load(home / where), rows.examples)
        assert step.quality.value == scored.value()
    first, last = (step.quality.value for step in (finished.steps[0], finished.steps[-1]))
    assert finished.whole.drop.value == pytest.approx(first - last)
    lost = [step.lost.drop.value for step in finished.steps if step.lost is not None]
    assert sum(lost) == pytest.approx(finished.whole.drop.value)
    assert not set(rows.train.texts) & set(rows.examples.texts)


def test_the_teacher_learned_something(finished: recipe.Finished) -> None:
    figures = finished.steps[0].done.figures
    assert figures["last_loss"] < figures["first_loss"]
    assert len(figures["losses"]) == figures["steps"]


def test_nothing_is_made_twice(copy: Recipe, finished: recipe.Finished) -> None:
    assert not any(ran(copy).values())
    assert recipe.run(copy, QUICK).digest == finished.digest


def test_a_change_reaches_what_is_behind_it(copy: Recipe) -> None:
    made = ran(with_stage(copy, 2, precision="fp32"))
    assert made == {"1-teacher": False, "2-distil": False, "3-export": True, "4-verify": True}
    made = ran(with_stage(copy, 1, layers=2))
    assert made == {"1-teacher": False, "2-distil": True, "3-export": True, "4-verify": True}
    assert not any(ran(with_stage(copy, 1, layers=2)).values())


def test_files_that_matter_and_files_that_do_not(copy: Recipe, tmp_path: Path) -> None:
    test = recipes.write_rows(tmp_path / "test.jsonl", 60, seed=5)
    data = dataclasses.replace(copy.data, test=test)
    assert not any(ran(dataclasses.replace(copy, data=data)).values())
    more = recipes.write_rows(tmp_path / "more.jsonl", 30, seed=6, labels=False)
    data = dataclasses.replace(copy.data, transfer=more)
    made = ran(dataclasses.replace(copy, data=data))
    assert made == {"1-teacher": False, "2-distil": True, "3-export": True, "4-verify": True}
    with copy.data.train.open("a") as file:
        file.write('{"text": "good good old", "label": "like"}\n' * 40)
    assert all(ran(copy).values())


def test_a_change_that_changes_nothing_stops_there(copy: Recipe) -> None:
    """The stages behind depend on what a stage gave, not on how it was asked for."""
    taken = with_stage(copy, 1, layers=None, take=(0,))
    made = ran(taken)
    assert made == {"1-teacher": False, "2-distil": True, "3-export": False, "4-verify": False}


def test_another_seed_and_its_way_back(copy: Recipe, finished: recipe.Finished) -> None:
    other = recipe.run(with_run(copy, seed=1), QUICK)
    assert other.digest != finished.digest
    assert recipe.run(copy, QUICK).digest == finished.digest


def test_a_run_elsewhere_has_the_same_digest(finished: recipe.Finished, tmp_path: Path) -> None:
    file = recipes.write(tmp_path / "another" / "place")
    assert recipe.run(recipe.read(file), QUICK).digest == finished.digest


def test_threads_and_precision_are_decided_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = recipes.RECIPE.replace('precision = "fp32"\nthreads = 1\n', "")
    wanted = recipe.read(recipes.write(tmp_path, text, rows=60))
    calls = []

    def probe(*args: Any, **named: Any) -> training.PrecisionProbe:
        calls.append(1)
        return training.PrecisionProbe(fp32_s=1.0, bf16_s=0.5, chosen="bf16")

    monkeypatch.setattr(training, "probe_precision", probe)
    before = torch.get_num_threads()
    seen = []
    original = loop.run

    def counted(*arguments: Any, **named: Any) -> training.TrainingReport:
        seen.append(torch.get_num_threads())
        return original(*arguments, **named)

    monkeypatch.setattr(loop, "run", counted)
    torch.set_num_threads(1)
    recipe.run(wanted, QUICK)
    torch.set_num_threads(2)
    try:
        assert not any(ran(wanted).values())
        other = with_stage(wanted, 1, layers=2)
        assert ran(other)["2-distil"]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert calls == [1]
    assert seen == [1, 1, 1]
    kept = json.loads((wanted.run.out / "run.json").read_text())
    assert kept["threads"] == 1
    assert kept["probe"]["chosen"] == "bf16"
    figures = json.loads((wanted.run.out / "2-distil" / "done.json").read_text())["figures"]
    assert figures["precision"] == "bf16"


def test_the_gate_refuses_and_says_where_it_was_lost(
    copy: Recipe, finished: recipe.Finished
) -> None:
    # an untrained student's layer is worth nothing: whatever it loses is more than is allowed
    worse = with_stage(
        copy,
        1,
        distil=dataclasses.replace(
            copy.stages[1].config.distil,
            training=dataclasses.replace(
                copy.stages[1].config.distil.training, learning_rate=0.5, epochs=1.0
            ),
        ),
    )
    gated = dataclasses.replace(worse, gate=Limits(max_drop=0.0))
    found = recipe.run(gated, QUICK)
    assert not found.passed
    assert found.artifact.name == "artifact.failed"
    for words in ("all rows: loses", "2-distil -", "3-export ", "1-teacher has accuracy"):
        assert words in found.refusal()
    assert artifact.read_measured(found.artifact)["gate"]["passed"] is False
    # what an earlier recipe put under the target name is not touched
    with artifact.read(copy.run.out / "artifact") as there:
        assert there.digest == finished.digest
    again = recipe.run(dataclasses.replace(worse, gate=Limits(max_drop=100.0)), QUICK)
    assert again.passed
    assert again.digest == found.digest
    assert not found.artifact.exists()
    # the same artifact under narrower limits loses its name
    assert not recipe.run(gated, QUICK).passed
    assert not (copy.run.out / "artifact").exists()


def test_strict_gates_decide_on_the_bound(copy: Recipe, finished: recipe.Finished) -> None:
    drop = finished.whole.drop
    assert drop.high > drop.value
    limit = 100 * max(0.0, (drop.value + drop.high) / 2)
    options = recipe.Options(resamples=20, lengths=())
    assert recipe.run(dataclasses.replace(copy, gate=Limits(max_drop=limit)), options).passed
    strict = dataclasses.replace(copy, gate=Limits(max_drop=limit, strict=True))
    assert not recipe.run(strict, options).passed


def test_a_gate_says_which_slices_it_did_not_judge(
    copy: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = importlib.import_module("limbeck.evaluation.slices")
    gated = dataclasses.replace(copy, gate=Limits(max_drop=100.0, max_slice_drop=100.0))
    sizes = {name: rows for name, (rows, _) in recipe.run(gated, QUICK).whole.slices.items()}
    fewest = sizes.pop("label=like")
    with monkeypatch.context() as patched:
        patched.setattr(parts, "FEWEST_ROWS", fewest)
        shutil.rmtree(copy.run.out / "figures")
        said: list[str] = []
        found = recipe.run(gated, QUICK, say=said.append)
        gate = artifact.read_measured(found.artifact)["gate"]
        missed = {name: rows for name, rows in sizes.items() if rows < fewest}
        assert missed
        assert gate["not_judged"].items() >= missed.items()
        assert any(f"gate: {found.warnings[0]}" in line for line in said)
        assert "rows were not judged" in found.report.read_text()
        patched.setattr(parts, "FEWEST_ROWS", 10**6)
        shutil.rmtree(copy.run.out / "figures")
        found = recipe.run(gated, QUICK)
        assert not found.passed
        assert "no slice could be judged" in found.refusal()


def test_a_model_taken_as_it_is(copy: Recipe, tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    shutil.copytree(copy.run.out / "1-teacher", trained)
    (trained / "done.json").unlink()
    text = recipes.RECIPE.replace(
        'model = "encoder"\nepochs = 3\nlearning_rate = 2e-3\nmax_tokens = 32',
        f'model = "{trained}"\ntrain = false',
    )
    wanted = recipe.parse(text, home=copy.run.out.parent)
    found = recipe.run(with_run(wanted, out=tmp_path / "run"), QUICK)
    first = json.loads((tmp_path / "run" / "1-teacher" / "done.json").read_text())
    assert first["figures"] == {}
    assert found.steps[0].quality.value == pytest.approx(
        recipe.run(copy, QUICK).steps[0].quality.value
    )


def test_online_and_several_teachers(copy: Recipe, tmp_path: Path) -> None:
    text = recipes.RECIPE.replace(
        'kind = "distil"\nlayers = 1\nepochs = 2',
        'kind = "online"\nstudents = [{layers = 1}, {take = [1]}]\nepochs = 1',
    ).replace(
        '[[stage]]\nkind = "export"',
        '[[stage]]\nkind = "distil"\nepochs = 1\nteachers = ["run/1-teacher"]\n'
        'combine = "weighted"\n\n[[stage]]\nkind = "export"',
    )
    wanted = with_run(recipe.parse(text, home=copy.run.out.parent), out=tmp_path / "run")
    found = recipe.run(wanted, QUICK)
    assert [step.output.stage for step in found.steps] == [
        "1-teacher", "2-online", "3-distil", "4-export",
    ]  # fmt: skip
    assert not any(ran(wanted).values())


def test_seeds_spread_and_share(tmp_path: Path) -> None:
    wanted = recipe.read(recipes.write(tmp_path, rows=100))
    runs, spreads = recipe.run_seeds(wanted, 2, QUICK)
    assert [one.recipe.run.out.name for one in runs] == ["seed-0", "seed-1"]
    assert runs[0].digest != runs[1].digest
    kept = json.loads((tmp_path / "run" / "seeds.json").read_text())
    assert kept["seeds"] == [0, 1]
    for index, one in enumerate(spreads):
        values = [found.steps[index].quality.value for found in runs]
        assert one.values == tuple(values)
        assert one.mean == pytest.approx(sum(values) / 2)
        assert one.deviation == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
        assert (one.low, one.high) == (min(values), max(values))
        assert kept["stages"][index]["mean"] == pytest.approx(one.mean)
    again, _ = recipe.run_seeds(wanted, 2, QUICK)
    assert [one.digest for one in again] == [one.digest for one in runs]
    with pytest.raises(InputError, match="seeds must be at least 1"):
        recipe.run_seeds(wanted, 0, QUICK)


def test_seeds_share_what_does_not_depend_on_them(copy: Recipe, tmp_path: Path) -> None:
    text = recipes.RECIPE.replace(
        'model = "encoder"\nepochs = 3\nlearning_rate = 2e-3\nmax_tokens = 32',
        'model = "run/1-teacher"\ntrain = false',
    )
    text = text.replace(
        '[[stage]]\nkind = "distil"\nlayers = 1\nepochs = 2\nlearning_rate = 2e-3', ""
    )
    wanted = with_run(recipe.parse(text, home=copy.run.out.parent), out=tmp_path / "seeds")
    runs, _ = recipe.run_seeds(wanted, 2, QUICK)
    events = Ledger(path=runs[1].recipe.run.out / "ledger.jsonl").read()
    assert [one["event"] for one in events if "stage" in one] == ["kept"] * 3
    weights = [one.recipe.run.out / "1-teacher" / "model.safetensors" for one in runs]
    assert weights[0].samefile(weights[1])


# Bad input.


def test_tampered_outputs_are_refused(copy: Recipe) -> None:
    stage = copy.run.out / "2-distil"
    done = json.loads((stage / "done.json").read_text())
    (stage / "done.json").write_text(json.dumps(done | {"seconds": 0.0}))
    with pytest.raises(InputError, match=r"done\.json was changed .*its seal is broken"):
        recipe.run(copy, QUICK)
    (stage / "done.json").write_text("{")
    with pytest.raises(InputError, match=r"done\.json cannot be read"):
        recipe.run(copy, QUICK)
    (stage / "done.json").write_text(json.dumps(done))
    weights = bytearray((stage / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (stage / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match=r"not those that its done\.json speaks of"):
        recipe.run(copy, QUICK)
    shutil.rmtree(stage)
    assert ran(copy) == {
        "1-teacher": False, "2-distil": True, "3-export": False, "4-verify": False,
    }  # fmt: skip


def test_done_of_other_weights(copy: Recipe) -> None:
    """A whole folder from another recipe has another key: the stage is run again."""
    shutil.rmtree(copy.run.out / "2-distil")
    shutil.copytree(copy.run.out / "1-teacher", copy.run.out / "2-distil")
    assert ran(copy)["2-distil"]


def test_a_directory_of_something_else(copy: Recipe, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"holds 'thesis\.tex' and no run"):
        recipe.run(with_run(copy, out=tmp_path / "else"), QUICK)
    assert [path.name for path in (tmp_path / "else").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file; name a directory"):
        recipe.run(with_run(copy, out=tmp_path / "file"), QUICK)
    (copy.run.out / "run.json").write_text('{"version": 99}')
    with pytest.raises(InputError, match=r"run\.json is no state of a run"):
        recipe.run(copy, QUICK)


def test_two_runs_in_one_directory(copy: Recipe) -> None:
    with (copy.run.out / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another run is at work"):
            recipe.run(copy, QUICK)
    assert not any(ran(copy).values())


def test_missing_files(copy: Recipe, tmp_path: Path) -> None:
    for name in ("train", "validation", "test", "transfer"):
        data = dataclasses.replace(copy.data, **{name: tmp_path / "none.csv"})
        with pytest.raises(InputError, match=r"there is no file .*none\.csv"):
            recipe.run(dataclasses.replace(copy, data=data), QUICK)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ('{"text": "good"}\n{"text": "bad"}\n', "no row has a 'label'"),
        ('{"text": "good house", "label": "like"}\n' * 3, "could be held out"),
        (
            "".join(f'{{"text": "good {word}", "label": "like"}}\n' for word in recipes.FILLER),
            "one label 'like'",
        ),
        ('{"text": "good"\n', "rows.jsonl"),
    ],
    ids=["empty", "no labels", "nothing to hold out", "one class", "damaged"],
)
def test_bad_rows(text: str, message: str, tmp_path: Path) -> None:
    wanted = recipe.read(recipes.write(tmp_path))
    wanted.data.train.write_text(text)
    with pytest.raises((InputError, TrainingError), match=message):
        recipe.run(wanted, QUICK)


def test_lenient_names_bad_rows(copy: Recipe) -> None:
    with copy.data.train.open("a") as file:
        file.write('{"txt": "good"}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl"):
        recipe.run(copy, QUICK)
    told: list[str] = []
    lenient = dataclasses.replace(copy, data=dataclasses.replace(copy.data, strict=False))
    recipe.run(lenient, QUICK, lenient=told.append)
    assert any("rows.jsonl" in line for line in told)
    assert told[-1] == "bad rows that were left out: 1"


def test_a_row_without_a_label_is_a_bad_one_where_the_teacher_is_trained(copy: Recipe) -> None:
    rows = copy.data.train.read_text().splitlines()
    copy.data.train.write_text("\n".join([rows[0], '{"text": "good", "label": ""}', *rows[1:]]))
    with pytest.raises(InputError, match=r"rows\.jsonl:2: 'label' is missing or empty"):
        recipe.run(copy, QUICK)
    told: list[str] = []
    lenient = dataclasses.replace(copy, data=dataclasses.replace(copy.data, strict=False))
    recipe.run(lenient, QUICK, lenient=told.append)
    assert "rows.jsonl:2: 'label' is missing or empty" in told[0]
    assert told[1:] == ["bad rows that were left out: 1"]


def test_a_teacher_of_other_labels(copy: Recipe, tmp_path: Path) -> None:
    teacher = models.write(tmp_path / "other", "bert", "text-classification", shape=recipes.SHAPE)
    untold = {"max_tokens": None, "training": training.TrainingConfig()}
    taken = with_stage(copy, 0, model=str(teacher), train=False, **untold)
    with pytest.raises(InputError, match=r"'(dis)?like' is not one of \['negative'"):
        recipe.run(taken, QUICK)


def test_a_loss_that_is_not_finite(copy: Recipe) -> None:
    distil = copy.stages[1].config.distil
    wild = dataclasses.replace(distil.training, learning_rate=1e30, max_gradient_norm=1e30)
    with pytest.raises(TrainingError, match=r"on the batch of rows \[.*state before it is kept"):
        recipe.run(with_stage(copy, 1, distil=dataclasses.replace(distil, training=wild)), QUICK)
    events = Ledger(path=copy.run.out / "ledger.jsonl").read()
    assert events[-1]["event"] == "failed"
    assert events[-1]["stage"] == "2-distil"
    # the stages that were there are as they were
    assert not any(ran(copy).values())


@pytest.mark.parametrize("point", ["save", "write:1", "fsync:3", "rename", "progress:2"])
def test_a_full_disk_leaves_the_old_stage(
    point: str, copy: Recipe, fault: Callable[[str], None], finished: recipe.Finished
) -> None:
    other = with_stage(copy, 1, layers=2)
    stage = copy.run.out / "2-distil"
    before = store.read_done(stage)
    assert before is not None
    name, _, number = point.partition(":")
    # whichever write, sync, rename or step it is: none may harm what was there
    fault(f"{name}:{number or 1}:ENOSPC")
    with pytest.raises(TrainingError, match="No space left on device"):
        recipe.run(other, QUICK)
    fault("")
    assert store.digest(stage) == before.output
    assert not any(ran(copy).values())
    assert ran(other)["2-distil"]


def test_a_full_disk_while_a_stage_gets_its_name(
    tmp_path: Path, fault: Callable[[str], None]
) -> None:
    target, draft = tmp_path / "stage", tmp_path / "draft"
    for directory, word in ((target, "old"), (draft, "new")):
        directory.mkdir()
        (directory / "weights").write_text(word)
    fault("rename:1:ENOSPC")
    with pytest.raises(TrainingError, match="what was there before is as it was"):
        store.put_in_place(draft, target)
    assert (target / "weights").read_text() == "old"
    fault("")
    store.put_in_place(draft, target)
    assert (target / "weights").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


def test_ledger_passes_over_a_cut_line(tmp_path: Path) -> None:
    ledger = Ledger(path=tmp_path / "ledger.jsonl")
    assert ledger.read() == []
    ledger.add("one", number=1)
    with ledger.path.open("ab") as file:
        file.write(b'{"event": "cu')
    assert [one["event"] for one in ledger.read()] == ["one"]
    ledger.add("two", losses=[0.5])
    assert [one["event"] for one in ledger.read()] == ["one", "two"]
    assert ledger.path.read_bytes().count(b"\n") == 3


def test_frozen_inputs_are_copied_once(tmp_path: Path) -> None:
    table, run = tmp_path / "table.json", tmp_path / "run"
    run.mkdir()
    table.write_text("first")
    kept = store.frozen(run, table, "latency.json")
    table.write_text("second")
    assert store.frozen(run, table, "latency.json").read_text() == "first"
    assert kept == run / "inputs" / "latency.json"
    with pytest.raises(InputError, match="cannot read"):
        store.frozen(run, tmp_path / "none", "other.json")


def test_digest_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = store.digest(tmp_path)
    (tmp_path / "done.json").write_text("{}")
    (tmp_path / ".hidden").write_text("x")
    assert store.digest(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert store.digest(tmp_path) != first


def test_a_damaged_state(tmp_path: Path) -> None:
    for text in ("[]", "{", '{"version": 1, "threads": 0, "probe": null}'):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(InputError, match=r"run\.json"):
            state.open_state(tmp_path, None)


def test_faults_are_planned_in_words() -> None:
    with pytest.raises(InputError, match="POINT:NUMBER:kill"):
        faults.arm("rename")
    with pytest.raises(InputError, match="POINT:NUMBER:kill"):
        faults.arm("rename:1:ENOSUCH")
    assert faults.passed() == {}
