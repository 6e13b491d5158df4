"""A tiny form of the benchmark: only what is missing is run, keys, intervals, the table."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models
from generated_rows import WORDS, sentences, write
from limbeck import measure
from limbeck.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.bench import tables  # noqa: E402
from limbeck.bench.distillation import __main__ as command  # noqa: E402
from limbeck.bench.distillation import digests, estimate, findings, plan, sets, work  # noqa: E402
from limbeck.tasks import metrics  # noqa: E402

pytestmark = pytest.mark.torch

Zoo = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated rows under the names of the data sets."""
    root = tmp_path_factory.mktemp("data")
    for split, count, seed in (("train", 70, 0), ("validation", 40, 1)):
        texts = sentences(count, seed)
        rows = [{"text": text, "label": int("good" in text)} for text in texts]
        write(root / "sst2" / f"{split}.jsonl", rows)
        pairs = zip(texts, sentences(count, seed + 10), strict=True)
        scored = [
            {
                "text": one,
                "text_pair": two,
                "label": float(len(set(one.split()) & set(two.split()))),
            }
            for one, two in pairs
        ]
        write(root / "stsb" / f"{split}.jsonl", scored)
    return root


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data sets with little training, from files that are not packed."""
    budget = sets.Budget(epochs=1, learning_rate=1e-3)
    known = tuple(
        replace(
            one,
            train_files=tuple(name.removesuffix(".gz") for name in one.train_files),
            test_file=one.test_file.removesuffix(".gz"),
            teacher=budget,
            student=budget,
            max_tokens=32,
        )
        for one in sets.SETS
    )
    monkeypatch.setattr(sets, "SETS", known)
    monkeypatch.setattr(findings, "RESAMPLES", 50)


@pytest.fixture
def encoder(zoo: Zoo) -> Path:
    return zoo("bert", "feature-extraction", shape=models.Shape(layers=4))


def arguments(folder: Path, encoder: Path, base: Path, *more: str) -> list[str]:
    return [
        *("--data", str(folder), "--encoder", str(encoder)),
        *("--cache", str(base / "cache"), "--results", str(base / "rows.jsonl"), *more),
    ]


def test_only_what_is_missing_is_run(
    folder: Path,
    encoder: Path,
    tmp_path: Path,
    small: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained: list[str] = []
    real = work.Workshop._trained

    def noted(self: work.Workshop, run: plan.Run, rows: sets.Rows) -> object:
        trained.append(str(run))
        return real(self, run, rows)

    monkeypatch.setattr(work.Workshop, "_trained", noted)
    both = ("--only", "sst2,stsb", "--seeds", "0,1")
    call = arguments(folder, encoder, tmp_path, *both, "--methods", "soft,hard")
    assert command.main([*call, "--list"]) == 0
    assert "10 models to train" in capsys.readouterr().out
    assert not trained
    assert not (tmp_path / "cache").exists()

    assert command.main(call) == 0
    assert len(trained) == len(set(trained)) == 10
    rows = measure.read_rows(tmp_path / "rows.jsonl")
    # of each set: a teacher, two methods and their difference in two precisions; and the means
    assert len(rows) == 2 * 7 + 2
    by_name = {(row.workload["data_set"], row.subject): row for row in rows}
    soft = by_name["sst2", "soft int8"]
    assert soft.repeats == 2
    assert soft.workload["rows"] == 40
    assert by_name["stsb", "teacher fp32"].workload["metric"] == "Spearman"
    gained = by_name["sst2", "soft minus hard fp32"]
    assert gained.value == pytest.approx(
        by_name["sst2", "soft fp32"].value - by_name["sst2", "hard fp32"].value
    )
    assert "mean of SST-2, STS-B |" in tables.distillation(rows)
    mean = by_name["all", "soft minus hard fp32"]
    assert mean.value == pytest.approx(
        (gained.value + by_name["stsb", "soft minus hard fp32"].value) / 2
    )
    assert len({row.workload["key"] for row in rows}) == len(rows)

    # nothing is missing: nothing runs, not even without the cache
    trained.clear()
    (tmp_path / "cache").rename(tmp_path / "away")
    assert command.main(call) == 0
    assert not trained
    assert measure.read_rows(tmp_path / "rows.jsonl") == rows
    (tmp_path / "away").rename(tmp_path / "cache")

    # another seed: its students alone; rows of other seeds are made from the kept answers
    more = arguments(folder, encoder, tmp_path, "--only", "sst2", "--methods", "soft,hard")
    assert command.main([*more, "--seeds", "0,1,2"]) == 0
    assert trained == ["sst2 soft, seed 2", "sst2 hard, seed 2"]
    # lost rows are made again without training
    trained.clear()
    (tmp_path / "rows.jsonl").unlink()
    assert command.main(call) == 0
    assert not trained
    again = {
        (row.workload["data_set"], row.subject): row
        for row in measure.read_rows(tmp_path / "rows.jsonl")
    }
    for name, row in by_name.items():
        assert (again[name].value, again[name].extra) == (row.value, row.extra)


def test_several_jobs_train_the_same_models(
    folder: Path, encoder: Path, tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("--only", "sst2", "--methods", "soft,online", "--seeds", "0,1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for jobs in ("1", "2"):
            base = tmp_path / jobs
            assert command.main([*arguments(folder, encoder, base, *chosen), "--jobs", jobs]) == 0
    finally:
        torch.set_num_threads(before)
    said = capsys.readouterr().out
    assert said.count("sst2 teacher, seed 0: about") == 2
    assert said.index("sst2 teacher, seed 0: 0.") < said.index("sst2 online, seed 1: about")
    one, two = (measure.read_rows(tmp_path / jobs / "rows.jsonl") for jobs in ("1", "2"))
    # the same models are asked for; in which precision each was trained, a probe decides by time
    assert len(one) == 5
    for row, other in zip(one, two, strict=True):
        assert (row.subject, row.workload["key"]) == (other.subject, other.workload["key"])
    trained = [
        sorted(path.parent.name for path in (tmp_path / jobs / "cache").glob("*/run.json"))
        for jobs in "12"
    ]
    assert trained[0] == trained[1]
    assert len(trained[0]) == 5


def test_several_jobs_are_done_as_the_command_is_typed(
    folder: Path, encoder: Path, tmp_path: Path
) -> None:
    """What `python -m` runs is called `__main__`, which other processes cannot import."""
    for name in ("sst2/train", "sst2/validation"):
        packed = tmp_path / f"{name}.jsonl.gz"
        packed.parent.mkdir(exist_ok=True)
        packed.write_bytes(gzip.compress((folder / f"{name}.jsonl").read_bytes()))
    typed = [sys.executable, "-m", "limbeck.bench.distillation", "--jobs", "2"]
    chosen = ("--only", "sst2", "--methods", "soft,hard", "--seeds", "0")
    call = [*typed, *arguments(tmp_path, encoder, tmp_path, *chosen)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "7 rows appended" in done.stdout


def test_a_quick_run_is_small_and_in_no_table(
    folder: Path, encoder: Path, tmp_path: Path, small: None
) -> None:
    assert command.main(arguments(folder, encoder, tmp_path, "--quick")) == 0
    rows = measure.read_rows(tmp_path / "rows.jsonl")
    assert {row.workload["data_set"] for row in rows} == {"sst2", "stsb", "all"}
    assert {row.workload["quick"] for row in rows} == {1}
    with pytest.raises(InputError, match="only quick runs"):
        tables.distillation(rows)


def test_every_method_runs_and_the_table_shows_them(
    folder: Path, encoder: Path, tmp_path: Path, small: None
) -> None:
    every = ",".join(method.name for method in plan.METHODS)
    call = arguments(folder, encoder, tmp_path, "--only", "stsb", "--methods", every)
    assert command.main([*call, "--seeds", "3"]) == 0
    rows = measure.read_rows(tmp_path / "rows.jsonl")
    shown = tables.distillation(rows)
    for method in plan.METHODS:
        if method.transfer:  # all rows have been trained on, and none is left
            assert method.name not in shown
            continue
        assert f"| {method.name}, 1 seed |" in shown
        assert method.name == plan.HARD or f"{method.name} minus hard, int8" in shown
    assert "STS-B, Spearman, 40 rows" in shown
    # rows of another teacher are another experiment and go
    other = [
        replace(row, workload={**row.workload, "teacher": "other"}, extra=dict(row.extra))
        for row in rows
        if row.subject in ("teacher fp32", "soft fp32")
    ]
    shown = tables.distillation([*rows, *other])
    assert "| soft, 1 seed |" in shown
    assert "| online," not in shown


def test_texts_without_labels_take_no_more_steps(
    folder: Path, encoder: Path, tmp_path: Path, small: None
) -> None:
    call = arguments(folder, encoder, tmp_path, "--only", "sst2", "--methods", "soft,transfer,hard")
    assert command.main([*call, "--seeds", "0", "--scale", "0.5"]) == 0
    rows = {row.subject: row for row in measure.read_rows(tmp_path / "rows.jsonl")}
    plain, more = rows["soft fp32"].workload, rows["transfer fp32"].workload
    assert more["transfer_rows"] in (more["train_rows"], int(more["train_rows"]) - 1)
    assert (plain["epochs"], more["epochs"]) == (1, 0.5)
    assert "transfer minus hard int8" in rows
    reports = [json.loads(file.read_text()) for file in (tmp_path / "cache").glob("*/run.json")]
    steps = {report["role"]: report["steps"] for report in reports}
    assert steps["transfer"] <= steps["soft"]


def test_squad_is_shown_with_where_it_was_trained(
    folder: Path, encoder: Path, tmp_path: Path, small: None
) -> None:
    call = arguments(folder, encoder, tmp_path, "--only", "sst2", "--methods", "hard")
    assert command.main([*call, "--seeds", "0"]) == 0
    rows = measure.read_rows(tmp_path / "rows.jsonl")
    assert "SQuADShifts" not in tables.distillation(rows)
    renamed = [replace(row, workload={**row.workload, "data_set": "squad"}) for row in rows]
    assert "trained on SQuADShifts" in tables.distillation(renamed)
    quick = [replace(row, workload={**row.workload, "quick": 1}) for row in rows]
    with pytest.raises(InputError, match="only quick runs"):
        tables.distillation(quick)


def test_questions_are_trained_and_measured(
    zoo: Zoo, tmp_path: Path, small: None, encoder: Path
) -> None:
    """SQuAD's files, made up: the answer stands behind the word that the question names."""
    draw = np.random.default_rng(0)
    for file, first in (("new_wiki", 0), ("reddit", 20), ("amazon_reviews", 40), ("dev", 60)):
        paragraphs = []
        for number in range(first, first + 20):
            context = " ".join(draw.choice(WORDS, 12))
            answer = context.split()[5]
            asked = {"id": str(number), "question": "which house", "answers": [
                {"text": answer, "answer_start": context.index(answer)}]}  # fmt: skip
            paragraphs.append({"context": context, "qas": [asked]})
        name = "dev-v1.1.json" if file == "dev" else f"squadshifts-{file}_v1.0.json"
        (tmp_path / "squad").mkdir(exist_ok=True)
        (tmp_path / "squad" / name).write_text(
            json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]})
        )
    call = arguments(tmp_path, encoder, tmp_path, "--only", "squad", "--seeds", "0")
    assert command.main([*call, "--list"]) == 0
    assert command.main(call) == 0
    rows = measure.read_rows(tmp_path / "rows.jsonl")
    assert len(rows) == 1 + 4 * 2 + 3 * 2
    assert {row.workload["metric"] for row in rows} == {"F1"}
    assert rows[0].workload["rows"] == 20
    assert rows[0].workload["train_rows"] == 54
    assert "trained on SQuADShifts" in tables.distillation(rows)


