"""Candidates held against fp32 through the engine, the gate, and limbeck quantize and qat."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import models
from limbeck import artifact, pipeline
from limbeck.cli.main import run
from limbeck.errors import GateError, InputError, ModelError, VerifyError
from limbeck.evaluation import Comparison, Examples, Interval, Limits, read_examples

pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge.quantize import search
from limbeck.forge.quantize.search import Candidate, Tried, chosen, quantize

pytestmark = pytest.mark.torch
ROWS = 120
SHAPE = models.Shape(layers=2, hidden=48, heads=4, ffn=96, positions=64)
EASY = Limits(max_drop=30.0)


@pytest.fixture(scope="module")
def directory(zoo: Callable[..., Path]) -> Path:
    return zoo("bert", "text-classification", shape=SHAPE)


@pytest.fixture(scope="module")
def examples(directory: Path) -> Examples:
    """Rows that the model in fp32 answers rightly, all of them."""
    draw = np.random.default_rng(0)
    words = models._WORDS.split()
    texts = tuple(" ".join(draw.choice(words, draw.integers(5, 40))) for _ in range(ROWS))
    answers = pipeline("text-classification", directory)(list(texts))
    labels = tuple(one["label"] for one in answers)
    assert len(set(labels)) > 1
    return Examples(problem="single_label", texts=texts, targets=labels)


@pytest.fixture(scope="module")
def file(examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = zip(examples.texts, examples.targets, strict=True)
    path.write_text("".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in rows))
    return path


def read(file: Path) -> Examples:
    return read_examples(file, "single_label")


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_candidate_and_what_is_measured(
    directory: Path, examples: Examples, tmp_path: Path
) -> None:
    found = quantize(directory, tmp_path / "out", examples, limits=EASY)
    assert found.chosen.candidate == Candidate()
    comparison = found.chosen.comparison
    assert comparison is not None
    assert comparison.first == 1.0
    with artifact.read(tmp_path / "out") as stored:
        assert stored.digest == found.exported.digest == found.chosen.digest
    noted = artifact.read_measured(tmp_path / "out")["int8"]
    assert noted["candidate"] == "dynamic"
    assert noted["fp32"] == 1.0
    said = [
        one["label"]
        for one in pipeline("text-classification", tmp_path / "out")(list(examples.texts))
    ]
    right = np.mean([one == other for one, other in zip(said, examples.targets, strict=True)])
    assert noted["value"] == pytest.approx(right)
    assert left(tmp_path) == ["out"]


def test_all_candidates_and_the_one_that_loses_least(
    directory: Path, examples: Examples, tmp_path: Path
) -> None:
    texts, rest = search.texts_apart(examples, 12)
    assert len(texts) == 12
    assert len(rest) == ROWS - 12
    assert not set(texts) & set(rest.texts)
    wanted = (Candidate(), Candidate(observer="minmax"), Candidate(observer="mse", smooth=0.5))
    found = quantize(
        directory, tmp_path / "out", rest, wanted, limits=EASY, calibrate=texts, prefer="speed"
    )
    names = [one.candidate.name for one in found.tried]
    assert names == ["dynamic", "static minmax", "static mse, smoothed 0.5"]
    assert found.chosen.candidate.observer is not None
    passed = [one for one in found.tried if one.passed and one.candidate.observer]
    assert found.chosen.drop == min(one.drop for one in passed)
    with artifact.read(tmp_path / "out") as stored:
        assert stored.spec.quant.activations == "static"
        assert stored.digest == found.chosen.digest
    assert len(search.all_candidates()) == 8
    assert len({one.name for one in search.all_candidates()}) == 8


def tried(drop: float, problems: tuple[str, ...] = (), **kind: object) -> Tried:
    comparison = Comparison(
        metric="accuracy",
        rows=9,
        first=0.9,
        second=0.9 - drop / 100,
        drop=Interval(value=drop / 100, low=0, high=1),
        slices={},
    )
    candidate = Candidate(**kind)  # type: ignore[arg-type]
    return Tried(candidate=candidate, comparison=comparison, problems=problems, seconds=1.0)


def test_the_preference() -> None:
    dynamic, wide, tight = tried(0.2), tried(0.4, observer="minmax"), tried(0.3, observer="mse")
    same = tried(0.2, smooth=0.5)
    assert chosen([dynamic, wide, tight, same], "accuracy") is dynamic
    assert chosen([dynamic, wide, tight, same], "speed") is tight
    assert chosen([dynamic, tried(0.1, ("too much",), observer="mse")], "speed") is dynamic
    failed = [tried(2, ("loses 2",)), tried(float("nan"), ("loses an unknown number",))]
    with pytest.raises(GateError, match=r"dynamic: loses 2; none of 2 candidates passes"):
        chosen(failed, "accuracy")
    nothing = Tried(candidate=Candidate(), comparison=None, problems=("no",), seconds=0)
    with pytest.raises(GateError, match="dynamic: no"):
        chosen([nothing], "accuracy")


def edited(directory: Path, target: Path, name: str, change: Callable[[np.ndarray], None]) -> Path:
    shutil.copytree(directory, target)
    arrays = load_file(target / "model.safetensors")
    change(arrays[name])
    save_file(arrays, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.fixture(scope="module")
def fragile(
    directory: Path, examples: Examples, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Examples]:
    """Two classes, and half of the rows on either side of a narrow border: rounding costs some."""
    place = tmp_path_factory.mktemp("fragile")
    weight, bias = "classifier.weight", "classifier.bias"

    def opposite(values: np.ndarray) -> None:
        values[1], values[2] = -values[0], 0

    def at(border: float) -> Callable[[np.ndarray], None]:
        def change(values: np.ndarray) -> None:
            values[:] = (-border, border, -1e3)

        return change

    made = edited(edited(directory, place / "a", weight, opposite), place / "b", bias, at(0.0))
    classify = pipeline("text-classification", made)
    scores = classify(list(examples.texts), top_k=None, function_to_apply="none")
    first = [
        {one["label"]: one["score"] for one in row}[models.SEQUENCE_LABELS[0]] for row in scores
    ]
    made = edited(made, place / "c", bias, at(float(np.median(first))))
    answers = pipeline("text-classification", made)(list(examples.texts))
    labels = tuple(one["label"] for one in answers)
    assert 40 < labels.count(models.SEQUENCE_LABELS[0]) < 80
    return made, Examples(problem="single_label", texts=examples.texts, targets=labels)


def test_the_gate_leaves_what_was_there(
    fragile: tuple[Path, Examples], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, examples = fragile
    first = quantize(directory, tmp_path / "out", examples, limits=EASY)
    with pytest.raises(GateError, match=r"loses \d.* points of accuracy, and 0 are allowed"):
        quantize(directory, tmp_path / "out", examples, limits=Limits(max_drop=0.0))
    with artifact.read(tmp_path / "out") as stored:
        assert stored.digest == first.exported.digest
    assert left(tmp_path) == ["out"]
    rows = zip(examples.texts, examples.targets, strict=True)
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in rows))
    call = ["quantize", str(directory), "-d", str(data), "-o", str(tmp_path / "new")]
    assert run([*call, "--max-drop", "0"]) == 3
    assert "points of accuracy, and 0 are allowed" in capsys.readouterr().err
    assert left(tmp_path) == ["out", "rows.jsonl"]


def test_a_candidate_that_cannot_be_verified(
    directory: Path, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = search.export

    def refusing(*given: object, **named: object) -> object:
        if named["observer"] == "mse":
            raise VerifyError("far off")
        return real(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "export", refusing)
    wanted = (Candidate(observer="mse"), Candidate())
    texts = examples.texts[:9]
    found = quantize(directory, tmp_path / "out", examples, wanted, limits=EASY, calibrate=texts)
    assert found.tried[0].problems == ("far off",)
    assert found.chosen is found.tried[1]
    with pytest.raises(VerifyError, match="far off"):
        quantize(directory, tmp_path / "a", examples, wanted[:1], limits=EASY, calibrate=texts)


def test_bad_requests(directory: Path, examples: Examples, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="need texts"):
        quantize(directory, out, examples, (Candidate(observer="mse"),), limits=EASY)
    with pytest.raises(InputError, match="accuracy or speed"):
        quantize(directory, out, examples, limits=EASY, prefer="both")  # type: ignore[arg-type]
    few = Examples(problem="single_label", texts=("a",) * 9, targets=("b",) * 9)
    with pytest.raises(InputError, match="9 rows are too few"):
        search.texts_apart(few, 64)
    pairs = Examples(
        problem="question-answering",
        texts=tuple("abcdefghijkl"),
        pairs=tuple("ABCDEFGHIJKL"),
        targets=(("x",),) * 12,
    )
    texts, rest = search.texts_apart(pairs, 64)
    assert texts == ("A", "G")
    assert rest.pairs == tuple("BCDEFHIJKL")
    assert not out.exists()


def test_nan_weights_are_named_and_rows_of_zeros_are_not_refused(
    directory: Path, examples: Examples, tmp_path: Path
) -> None:
    name = "bert.encoder.layer.1.intermediate.dense.weight"

    def spoil(values: np.ndarray) -> None:
        values[3, 5] = np.nan

    bad = edited(directory, tmp_path / "bad", name, spoil)
    with pytest.raises(ModelError, match=r"layers\.1\.ffn\.in\.weight holds NaN"):
        quantize(bad, tmp_path / "out", examples, limits=EASY)
    assert not (tmp_path / "out").exists()

    def clear(values: np.ndarray) -> None:
        values[:7] = 0

    odd = edited(directory, tmp_path / "odd", name, clear)
    labels = tuple(
        one["label"] for one in pipeline("text-classification", odd)(list(examples.texts))
    )
    rows = Examples(problem="single_label", texts=examples.texts, targets=labels)
    found = quantize(odd, tmp_path / "out", rows, limits=EASY)
    with artifact.read(tmp_path / "out") as stored:
        tensor = stored.weights["layers.1.ffn.in.weight"]
        assert not tensor.stored()[:7].any()
        assert tensor.scale is not None
        assert tensor.scale[:7].tolist() == [1.0] * 7
    assert found.chosen.passed


def test_on_the_command_line(
    directory: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    call = ["quantize", str(directory), "-d", str(file), "-o", str(out)]
    assert run([*call, "--max-drop", "30", "--static", "--smooth", "0.5"]) == 0
    shown = capsys.readouterr().out
    assert "static mse, smoothed 0.5" in shown
    assert "chosen" in shown
    assert "activations measured on 24 texts" in shown
    assert f"{ROWS - 24} rows, fp32 accuracy 1.0000" in shown
    with artifact.read(out) as stored:
        assert stored.digest in shown
    for bad in (
        ["--observer", "median"],
        ["--smooth", "2"],
        ["--search", "--static"],
        ["--prefer", "both"],
        ["--max-drop", "-1"],
        ["--label-column", "nothing"],
    ):
        assert run([*call, *bad]) == 2, bad
    assert left(tmp_path) == ["out"]


def test_training_first(
    directory: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    call = ["qat", str(directory), "-d", str(file), "-o", str(made), "--static"]
    options = ["--epochs", "2", "--cache", str(tmp_path / "logits"), "--batch-size", "16"]
    assert run([*call, *options, "--observer", "percentile"]) == 0
    shown = capsys.readouterr().out
    assert "14 of 14 steps" in shown
    assert "trained: accuracy" in shown
    lineage = json.loads((made / "lineage.json").read_text())
    assert lineage["step"] == "qat"
    assert lineage["config"]["observer"] == "percentile"
    out = tmp_path / "out"
    assert run(["convert", str(made), "-o", str(out)]) == 0
    with artifact.read(out) as stored:
        assert stored.spec.quant.activations == "static"
        low, high = lineage["static_ranges"]["layers.0.ffn.out.range"]
        assert stored.weights["layers.0.ffn.out.range"].values.tolist() == [low, high]
    call = ["quantize", str(made), "-d", str(file), "-o", str(out), "--max-drop", "30"]
    assert run(call) == 0
    assert "static trained" in capsys.readouterr().out
    with artifact.read(out) as stored:
        assert stored.weights["layers.0.ffn.out.range"].values.tolist() == [low, high]
    found = quantize(made, out, read(file), limits=EASY)  # asked for, dynamic is dynamic
    assert found.chosen.candidate.name == "dynamic"
    with artifact.read(out) as stored:
        assert stored.spec.quant.activations == "dynamic"
    assert search.all_candidates(trained=True)[0] == Candidate(observer="trained")
    trained = (Candidate(observer="trained"),)
    with pytest.raises(InputError, match="was not trained with static ranges"):
        quantize(directory, out, read(file), trained, limits=EASY)
    odd = (Candidate(observer="trained", smooth=0.5),)
    with pytest.raises(InputError, match="do not hold once it is smoothed"):
        quantize(made, out, read(file), odd, limits=EASY, calibrate=["the view"])
    capsys.readouterr()
