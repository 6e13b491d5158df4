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
from limbeck.forge.examples import class_weights, split_off, training_set
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


def test_balanced_classes_weigh_the_same() -> None:
    rows = training_set(
        [("a", None, "x"), *[("b", None, "y")] * 4, ("c", None, None)], ("x", "y", "z")
    )
    weights = class_weights(rows)
    assert weights is not None
    np.testing.assert_allclose(weights, [5 / 3, 5 / 12, 1])
    assert weights[0] * 1 == pytest.approx(weights[1] * 4)
    several = training_set(
        [("a", None, ("x", "y")), ("b", None, ("y",)), ("c", None, ()), ("d", None, ("y",))],
        problem="multi_label",
    )
    np.testing.assert_allclose(class_weights(several), [3, 1 / 3])
    assert class_weights(training_set([("a", None, "1")], problem="regression")) is None


def test_balancing_gives_the_rare_class_its_due(zoo: Callable[..., Path]) -> None:
    """Where texts tell nothing, a class is as likely as it is frequent, unless all weigh alike."""
    draw = np.random.default_rng(3)
    words = ["warm", "old", "room", "house", "view"]
    rows = training_set(
        [(" ".join(draw.choice(words, 4)), None, "ab"[int(n % 6 == 0)]) for n in range(240)]
    )

    def rare(balance: bool) -> float:
        config = TrainingConfig(
            epochs=2, batch_size=16, learning_rate=3e-4, precision="fp32", max_tokens=16,
            balance_classes=balance,
        )  # fmt: skip
        made, _ = teacher.finetune(zoo("bert", "feature-extraction"), rows, config)
        margin = logits.of(made, rows) @ [-1.0, 1.0]
        return float((1 / (1 + np.exp(-margin))).mean())

    assert rare(False) == pytest.approx(1 / 6, abs=0.08)
    assert rare(True) == pytest.approx(1 / 2, abs=0.12)
