"""Pipelines on artifacts: the same answers, a stored threshold, a light start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import limbeck
from limbeck import artifact
from limbeck.errors import InputError, ModelError
from limbeck.pipeline import pipeline
from limbeck.runtimes import open_source
from limbeck.spec import Threshold
from models import SENTENCES, SEQUENCE_LABELS

Zoo = Callable[..., Path]
TEXTS = [*SENTENCES, "", "a\0b", "the " * 400]


def convert(directory: Path, out: Path, threshold: Threshold | None = None) -> Path:
    source = open_source(directory)
    spec = replace(source.spec, task=replace(source.spec.task, threshold=threshold))
    artifact.write(
        out, spec=spec, weights=source.weights, tokenizer_json=source.tokenizer_json(), lineage={}
    )
    return out


@pytest.mark.parametrize(
    "task", ["text-classification", "token-classification", "feature-extraction"]
)
def test_an_artifact_answers_as_its_source(zoo: Zoo, tmp_path: Path, task: str) -> None:
    directory = zoo("roberta", task)
    made = convert(directory, tmp_path / "made")
    assert pipeline(task, made)(TEXTS) == pipeline(task, directory)(TEXTS)
    assert pipeline(task, str(made))(TEXTS[0]) == pipeline(task, directory)(TEXTS[0])


def test_a_loaded_model_serves_several_pipelines(zoo: Zoo) -> None:
    model = limbeck.load(zoo("bert", "text-classification"), threads=1)
    first = pipeline("text-classification", model, top_k=None)
    second = pipeline("feature-extraction", model)
    assert first(TEXTS) == pipeline("text-classification", model.source, top_k=None)(TEXTS)
    assert np.shape(second(TEXTS[0]))[2] == model.spec.encoder.hidden
    with pytest.raises(InputError, match="loaded already"):
        pipeline("text-classification", model, precision="int8")


def test_int8_answers_differ_a_little(zoo: Zoo) -> None:
    directory = zoo("bert", "text-classification")
    exact = pipeline("text-classification", directory, function_to_apply="none", top_k=None)
    rough = pipeline(
        "text-classification", directory, precision="int8", function_to_apply="none", top_k=None
    )
    pairs = [
        ({row["label"]: row["score"] for row in a}, {row["label"]: row["score"] for row in b})
        for a, b in zip(exact(TEXTS), rough(TEXTS), strict=True)
    ]
    gaps = [abs(a[label] - b[label]) for a, b in pairs for label in a]
    assert 1e-5 < max(gaps) < 0.5


def test_the_stored_threshold_decides(zoo: Zoo, tmp_path: Path) -> None:
    directory = zoo("distilbert", "text-classification")
    label = SEQUENCE_LABELS[1]
    rows = pipeline("text-classification", directory, top_k=None)(TEXTS)
    scores = [next(row["score"] for row in rows_ if row["label"] == label) for rows_ in rows]
    threshold = Threshold(label=label, value=sorted(scores)[4], false_alarm_rate=0.01)
    made = convert(directory, tmp_path / "made", threshold)
    found = pipeline("text-classification", made, decide=True)(TEXTS)
    assert [one["decision"] for one in found] == [score >= threshold.value for score in scores]
    assert {one["decision"] for one in found} == {True, False}
    with pytest.raises(InputError, match="stores a decision threshold"):
        pipeline("text-classification", directory, decide=True)


def test_a_directory_of_another_task_is_refused(zoo: Zoo) -> None:
    with pytest.raises(ModelError):
        pipeline("token-classification", zoo("bert", "text-classification"))
    with pytest.raises(ModelError, match="no model directory"):
        pipeline("text-classification", Path("/tmp"))


def test_answers_on_an_artifact_import_nothing_heavy(zoo: Zoo, tmp_path: Path) -> None:
    made = convert(zoo("bert", "text-classification"), tmp_path / "made")
    code = f"""
import json, sys
import limbeck
pipe = limbeck.pipeline("text-classification", {str(made)!r}, threads=1)
answer = pipe("The house stands near the river.")
heavy = {{"torch", "transformers", "huggingface_hub", "sklearn", "scipy", "pandas", "jinja2"}}
print(json.dumps([answer, sorted(heavy & set(sys.modules))]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    answer, heavy = json.loads(done.stdout)
    assert heavy == []
    assert answer == pipeline("text-classification", made)("The house stands near the river.")
