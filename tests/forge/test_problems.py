"""Several labels at once, and numbers: from rows through training and distillation to answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from limbeck.errors import InputError, TrainingError
from limbeck.pipeline import pipeline
from limbeck.spec import Problem
from limbeck.tasks import metrics

pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import checkpoint, distil, export, logits, students, teacher
from limbeck.forge.examples import split_off, training_set
from limbeck.forge.training import TrainingConfig

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("problem", ["multi_label", "regression"])
def test_other_problems_are_learned_distilled_and_read_back(
    zoo: Callable[..., Path], tmp_path: Path, problem: Problem
) -> None:
    draw = np.random.default_rng(8)
    words = ["good", "bad", "warm", "old", "room"]
    some = [draw.choice(words, draw.integers(1, 5)).tolist() for _ in range(240)]
    if problem == "multi_label":
        given = [tuple(w for w in ("good", "warm") if w in it) for it in some]
    else:
        given = [str(it.count("good") - it.count("bad")) for it in some]
    rows = training_set(
        [(" ".join(it), None, label) for it, label in zip(some, given, strict=True)],
        problem=problem,
    )
    config = TrainingConfig(
        epochs=8, batch_size=16, learning_rate=2e-3, precision="fp32", max_tokens=32
    )
    made, report = teacher.finetune(zoo("bert", "feature-extraction"), rows, config)
    assert report.last_loss < 0.3 * report.first_loss
    assert made.problem == problem
    again = checkpoint.load(made.save(tmp_path / "teacher"))
    assert (again.problem, again.labels) == (problem, rows.names)
    wanted = logits.of(again, rows)

    def right(found: np.ndarray) -> float:
        if problem == "regression":
            return metrics.spearman(found[:, 0], rows.labels)
        return metrics.multi_label_f1(found > 0, rows.labels)

    assert right(wanted) > 0.9
    young = students.every_other_layer(again)
    how = distil.DistilConfig(soft_weight=1.0, training=config)
    young, _ = distil.offline(young, rows.without_labels(), wanted, how)
    assert right(logits.of(young, rows)) > 0.85
    exported = export.export(young, tmp_path / "artifact")
    answers = pipeline("text-classification", exported.directory, top_k=None)(["good warm"])[0]
    assert len(answers) == len(rows.names)
    with pytest.raises(TrainingError, match="the rows are for"):
        teacher.finetune(made, training_set([("a", None, "x"), ("b", None, "y")]), config)


def test_rows_of_other_problems() -> None:
    several = training_set(
        [("a", None, ("x", "y")), ("b", None, ()), ("c", None, None)], problem="multi_label"
    )
    np.testing.assert_array_equal(several.labels, [[1, 1], [0, 0], [np.nan, np.nan]])
    assert several.names == ("x", "y")
    assert several.labelled.tolist() == [True, True, False]
    numbers = training_set([("a", None, "1.5"), ("b", None, None)], problem="regression")
    assert numbers.labels[0] == 1.5
    assert numbers.labelled.tolist() == [True, False]
    assert numbers.names == ("score",)
    assert len({several.digest, numbers.digest, several.without_labels().digest}) == 3
    assert several.without_labels().text_digest == several.text_digest
    assert not several.without_labels().labelled.any()
    kept, held = split_off(numbers, 0.5, seed=1)
    assert (len(kept), len(held)) == (1, 1)
    with pytest.raises(InputError, match="row 2 has label 'much', which is no number"):
        training_set([("a", None, "1"), ("b", None, "much")], problem="regression")
    with pytest.raises(InputError, match="row 1 has label 'z'"):
        training_set([("a", None, ("z",))], ("x",), problem="multi_label")
    for problem, label, message in (
        ("regression", "3", "every row has the number 3"),
        ("multi_label", ("x",), "every row has the same labels"),
        ("single_label", "x", "the one label 'x'"),
    ):
        rows = training_set([("a", None, label), ("b", None, label)], problem=problem)
        with pytest.raises(TrainingError, match=message):
            teacher.check_labels(rows)
