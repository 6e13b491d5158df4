"""A recipe does not care which task it is for: each from rows to an artifact that answers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import models
import recipes

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")

from limbeck import pipeline
from limbeck.forge import recipe

pytestmark = pytest.mark.torch


def tagged(draw: random.Random) -> dict[str, object]:
    words = draw.choices(["anna", "peter", "house", "room", "the"], k=draw.randint(3, 7))
    return {
        "tokens": words,
        "tags": ["B-PER" if word in ("anna", "peter") else "O" for word in words],
    }


def question(draw: random.Random) -> dict[str, object]:
    words = draw.choices(recipes.FILLER, k=6)
    words[draw.randrange(6)] = "paris"
    context = " ".join(words)
    where = context.index("paris")
    answers = {"text": ["paris"], "answer_start": [where]}
    return {"question": "which city", "context": context, "answers": answers}


def similar(draw: random.Random) -> dict[str, object]:
    first, second = draw.choices(recipes.GOOD, k=3), draw.choices(recipes.BAD, k=3)
    alike = draw.random() < 0.5
    other = draw.choices(recipes.GOOD, k=3) if alike else second
    return {"text": " ".join(first), "text_pair": " ".join(other), "label": 5.0 if alike else 0.5}


def several(draw: random.Random) -> dict[str, object]:
    words = draw.choices([*recipes.GOOD[:2], *recipes.BAD[:2], *recipes.FILLER], k=6)
    return {"text": " ".join(words), "label": [one for one in ("good", "bad") if one in words]}


def number(draw: random.Random) -> dict[str, object]:
    words = draw.choices([*recipes.GOOD[:2], *recipes.FILLER], k=6)
    return {"text": " ".join(words), "label": words.count("good")}


CASES = {
    "token-classification": (tagged, "", "span F1"),
    "question-answering": (question, "", "F1"),
    "sentence-embedding": (similar, "scale = [0, 5]", "Spearman"),
    "multi_label": (several, "", "micro F1"),
    "regression": (number, "", "Spearman"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_task(name: str, tmp_path: Path) -> None:
    row, data, metric = CASES[name]
    problem = name if name in ("multi_label", "regression") else None
    kind = "text-classification" if problem else name
    text = recipes.RECIPE.replace("hold_out = 0.3", f"hold_out = 0.3\n{data}")
    text += f'\n[task]\nkind = "{kind}"\n'
    text += f'problem = "{problem}"\n' if problem else ""
    file = recipes.write(tmp_path, text)
    # an artifact in int8 of random weights this small may be further from torch than a real one
    file.write_text(text)
    draw = random.Random(1)
    rows = [json.dumps(row(draw)) for _ in range(120)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n")
    options = recipe.Options(resamples=20, lengths=())
    found = recipe.run(recipe.read(file), options)
    assert [step.quality.headline for step in found.steps] == [metric] * 3
    assert found.steps[0].quality.rows >= 10
    answer = pipeline(kind, found.artifact)
    if kind == "question-answering":
        assert "answer" in answer(question="which city", context="the house paris room")
    else:
        assert len(answer(["the good anna", "bad house"])) == 2
    again = recipe.run(recipe.read(file), options)
    assert again.digest == found.digest


def test_calibration_and_other_shapes(tmp_path: Path) -> None:
    text = recipes.RECIPE.replace('kind = "export"', 'kind = "export"\ncalibrate = 16')
    text = text.replace("layers = 1", 'shape = "1x16x2x32"\nrandom = true')
    file = recipes.write(tmp_path, text)
    options = recipe.Options(resamples=20, lengths=())
    found = recipe.run(recipe.read(file), options)
    first = json.loads((tmp_path / "run" / "2-distil" / "config.json").read_text())
    assert first["hidden_size"] == 16
    other = models.write(
        tmp_path / "other", "distilbert", "feature-extraction", shape=recipes.SHAPE, seed=9
    )
    file.write_text(text.replace('shape = "1x16x2x32"\nrandom = true', f'encoder = "{other}"'))
    again = recipe.run(recipe.read(file), options)
    assert again.digest != found.digest
    first = json.loads((tmp_path / "run" / "2-distil" / "config.json").read_text())
    assert first["model_type"] == "distilbert"
