"""Metrics written out, rows for every precision, and data that does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import models
from limbeck import measure, runtimes
from limbeck.bench import accuracy
from limbeck.errors import InputError

Zoo = Callable[..., Path]
TEXTS = ("the great clean house", "the cold bad room", "late and small", "warm walk", "a view")


def test_spearman_by_hand() -> None:
    assert accuracy.spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0])) == 1
    assert accuracy.spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])) == -1
    # ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4
    found = accuracy.spearman(np.array([0.0, 5.0, 5.0, 9.0]), np.array([1.0, 3.0, 2.0, 4.0]))
    assert found == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    with pytest.raises(InputError, match="two different values"):
        accuracy.spearman(np.ones(3), np.arange(3.0))


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_classifier_in_every_precision(
    zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = zoo("bert", "text-classification")
    model = runtimes.load(directory)
    labels = model.spec.task.labels
    ids = [row.ids for row in model.tokenizer().encode(TEXTS, max_tokens=32)]
    best = model.forward(ids).argmax(axis=1)
    # by name, by number, and one that is wrong
    told: list[object] = [labels[best[0]], int(best[1]), labels[best[2]], int(best[3])]
    told.append(labels[(best[4] + 1) % len(labels)])
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, told, strict=True)]
    file = write(tmp_path / "rows.jsonl", rows)
    results = tmp_path / "accuracy.jsonl"
    arguments = [str(directory), "--data", str(file), "--results", str(results)]
    assert accuracy.main([*arguments, "--calibrate", str(file)]) == 0
    found = {row.subject: row for row in measure.read_rows(results)}
    assert list(found) == ["limbeck fp32", "limbeck bf16", "limbeck int8", "limbeck int8 static"]
    assert found["limbeck fp32"].value == pytest.approx(80)
    assert found["limbeck fp32"].extra["difference"] == 0
    assert all(row.workload["rows"] == 5 for row in found.values())
    assert "limbeck int8 static" in capsys.readouterr().out


def test_a_sentence_encoder(tmp_path: Path) -> None:
    directory = models.write_sentence_model(tmp_path / "model")
    pairs = [(TEXTS[i], TEXTS[(i + 1) % 5]) for i in range(5)]
    rows = [
        {"text": one, "text_pair": other, "label": float(i)} for i, (one, other) in enumerate(pairs)
    ]
    file = write(tmp_path / "pairs.jsonl", rows)
    (fp32, *_) = accuracy.run(directory, file, None, None)
    cosines = accuracy.similarity(
        runtimes.load(directory),
        list(accuracy.data.read_rows(file, pair_column="text_pair", label_column="label")),
    )
    assert fp32.value == pytest.approx(100 * accuracy.spearman(cosines, np.arange(5.0)))
    assert fp32.workload["metric"] == "100 x Spearman"


def test_labels_that_the_model_does_not_have(
    zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "rows.jsonl", [{"text": "a view", "label": "purple"}])
    directory = zoo("bert", "text-classification")
    results = tmp_path / "accuracy.jsonl"
    arguments = [str(directory), "--data", str(file), "--results", str(results)]
    assert accuracy.main(arguments) == 1
    assert "needs one of the labels" in capsys.readouterr().err
    assert not results.exists()
