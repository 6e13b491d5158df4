"""The benchmark from start to end on a fake server: rows, resuming, who is absent, the table."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from limbeck import measure
from limbeck.bench import models
from limbeck.bench.serving import __main__ as program
from limbeck.bench.serving import answers, bounds, choosing, kinds, record, starting, table
from limbeck.bench.serving.capacity import Effort
from limbeck.bench.serving.contestants import Config, Contestant
from limbeck.bench.serving.files import Files
from limbeck.bench.serving.texts import Texts
from limbeck.errors import InputError
from limbeck.loadtest import UNIQUE

FAKE = Path(__file__).with_name("fake_server.py")
EFFORT = Effort(
    search_s=0.3,
    search_requests=10,
    search_tolerance=0.5,
    probe_s=0.5,
    requests=15,
    tolerance=0.5,
    warmup_s=0.1,
    curve_s=0.3,
    starts=1,
    seeds=(0, 1),
)
DEADLINE_MS = 800.0
SLOW, FAST = Config(workers=1, threads=1), Config(workers=2, threads=1)


def fake(name: str = "litserve", **fields: object) -> Contestant:
    """A contestant under the name of one that the table knows, in this environment."""
    values = {"module": "lit", "grid": (FAST,), "packages": ("numpy",), **fields}
    return Contestant(name=name, **values)  # type: ignore[arg-type]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def bench(tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> record.Bench:
    # A busy machine makes any generator late; whether a run is void is loadtest's own test.
    monkeypatch.setattr("limbeck.loadtest.result.LATENESS_LIMIT_MS", math.inf)
    spec = importlib.util.spec_from_file_location("fake_server", FAKE)
    assert spec is not None
    assert spec.loader is not None
    server = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(server)
    texts = Texts(name="made up", texts=[f"{UNIQUE} words {n * 'x'}" for n in range(1, 40)])
    wanted = [_odds(server, text) for text in texts.numbered(answers.COUNT)]
    return record.Bench(
        files=Files(shape=models.Shape(), tokenizer=tmp_path / "none", paths={}),
        texts=texts,
        wanted={"hf": wanted, "hf-4x4": wanted},
        effort=EFFORT,
        deadlines=(DEADLINE_MS,),
        run="r",
        cache=tmp_path / "cache",
        say=told.append,
    )


def _odds(server: ModuleType, text: str) -> float:
    second = server.probability(text)
    return math.log(second / (1 - second))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Fake servers in place of all others: 20 ms a text with one worker, none with two."""
    found: list[Config] = []

    def command(each: Contestant, config: Config, files: Files, port: int) -> list[str]:
        found.append(config)
        wrong = ["--wrong"] if each.name == "mlserver" else []
        ms = "40" if config == SLOW else "10"
        return [sys.executable, str(FAKE), "--port", str(port), "--ms", ms, *wrong]

    monkeypatch.setattr(starting, "command", command)
    return found


def plan(tmp_path: Path, *contestants: Contestant, **fields: object) -> program.Plan:
    values = {"search": False, "quick": False, "deadlines": (DEADLINE_MS,), **fields}
    return program.Plan(
        contestants=contestants,
        results=tmp_path / "rows.jsonl",
        **values,  # type: ignore[arg-type]
    )


def rows_of(rows: Sequence[measure.Row], kind: str) -> list[measure.Row]:
    return [row for row in rows if row.benchmark == kind]


