"""Tiny recipes for tests: a small random encoder, few rows, fp32, one thread."""

from __future__ import annotations

import json
import random
from pathlib import Path

import models

GOOD, BAD = ["good", "great", "nice", "clean", "warm"], ["bad", "cold", "small", "old", "late"]
FILLER = ["the", "house", "room", "view", "walk"]
SHAPE = models.Shape(layers=2, hidden=32, heads=2, ffn=64, positions=64)

RECIPE = """\
[data]
train = "rows.jsonl"
hold_out = 0.3

[run]
out = "run"
precision = "fp32"
threads = 1

[[stage]]
kind = "teacher"
model = "encoder"
epochs = 3
learning_rate = 2e-3
max_tokens = 32

[[stage]]
kind = "distil"
layers = 1
epochs = 2
learning_rate = 2e-3

[[stage]]
kind = "export"

[[stage]]
kind = "verify"
"""

_BEGINNING = """\
[data]
train = "rows.jsonl"
transfer = "transfer.jsonl"
hold_out = 0.3

[run]
out = "run"
precision = "fp32"
threads = 1

[[stage]]
kind = "teacher"
model = "encoder"
epochs = 2
learning_rate = 2e-3
max_tokens = 32
"""

# A narrower student of two teachers, their hidden states and texts without labels, pruned, and
# trained for int8. What each stage keeps while it trains is of another kind: projections and an
# average, scores and momenta of blocks, ranges.
NARROWER = f"""\
{_BEGINNING}
[[stage]]
kind = "distil"
shape = "1x16x2x32"
teachers = ["other"]
combine = "weighted"
hidden_weight = 1.0
relation_weight = 1.0
average_decay = 0.9
epochs = 2
learning_rate = 2e-3

[[stage]]
kind = "prune"
sparsity = 0.5
ffn = 24
epochs = 2
every = 2
learning_rate = 1e-3

[[stage]]
kind = "qat"
activations = "static"
calibrate = 16
epochs = 1
learning_rate = 1e-4

[[stage]]
kind = "export"
"""

# Students that learn together, of which the first is distilled further.
TOGETHER = f"""\
{_BEGINNING}
[[stage]]
kind = "online"
students = [{{ layers = 1 }}, {{ layers = 2 }}]
epochs = 2
learning_rate = 2e-3

[[stage]]
kind = "distil"
cosine_weight = 1.0
freeze_embeddings = true
epochs = 1
learning_rate = 1e-3

[[stage]]
kind = "export"
"""


def write_rows(path: Path, count: int, *, seed: int = 0, labels: bool = True) -> Path:
    """Rows that a small model can learn to tell apart."""
    draw = random.Random(seed)
    with path.open("w") as file:
        for _ in range(count):
            label = draw.choice(("dislike", "like"))
            words = draw.choices(GOOD if label == "like" else BAD, k=3)
            words += draw.choices(FILLER, k=draw.randint(1, 6))
            draw.shuffle(words)
            row = {"text": " ".join(words)} | ({"label": label} if labels else {})
            file.write(json.dumps(row) + "\n")
    return path


def write(directory: Path, text: str = RECIPE, *, rows: int = 200) -> Path:
    """An encoder, rows and a recipe about them; the recipe's file."""
    directory.mkdir(parents=True, exist_ok=True)
    models.write(directory / "encoder", "bert", "feature-extraction", shape=SHAPE)
    write_rows(directory / "rows.jsonl", rows)
    recipe = directory / "recipe.toml"
    recipe.write_text(text)
    return recipe


def write_beside(directory: Path) -> None:
    """A second teacher and texts without labels, for the recipes that name them."""
    labels = ("dislike", "like")
    models.write(
        directory / "other", "bert", "text-classification", shape=SHAPE, seed=7, labels=labels
    )
    write_rows(directory / "transfer.jsonl", 30, seed=1, labels=False)
