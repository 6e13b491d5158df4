"""A teacher's fine-tuning and a student's distillation, step by step, kept in training.json.

Weights and rows follow from formulas and numpy's generator, nothing is drawn by torch (no dropout),
and all is computed in fp32 by one thread. So another machine takes the same steps, but for the
order in which its kernels add. To write the file again, after a change of the training that is
meant, and to look at what it changed:

    PYTHONPATH=tests .venv/bin/python tests/golden/training.py
    git diff tests/golden/training.json
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import models
from limbeck.forge import distil, logits, students, teacher
from limbeck.forge.distil import DistilConfig
from limbeck.forge.examples import UNLABELLED, TrainingSet, training_set
from limbeck.forge.intermediate import IntermediateConfig
from limbeck.forge.training import TrainingConfig

FILE = Path(__file__).resolve().parent / "training.json"
NAMES = ("cold", "warm")
WORDS = (
    "bad", "bed", "book", "bread", "cat", "city", "door", "flat", "food", "garden", "good", "home",
    "hotel", "house", "key", "lake", "late", "love", "night", "old", "room", "town", "view", "warm",
)  # fmt: skip
ROWS, UNSEEN = 48, 6
SHAPE = models.Shape(layers=2, hidden=32, heads=2, ffn=64, positions=32)

# Strong enough that each of them shows in 18 steps: gradients are longer than the maximum in some
# steps and shorter in others, and the average looks back over less than all.
TEACHER = TrainingConfig(
    epochs=3,
    batch_size=8,
    learning_rate=2e-3,
    weight_decay=0.1,
    warmup_share=0.2,
    max_gradient_norm=4.0,
    max_tokens=24,
    precision="fp32",
    dropout=0.0,
)
STUDENT = DistilConfig(
    temperature=2.0,
    soft_weight=0.6,
    inside=IntermediateConfig(hidden_weight=0.5),
    training=replace(TEACHER, learning_rate=1e-3, max_gradient_norm=2.0, average_decay=0.5),
)


def rows(first: int, count: int) -> TrainingSet:
    """Three to eleven words each; "warm" where most are of the first half of all words."""
    found = []
    for number in range(first, first + count):
        places = [(number * number + 5 * number * at + 3 * at) % len(WORDS) for at in range(11)]
        places = places[: 3 + number % 9]
        text = " ".join(WORDS[place] for place in places)
        found.append((text, None, NAMES[sum(place < 12 for place in places) * 2 > len(places)]))
    return training_set(found, NAMES)


def write_model(directory: Path) -> Path:
    """The teacher before its first step, head and all."""
    return models.write(
        directory, "bert", "text-classification", shape=SHAPE, seed=11, labels=NAMES
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """For all that torch computes inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def trained(
    model: Path, of_teacher: TrainingConfig = TEACHER, of_student: DistilConfig = STUDENT
) -> dict[str, Any]:
    """Loss of every step, and the logits on rows that neither has seen, of a teacher and of its
    student of one layer; the student learns each fifth row without its label."""
    learnt, unseen = rows(0, ROWS), rows(ROWS, UNSEEN)
    with one_thread():
        wise, first = teacher.finetune(model, learnt, of_teacher)
        answers = logits.of(wise, learnt)
        known = replace(learnt, labels=learnt.labels.copy())
        known.labels[::5] = UNLABELLED
        student, second = distil.offline(
            students.every_other_layer(wise, 1), known, answers, of_student, teacher=wise
        )
        return {
            "teacher": {"losses": list(first.losses), "logits": logits.of(wise, unseen).tolist()},
            "student": {
                "losses": list(second.losses),
                "logits": logits.of(student, unseen).tolist(),
            },
        }


def read() -> dict[str, Any]:
    """What was written."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        found = trained(write_model(Path(temporary)))
    for part in found.values():
        part["losses"] = [round(value, 7) for value in part["losses"]]
        part["logits"] = [[round(value, 7) for value in row] for row in part["logits"]]
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