def test_rates_are_rows_and_a_run_goes_on_where_it_was(
    bench: record.Bench, started: list[Config], tmp_path: Path
) -> None:
    asked = plan(tmp_path, fake(), deadlines=(DEADLINE_MS, 600.0))
    bench = dataclasses.replace(bench, deadlines=asked.deadlines)
    assert program.run(asked, bench) == []
    rows = measure.read_rows(asked.results)
    rates = rows_of(rows, kinds.RATE)
    assert [row.workload["deadline_ms"] for row in rates] == [DEADLINE_MS, 600.0]
    for row in rates:
        assert row.repeats == len(EFFORT.seeds)
        # 10 ms each, one at a time: 100/s for as long as one likes, some more within a deadline.
        assert 4 <= row.value < 700
        assert float(row.extra["lowest"]) <= row.value <= float(row.extra["highest"])
        assert float(row.extra["error"]) < 1e-3
        assert float(row.extra["memory_mb"]) > 1
        assert row.extra["config"] == str(FAST)
        assert row.versions["numpy"]
    # The curve belongs to the longest deadline.
    curve = rows_of(rows, kinds.CURVE)
    assert {row.workload["deadline_ms"] for row in curve} == {DEADLINE_MS}
    assert [row.workload["factor"] for row in curve] == [0.5, 1.0, 1.5, 2.0, 3.0]
    # Nothing is left to do; without one row, that one.
    begun = len(started)
    assert program.run(asked, bench) == []
    assert len(started) == begun
    assert len(measure.read_rows(asked.results)) == len(rows)
    asked.results.unlink()
    measure.append_rows(asked.results, [row for row in rows if row is not rates[1]])
    assert program.run(asked, bench) == []
    assert len(started) == begun + 1
    assert len(measure.read_rows(asked.results)) == len(rows)
    # Another run begins anew.
    short = plan(tmp_path, fake(), deadlines=(600.0,))
    assert program.run(short, dataclasses.replace(bench, run="other")) == []
    assert len(started) == begun + 2


def test_a_search_takes_the_better_one_and_is_kept(
    bench: record.Bench, started: list[Config], tmp_path: Path, told: list[str]
) -> None:
    each = fake(grid=(SLOW, FAST))
    found = choosing.search(bench, each)[DEADLINE_MS]
    assert found.config == FAST
    assert found.rate > 0
    assert started == [SLOW, FAST]
    assert choosing.known_choice(bench, each, DEADLINE_MS) == found
    # Of other texts, another deadline, other versions or a grid that has changed, nothing is known.
    others = dataclasses.replace(bench, texts=dataclasses.replace(bench.texts, name="others"))
    assert choosing.known_choice(others, each, DEADLINE_MS) is None
    assert choosing.known_choice(bench, each, 50.0) is None
    newer = dataclasses.replace(each, packages=("numpy", "pytest"))
    assert choosing.known_choice(bench, newer, DEADLINE_MS) is None
    assert choosing.known_choice(bench, fake(grid=(SLOW,)), DEADLINE_MS) is None
    # A quick run searches nothing; where nothing is kept it takes the first.
    choices = program._choices(plan(tmp_path, each, quick=True), bench, each)
    assert choices[DEADLINE_MS].config == FAST
    choices = program._choices(plan(tmp_path, each, quick=True), others, each)
    assert choices[DEADLINE_MS].config == SLOW
    assert len(started) == 2
    assert any("no search is kept" in line for line in told)


def test_who_cannot_be_measured_is_said(
    bench: record.Bench, started: list[Config], tmp_path: Path
) -> None:
    missing = fake("bentoml", environment="no-such-environment")
    asked = plan(tmp_path, missing, fake("mlserver"), fake())
    problems = program.run(asked, bench)
    assert len(problems) == 2
    assert "no-such-environment" in problems[0]
    assert "computes something else" in problems[1]
    rows = measure.read_rows(asked.results)
    absent = {row.subject: str(row.extra["why"]) for row in rows_of(rows, kinds.ABSENT)}
    assert "make peers" in absent["bentoml"]
    assert "not timed" in absent["mlserver"]
    assert [row.subject for row in rows_of(rows, kinds.RATE)] == ["litserve"]
    text = table.serving(rows)
    assert "bentoml at 800 ms: there is no environment" in text
    assert "ray-serve at 800 ms: not asked for in this run" in text
    # It is tried again when the run goes on.
    begun = len(started)
    assert len(program.run(asked, bench)) == 2
    assert len(started) == begun + 1