def test_a_killed_run_goes_on(
    folder: Path,
    encoder: Path,
    tmp_path: Path,
    small: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = arguments(folder, encoder, tmp_path, "--only", "sst2", "--methods", "hard")
    call += ["--seeds", "0,1"]
    trained: list[str] = []
    real = work.Workshop._trained

    def until_the_second_student(self: work.Workshop, run: plan.Run, rows: sets.Rows) -> object:
        if run.role == "hard" and run.seed == 1:
            raise KeyboardInterrupt
        trained.append(str(run))
        return real(self, run, rows)

    monkeypatch.setattr(work.Workshop, "_trained", until_the_second_student)
    with pytest.raises(KeyboardInterrupt):
        command.main(call)
    assert trained == ["sst2 teacher, seed 0", "sst2 hard, seed 0"]
    assert [row.subject for row in measure.read_rows(tmp_path / "rows.jsonl")] == ["teacher fp32"]

    # killed while a model is being saved: no directory has its name
    def dying(file: Path, data: bytes) -> None:
        raise KeyboardInterrupt

    trained.clear()
    monkeypatch.setattr(work.Workshop, "_trained", real)
    with monkeypatch.context() as patched:
        patched.setattr(work, "_write", dying)
        with pytest.raises(KeyboardInterrupt):
            command.main(call)
    named = sorted(file.name for file in (tmp_path / "cache").iterdir())
    assert len([name for name in named if len(name) == digests.LENGTH]) == 2
    assert not [name for name in named if name.startswith(".")]
    assert command.main(call) == 0
    rows = measure.read_rows(tmp_path / "rows.jsonl")
    assert [row.subject for row in rows] == ["teacher fp32", "hard fp32", "hard int8"]
    assert not list((tmp_path / "cache" / "unfinished").glob("*"))


def test_damaged_files_are_named(
    folder: Path, encoder: Path, tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call = arguments(folder, encoder, tmp_path, "--only", "sst2", "--methods", "hard")
    call += ["--seeds", "0"]
    assert command.main(call) == 0
    (tmp_path / "rows.jsonl").unlink()
    kept = next((tmp_path / "cache").glob("*/scored-int8-*.npz"))
    kept.write_bytes(kept.read_bytes()[:100])
    assert command.main(call) == 1
    assert f"{kept.name} cannot be read" in capsys.readouterr().err
    kept.unlink()
    assert command.main(call) == 0


def a_plan(data_set: sets.DataSet | None = None, **changes: str) -> list[plan.Finding]:
    facts = {"rows": "r", "transfer": "u", "encoder": "e", "test": "t"} | changes
    one = data_set or sets.SETS[0]
    return plan.findings(one, plan.methods("soft,hard"), [0, 1], **facts)


def keys(found: list[plan.Finding]) -> list[str]:
    return [run.key for run in plan.in_order(run for one in found for run in one.needed)]


def test_a_key_changes_with_all_that_it_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    first = a_plan()
    assert keys(a_plan()) == keys(first)
    assert len(set(keys(first))) == 5
    assert len({one.key for one in first}) == len(first)
    one = sets.SETS[0]
    assert not set(keys(a_plan(rows="other"))) & set(keys(first))
    assert not set(keys(a_plan(encoder="other"))) & set(keys(first))
    # a student's budget leaves the teacher alone, a teacher's reaches its students
    students = a_plan(replace(one, student=replace(one.student, epochs=9)))
    assert keys(students)[0] == keys(first)[0]
    assert not set(keys(students)[1:]) & set(keys(first))
    assert not set(keys(a_plan(replace(one, teacher=replace(one.teacher, epochs=9))))) & set(
        keys(first)
    )
    assert not set(keys(a_plan(replace(one, max_tokens=64)))) & set(keys(first))
    # other rows to measure on: the same models, other findings
    assert keys(a_plan(test="other")) == keys(first)
    assert not {one.key for one in a_plan(test="other")} & {one.key for one in first}
    # a method's weight reaches its own runs alone
    warm = tuple(
        replace(method, temperature=4.0) if method.name == "soft" else method
        for method in plan.METHODS
    )
    monkeypatch.setattr(plan, "METHODS", warm)
    changed = [
        run.role
        for run in plan.in_order(run for one in a_plan() for run in one.needed)
        if run.key not in keys(first)
    ]
    assert changed == ["soft", "soft"]
    monkeypatch.setattr(digests, "training_code", lambda: "other")
    assert not set(keys(a_plan())) & set(keys(first))


def test_the_digest_of_code_is_of_what_it_does(tmp_path: Path) -> None:
    file = tmp_path / "code.py"

    def digest(text: str) -> str:
        file.write_text(text)
        return digests.of_source([file])

    plain = digest('"""What it is."""\ndef f(x):\n    """Add."""\n    return x + 1\n')
    assert digest("def f(x):  # adds\n    return (x\n        + 1)\n") == plain
    assert digest("def f(x):\n    return x + 2\n") != plain
    assert digests.training_code() != digests.scoring_code()


def test_intervals_by_hand() -> None:
    """The same draws for teacher and students; the mean over seeds is taken inside a draw."""
    draw = np.random.default_rng(5)
    right = draw.integers(0, 2, 60)
    teacher, first, second = (
        np.where(draw.random(60) < p, right, 1 - right) for p in (0.9, 0.8, 0.7)
    )

    def metric(said: np.ndarray) -> Callable[[np.ndarray], float]:
        return lambda at: metrics.accuracy(said[at], right[at])

    found = findings.kept([metric(first), metric(second)], metric(teacher), 60, resamples=200)
    generator = np.random.default_rng(0)
    shares, points = [], []
    for _ in range(200):
        at = generator.integers(0, 60, 60)
        hits = [float((said[at] == right[at]).sum()) / 60 for said in (teacher, first, second)]
        shares.append(100 * (hits[1] + hits[2]) / 2 / hits[0])
        points.append(100 * ((hits[1] + hits[2]) / 2 - hits[0]))
    whole = [(said == right).mean() for said in (teacher, first, second)]
    assert found.value == pytest.approx(100 * (whole[1] + whole[2]) / 2 / whole[0])
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(shares, [0.025, 0.975])))
    gained = findings.gained([metric(first), metric(second)], [metric(teacher)], 60, resamples=200)
    assert (gained.low, gained.high) == pytest.approx(tuple(np.quantile(points, [0.025, 0.975])))

    # over data sets: each set's rows are drawn by themselves, one after the other
    sizes = [(metric(first), 60), (metric(second), 30)]
    mean = findings.together(sizes, resamples=100)
    generator = np.random.default_rng(0)
    means = []
    for _ in range(100):
        one, two = generator.integers(0, 60, 60), generator.integers(0, 30, 30)
        means.append(((first[one] == right[one]).mean() + (second[two] == right[two]).mean()) / 2)
    assert (mean.low, mean.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert mean.value == pytest.approx(
        ((first == right).mean() + (second[:30] == right[:30]).mean()) / 2
    )


def test_held_out_rows_are_neither_trained_nor_measured_on(
    folder: Path, encoder: Path, tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    one = sets.named("sst2", sets.SETS)[0]
    rows = sets.read(folder, one)
    assert not set(rows.held_out.texts) & set(rows.train.texts)
    assert len(rows.train) + len(rows.held_out) == 70
    half = sets.read(folder, one, 0.5)
    assert set(half.train.texts) <= set(rows.train.texts)
    assert rows.transfer is None
    assert half.transfer is not None
    assert not half.transfer.labelled.any()
    assert not set(half.transfer.texts) & {*half.train.texts, *half.held_out.texts}
    assert half.held_out == rows.held_out
    few = sets.read(folder, replace(one, test_rows=7, train_rows=20))
    assert (len(few.train), len(few.test)) == (20, 7)
    assert set(few.test.texts) <= set(rows.test.texts)

    call = arguments(folder, encoder, tmp_path, "--only", "sst2", "--methods", "hard")
    assert command.main([*call, "--seeds", "0", "--held-out", "--epochs", "2"]) == 0
    said = capsys.readouterr().out
    assert "sst2 hard, seed 0, 2 epochs: accuracy" in said
    assert f"{len(rows.held_out)} held-out rows" in said
    assert not (tmp_path / "rows.jsonl").exists()


def test_estimates_learn_from_runs(tmp_path: Path) -> None:
    teacher, soft = (
        next(one for one in a_plan() if one.role == role).runs[0] for role in ("teacher", "soft")
    )
    speeds = estimate.Speeds(tmp_path)
    speeds.look()
    assert speeds.of(teacher) == 4400
    assert speeds.of(soft) == 9000
    for name, data_set, speed in (("a", "imdb", 1000), ("b", "imdb", 3000), ("c", "sst2", 500)):
        (tmp_path / name).mkdir()
        facts = {"data set": data_set, "role": "soft", "tokens_seen": speed * 10, "seconds": 10}
        (tmp_path / name / "run.json").write_text(json.dumps(facts))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    speeds.look()
    assert speeds.of(soft) == 500  # of the same data set
    elsewhere = replace(soft, data_set=replace(soft.data_set, name="stsb"))
    assert speeds.of(elsewhere) == 1000  # of the same method
    assert speeds.of(teacher) == 4400


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "mnli"], "no data set 'mnli'; there are: sst2, stsb, squad, imdb"),
        (["--methods", "magic"], "no method 'magic'; there are: soft, hard"),
        (["--seeds", "one"], "--seeds is a list of numbers"),
        (["--seeds", "1,1"], "--seeds must be different"),
        (["--scale", "0"], "--scale must be above 0"),
        (["--epochs", "-1"], "--epochs must be positive"),
        (["--jobs", "0"], "--jobs must be positive, found 0"),
        (["--data", "nowhere"], "no directory nowhere: the data sets are no part of limbeck"),
        (["--encoder", "nowhere"], "nowhere is no model directory"),
        (["--only", "imdb"], "imdb/train.jsonl is not there"),
    ],
)
def test_requests_that_make_no_sense(
    options: list[str],
    message: str,
    folder: Path,
    encoder: Path,
    tmp_path: Path,
    small: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main([*arguments(folder, encoder, tmp_path), *options]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
