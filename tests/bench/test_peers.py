"""Peers behind pipes: same model, same answers; who is missing is said; runs go on where they were.

Tests that need an environment of `make peers` skip where it is not there.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from limbeck import measure
from limbeck.bench import compare, engine, entries, mixed, models, padding, peers, protocol, worker
from limbeck.bench.contestants import CONTESTANTS, contestant
from limbeck.bench.workloads import Point
from limbeck.errors import EngineError, InputError

ROOT = Path(__file__).resolve().parents[2]
SHAPE = models.Shape(layers=2, hidden=32, heads=2, ffn=64, vocab=600, positions=64, labels=3)
BLOCKS = models.Blocks(rows=4, cols=4)


# The way of a request.


def ask(*requests: object) -> list[dict[str, object]]:
    answers = io.StringIO()
    protocol.serve(io.StringIO("".join(f"{json.dumps(r)}\n" for r in requests)), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


class Counting:
    """A contestant whose calls are counted and whose answer is the number of tokens."""

    def __init__(self) -> None:
        self.prepared: list[tuple[int, int | None, bool]] = []
        self.calls = 0

    def prepare(
        self,
        ids: protocol.Rows,
        output: protocol.Output,
        *,
        pad_to: int | None = None,
        static: bool = True,
    ) -> object:
        self.prepared.append((len(ids), pad_to, static))

        def call() -> None:
            self.calls += 1

        return call

    def answer(self, ids: protocol.Rows, output: protocol.Output) -> protocol.F32:
        return np.full((len(ids), 1), sum(map(len, ids)), dtype=np.float32)

    def facts(self) -> dict[str, str]:
        return {"isa": "none"}


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    model = Counting()
    monkeypatch.setattr(type(contestant("limbeck int8")), "load", lambda *_: model)
    return model


LOAD = {"do": "load", "with": {"name": "limbeck int8", "paths": {}, "threads": 1}}


def test_a_call_of_prepared_work_runs_every_batch(counting: Counting, tmp_path: Path) -> None:
    batches = [
        {"ids": [[1, 2], [3]], "pad_to": 8, "static": True},
        {"ids": [[4]], "pad_to": None, "static": False},
    ]
    work = {"key": "k", "batches": batches, "output": "hidden"}
    path = str(tmp_path / "a.npy")
    replies = ask(
        LOAD,
        {"do": "prepare", "with": work},
        {"do": "time", "with": {"key": "k", "calls": 3}},
        {"do": "answer", "with": {"ids": [[1, 2], [3]], "output": "hidden", "path": path}},
        {"do": "forget", "with": {}},
        {"do": "time", "with": {"key": "k", "calls": 1}},
    )
    assert replies[0] == {"result": {"isa": "none"}}
    assert counting.prepared == [(2, 8, True), (1, None, False)]
    assert counting.calls == 6
    seconds = replies[2]["result"]
    assert isinstance(seconds, list)
    assert len(seconds) == 3
    assert np.load(path).tolist() == [[3.0], [3.0]]
    assert "KeyError" in str(replies[5]["error"])


def test_requests_that_make_no_sense_are_answered_and_end_nothing(counting: Counting) -> None:
    replies = ask(
        {"do": "dance", "with": {}},
        {"do": "load", "with": {"name": "nobody", "paths": {}, "threads": 1}},
        {"nonsense": 1},
        LOAD,
    )
    assert "dance" in str(replies[0]["error"])
    assert "no contestant 'nobody'" in str(replies[1]["error"])
    assert "KeyError" in str(replies[2]["error"])
    assert "result" in replies[3]


def test_the_protocol_needs_numpy_alone() -> None:
    code = (
        "import sys\n"
        "import limbeck.bench.protocol, limbeck.bench.contestants, limbeck.bench.calibration\n"
        "import limbeck.bench.padding, limbeck.bench.runners.keeping\n"
        "heavy = {'torch', 'transformers', 'tokenizers', 'safetensors', 'onnx', 'onnxruntime',\n"
        "    'limbeck.engine', 'limbeck.runtimes', 'limbeck.artifact'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "for name in ('ctranslate2', 'deepsparse', 'openvino'):\n"
        "    __import__(f'limbeck.bench.runners.run_{name}')\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_padding_and_back() -> None:
    rows = [[1, 2, 3], [4]]
    ids, mask = padding.pad(rows, value=9, length=5)
    assert ids.tolist() == [[1, 2, 3, 9, 9], [4, 9, 9, 9, 9]]
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]
    assert padding.pad(rows)[0].shape == padding.pad(rows, length=2)[0].shape == (2, 3)
    assert padding.unpad(ids[..., None].astype(np.float32), rows).ravel().tolist() == [1, 2, 3, 4]
    assert padding.unpad(np.ones((2, 3), np.float32), rows).shape == (2, 3)


# Models.


@pytest.mark.parametrize("blocks", [BLOCKS, models.Blocks(rows=1, cols=4, sparsity=0.5)])
def test_pruned_models_keep_their_share_of_blocks_and_uneven_rows(blocks: models.Blocks) -> None:
    dense = np.random.default_rng(0).standard_normal((256, 128)).astype(np.float32)
    pruned = models.prune(dense, blocks, seed=3)
    assert pruned.dtype == np.float32
    grid = pruned.reshape(256 // blocks.rows, blocks.rows, 128 // blocks.cols, blocks.cols)
    kept = (grid != 0).any(axis=(1, 3))
    assert kept.mean() == pytest.approx(1 - blocks.sparsity, abs=1e-3)
    assert (grid != 0).all(axis=(1, 3)).sum() == kept.sum()
    by_row = kept.mean(axis=1)
    assert by_row.max() > by_row.min() + 0.1
    scale = pruned[pruned != 0] / dense[pruned != 0]
    assert scale == pytest.approx((kept.size / kept.sum()) ** 0.5, rel=1e-4)


def test_patterns_that_do_not_fit_are_refused() -> None:
    weight = np.ones((6, 8), np.float32)
    with pytest.raises(InputError, match="does not divide"):
        models.prune(weight, BLOCKS, seed=0)
    for fields in ({"sparsity": 1.0}, {"sparsity": 0.0}, {"rows": 0}):
        with pytest.raises(InputError, match="not a block pattern"):
            replace(BLOCKS, **fields)  # type: ignore[arg-type]


def test_sparse_models_differ_from_the_dense_one_in_the_encoders_matrices_alone(
    tmp_path: Path,
) -> None:
    from safetensors.numpy import load_file

    dense = load_file(models.write_model(tmp_path / "dense", SHAPE) / "model.safetensors")
    shape = replace(SHAPE, blocks=BLOCKS)
    sparse = load_file(models.write_model(tmp_path / "sparse", shape) / "model.safetensors")
    changed = {name for name in dense if not np.array_equal(dense[name], sparse[name])}
    assert changed == {
        name
        for name, values in dense.items()
        if ".transformer." in name and name.endswith("weight") and values.ndim == 2
    }


# Who takes part.


def test_entries_are_ours_on_every_pattern_and_the_peers_on_one() -> None:
    found = entries.entries(patterns=["1x4", "dense"], peers=list(entries.PEERS), floats=False)
    subjects = [entry.subject for entry in found]
    assert [s for s in subjects if s.startswith("limbeck")] == ["limbeck int8", "limbeck int8 1x4"]
    assert "deepsparse int8 4x4" in subjects
    assert {"openvino int8 f32-hint", "openvino int8 bf16-hint"} <= set(subjects)
    assert not any("fp32" in subject or "bf16" in subject.split()[1] for subject in subjects)
    with_floats = entries.entries(patterns=["dense"], peers=["torch"], floats=True)
    both = {"limbeck fp32", "limbeck bf16", "torch fp32", "torch bf16"}
    assert both <= {entry.subject for entry in with_floats}


def test_unknown_names_are_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for arguments, said in (
        (["--peers", "nobody"], "no peer 'nobody'; there are: onnxruntime, torch, openvino"),
        (["--models", "2x2"], "no model '2x2'; there are: dense, 4x4, 1x4"),
        (["--shapes", "12x768"], "no shape '12x768'"),
        (["--points", "lots"], "BATCHxTOKENS"),
        (["--threads", "many"], "--threads takes numbers"),
        (["--threads", "0"], "start at 1"),
        (["--rounds", "0"], "start at 1"),
        (["--run", "last"], "holds no run 'last'"),
        (["--texts", str(tmp_path / "nowhere.txt"), "--tokenizer", "t.json"], "nowhere.txt"),
    ):
        everybody = [] if "--peers" in arguments else ["--peers", "onnxruntime"]
        results = ["--results", str(tmp_path / "rows.jsonl")]
        assert peers.main([*arguments, *everybody, *results]) == 1, arguments
        assert said in capsys.readouterr().err


def test_a_missing_environment_says_make_peers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "PEERS", tmp_path)
    with pytest.raises(EngineError, match=r"openvino.*make peers"):
        worker.Worker("openvino int8 f32-hint", {}, threads=1)
    assert peers.main(["--peers", "deepsparse"]) == 1
    assert "make peers" in capsys.readouterr().err
    plan = peers.make_plan(peers._parser().parse_args(["--quick"]))
    said = capsys.readouterr().out
    assert said.count("left out") == 3
    assert {e.contestant.runtime for e in plan.entries} == {"limbeck", "onnxruntime", "torch"}


def test_a_half_made_environment_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PEERS", tmp_path)
    python = tmp_path / "openvino" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    with pytest.raises(EngineError, match="make peers"):
        worker.interpreter("openvino")
    (tmp_path / "openvino" / "installed.txt").write_text("", encoding="utf-8")
    assert worker.interpreter("openvino") == python


# Speeds.


def timing(*milliseconds: float) -> measure.Timing:
    return measure.Timing(rounds=tuple((value / 1e3,) for value in milliseconds))


def test_the_rival_is_the_fastest_dense_peer_of_the_same_precision() -> None:
    field = entries.entries(patterns=["dense", "4x4"], peers=list(entries.PEERS), floats=True)
    times = {entry.subject: timing(50, 50, 50) for entry in field}
    times["limbeck int8 4x4"] = timing(4, 5, 6)
    times["openvino int8 bf16-hint"] = timing(12, 20, 18)
    times["deepsparse int8 4x4"] = timing(8, 10, 9)
    times["torch bf16"] = timing(1, 1, 1)
    by_subject = {entry.subject: entry for entry in field}
    found = compare.speeds(by_subject["limbeck int8 4x4"], field, times)
    assert found["rival"] == "openvino int8 bf16-hint"
    assert found["speed"] == pytest.approx(3)  # of 3, 4, 3: paired by round
    assert found["rival_ms"] == pytest.approx(18)
    assert found["sparse_rival"] == "deepsparse int8 4x4"
    assert found["sparse_speed"] == pytest.approx(2)
    assert compare.speeds(by_subject["limbeck fp32"], field, times)["rival"] in (
        "onnxruntime fp32",
        "torch fp32",
    )
    assert compare.speeds(by_subject["limbeck bf16"], field, times)["rival"] == "torch bf16"
    assert compare.speeds(by_subject["ctranslate2 int8"], field, times) == {}


def test_wrong_answers_stop_everything() -> None:
    def entry(name: str) -> entries.Entry:
        return entries.Entry(contestant=contestant(name), pattern="dense")

    judge = [0.1, 0.1, 0.1]
    compare.check(entry("limbeck int8"), [0.14, 0.14, 0.14], judge)
    compare.check(entry("openvino int8 f32-hint"), [0.9, 0.3, 0.3], judge)
    for name, found in (
        ("limbeck int8", [0.16, 0.1, 0.1]),
        ("limbeck int8", [0.1, 0.1, 0.16]),
        ("limbeck fp32", [1e-6, 1e-3, 1e-6]),
        ("limbeck bf16", [0.01, 0.16, 0.01]),
        ("openvino int8 f32-hint", [0.3, 0.3, 0.9]),
        ("torch bf16", [0.0, float("nan"), 0.0]),
    ):
        with pytest.raises(EngineError, match=f"{name}.*nothing was timed"):
            compare.check(entry(name), found, judge)


class Slow:
    """A worker whose calls take a second each, without taking any time."""

    def time(self, *_: object, calls: int, **__: object) -> list[float]:
        return [1.0] * calls


@pytest.mark.parametrize(("limit_s", "rounds"), [(None, 9), (1000, 9), (20, 5), (1, 3)])
def test_slow_points_get_fewer_rounds_but_some(limit_s: float | None, rounds: int) -> None:
    everybody = {"a": Slow(), "b": Slow()}
    found = engine.time_point(
        everybody,  # type: ignore[arg-type]
        Point(batch=1, tokens=8),
        "hidden",
        vocab=600,
        rounds=9,
        rest=lambda _: None,  # type: ignore[arg-type]
        limit_s=limit_s,
    )
    assert {len(timing.rounds) for timing in found.values()} == {rounds}


# Mixed lengths.


@pytest.mark.parametrize("order", mixed.ORDERS)
def test_every_strategy_runs_every_row_once(order: mixed.Order) -> None:
    lengths = [5, 40, 3, 17, 17, 9, 60, 33, 4, 12]
    rows = mixed.rows_of(lengths, order, vocab=600)
    assert len(rows) == len(lengths)
    if order == "uniform":
        assert {len(row) for row in rows} == {20}
    else:
        assert sorted(map(len, rows)) == sorted(lengths)
    for name in CONTESTANTS.values():
        for way in mixed.strategies(name):
            made = mixed.batches(rows, way, batch=4)
            assert sorted(map(list, (row for each in made for row in each.ids))) == sorted(
                map(list, rows)
            )
            for each in made:
                longest = max(map(len, each.ids))
                if each.pad_to is not None:
                    assert each.pad_to in mixed.BUCKETS
                    assert longest <= each.pad_to
                assert each.static or not name.static


def test_lengths_come_from_texts_and_stay_lengths(tmp_path: Path) -> None:
    shape = replace(SHAPE, vocab=600)
    tokenizer = models.write_model(tmp_path / "hf", shape) / "tokenizer.json"
    file = tmp_path / "texts.txt"
    file.write_text("".join("a " * n + "\n" for n in range(1, 21)), encoding="utf-8")
    found = mixed.text_lengths(file, tokenizer, count=20, max_tokens=10)
    assert found == [min(n + 2, 10) for n in range(1, 21)]
    drawn = mixed.text_lengths(file, tokenizer, count=5, max_tokens=64)
    assert drawn == sorted(drawn) == mixed.text_lengths(file, tokenizer, count=5, max_tokens=64)
    with pytest.raises(InputError, match="has 20 texts; 21 were asked for"):
        mixed.text_lengths(file, tokenizer, count=21, max_tokens=10)


# Whole runs, on a small model.


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(entries, "SHAPES", {"small": SHAPE})
    monkeypatch.setattr(peers, "SHAPES", {"small": SHAPE})
    monkeypatch.setattr(engine, "BLOCK_S", 0.001)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("peers")


def plan(cache: Path, tmp_path: Path, *arguments: str) -> peers.Plan:
    given = ["--cache", str(cache), "--results", str(tmp_path / "rows.jsonl"), "--rounds", "2"]
    options = peers._parser().parse_args([*given, "--threads", "1", *arguments])
    return peers.make_plan(options)


@pytest.mark.torch
@pytest.mark.usefixtures("small")
def test_a_run_is_written_point_by_point_and_goes_on(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--peers", "onnxruntime", "--models", "dense"]
    assert peers.run(plan(cache, tmp_path, *arguments, "--points", "2x16"))
    rows = measure.read_rows(tmp_path / "rows.jsonl")
    ours, peer = rows
    assert [row.subject for row in rows] == ["limbeck int8", "onnxruntime int8"]
    assert {row.workload["tokens"] for row in rows} == {16}
    assert ours.extra["rival"] == "onnxruntime int8"
    assert float(ours.extra["speed_low"]) <= float(ours.extra["speed"])
    assert ours.extra["pattern"] == "dense"
    assert peer.versions["onnxruntime"]
    # The same run goes on: the point that is there stays, the new one joins it.
    assert peers.run(plan(cache, tmp_path, *arguments, "--points", "2x16,1x16", "--run", "last"))
    more = measure.read_rows(tmp_path / "rows.jsonl")
    assert [row.workload["batch"] for row in more[2:]] == [1, 1]
    assert {row.run for row in more} == {rows[0].run}
    # No time, no point.
    late = plan(cache, tmp_path, *arguments, "--points", "1x8", "--minutes", "0")
    assert not peers.run(late)
    assert len(measure.read_rows(tmp_path / "rows.jsonl")) == 4
    assert "relative error" in capsys.readouterr().out


@pytest.mark.torch
@pytest.mark.usefixtures("small")
def test_mixed_lengths_are_rows_with_tokens_per_second(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "some" / "texts.txt"
    file.parent.mkdir()
    file.write_text("".join("a " * n + "\n" for n in range(1, 9)), encoding="utf-8")
    tokenizer = models.write_model(tmp_path / "hf", SHAPE) / "tokenizer.json"
    asked = ["--peers", "onnxruntime", "--models", "dense", "--sequences", "8"]
    asked += ["--texts", str(file), "--tokenizer", str(tokenizer)]
    assert peers.run(plan(cache, tmp_path, *asked))
    rows = measure.read_rows(tmp_path / "rows.jsonl")
    assert {row.benchmark for row in rows} == {"mixed"}
    assert {str(row.workload["order"]) for row in rows} == set(mixed.ORDERS)
    assert {row.workload["texts"] for row in rows} == {"some-texts"}
    for row in rows:
        tokens = float(row.extra["tokens_per_s"]) * row.value / 1e3
        assert tokens == pytest.approx(8 * round(52 / 8) if "uniform" in str(row) else 52)
    ways = {row.extra["strategy"] for row in rows if row.subject == "limbeck int8"}
    assert ways == {"whole batches"}


COMPARED = ["torch bf16", "torch int8"]
COMPARED += [name for name, each in CONTESTANTS.items() if each.environment is not None]


def entry_of(name: str) -> entries.Entry:
    pattern = "4x4" if name.startswith("deepsparse") else "dense"
    return entries.Entry(contestant=contestant(name), pattern=pattern)


@pytest.fixture(scope="module")
def everybody(cache: Path) -> Iterator[dict[str, compare.Running]]:
    """All peers that are there, answers compared."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "PEERS", ROOT / ".peers")
        there, _ = entries.available([entry_of(name) for name in COMPARED])
        with compare.running(there, SHAPE, threads=1, cache=cache) as found:
            yield {each.entry.contestant.name: each for each in found}


@pytest.mark.torch
@pytest.mark.parametrize("name", COMPARED)
def test_peers_compute_the_model(
    name: str, everybody: dict[str, compare.Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PEERS", ROOT / ".peers")
    _, missing = entries.available([entry_of(name)])
    if missing:
        pytest.skip(missing[0])
    found = everybody[name]
    assert found.error_hidden < 0.1
    assert found.error_ragged < 0.15
    assert found.error_logits < 0.4
    for output in compare.OUTPUTS:
        seconds = found.worker.time(Point(batch=2, tokens=16), output, vocab=SHAPE.vocab, calls=2)
        assert len(seconds) == 2
        assert min(seconds) > 0
    found.worker.forget()
    assert found.worker.facts[contestant(name).runtime]