def rate(subject: str, value: float, deadline_ms: float = 250.0, **extra: object) -> measure.Row:
    facts = {"config": "c", "generator_limited": 0, "lowest": value, "highest": value}
    facts |= {"memory_mb": 99.6, "ready_s": 1.24, "error": 0.05, **extra}
    return measure.Row(
        run="r",
        benchmark=kinds.RATE,
        subject=subject,
        workload={"model": "m", "texts": "t", "deadline_ms": deadline_ms},
        unit="requests/s",
        value=value,
        low=value,
        high=value,
        repeats=3,
        extra=facts,  # type: ignore[arg-type]
    )


def test_the_table_has_ratios_to_the_best_peer() -> None:
    rows = [
        rate("limbeck", 150),
        rate("limbeck 4x4", 330, generator_limited=1),
        rate("litserve", 80),
        rate("fastapi-onnxruntime", 100),
        rate("limbeck", 60, 50.0),
        rate("litserve", 0, 50.0),
    ]
    lines = {
        line.split("|")[1].strip(): line for line in table.serving(rows).splitlines() if "|" in line
    }
    assert "150 (150–150) | **1.50** | c | 60 (60–60) | – | c |" in lines["limbeck"]
    assert "at least 330 (330–330) | **3.30**" in lines["limbeck 4x4"]
    assert "**0.80**" in lines["litserve"]
    assert "**1.00**" in lines["fastapi-onnxruntime"]
    # A later run of the same server takes the place of the one before.
    newer = [*rows, dataclasses.replace(rate("limbeck", 10), run="s")]
    text = table.serving(newer)
    assert "10 (10–10)" in text
    assert "150" not in text
    # Servers that it did not ask are still those of the run before, and that is said.
    assert "**0.10**" in text
    assert "more than one run" in text
    assert "more than one run" not in table.serving(rows)
    with pytest.raises(InputError, match="make bench-serve"):
        table.serving([])


@pytest.mark.parametrize(
    ("bound", "value", "p99", "kept"),
    [
        (bounds.REFUSALS, 1.0, 5.0, True),
        (bounds.REFUSALS, 1.01, 1.02, False),
        (bounds.REFUSALS, 0.1, 5.01, False),
        (bounds.GOODPUT, 90.0, None, True),
        (bounds.GOODPUT, 89.9, None, False),
        (bounds.HITS, 3001.0, None, True),
        (bounds.HITS, 3000.0, None, False),
        (bounds.OF_THE_ENGINE, 80.0, None, True),
        (bounds.OF_THE_ENGINE, 79.9, None, False),
        (bounds.START, 1.49, None, True),
        (bounds.START, 1.5, None, False),
    ],
)
def test_the_table_says_which_bound_is_missed(
    bound: bounds.Bound, value: float, p99: float | None, kept: bool
) -> None:
    rated = rate("limbeck", value)
    asked = {"model": "m", "texts": "t", "what": bound.what}
    own = dataclasses.replace(rated, benchmark=kinds.OWN, workload=asked, p99=p99, extra={})
    (line,) = [one for one in table.serving([rated, own]).splitlines() if bound.what in one]
    assert line.endswith(f"{bound.text} |" if kept else f"{bound.text}: missed |")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nobody"], "no server 'nobody'"),
        (["--only", ","], "--only takes some of"),
        (["--deadlines", "soon"], "takes milliseconds"),
        (["--deadlines", "0"], "takes milliseconds"),
        (["--deadlines", "inf"], "takes milliseconds"),
        (["--seeds", "0"], "--seeds starts at 1"),
        (["--run", "last"], "holds no run 'last'"),
        (["--tokenizer", "none.json"], "cannot read none.json"),
    ],
)
def test_bad_options(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    places = ["--cache", str(tmp_path), "--results", str(tmp_path / "rows.jsonl")]
    assert program.main([*arguments, *places]) == 1
    assert said in capsys.readouterr().err


def test_the_list_names_everybody(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    assert program.main(["--list"]) == 0
    said = capsys.readouterr().out
    for name in ("limbeck", "limbeck 4x4", "fastapi-transformers", "bentoml", "mlserver"):
        assert f"{name}: " in said
