"""Distillation against the formula written out, students' layers, and the cache of logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import models
from limbeck.errors import InputError, TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import distil, logits, objectives, students, teacher, training  # noqa: E402
from limbeck.forge.checkpoint import Teacher  # noqa: E402
from limbeck.forge.distil import DistilConfig  # noqa: E402
from limbeck.forge.examples import UNLABELLED, TrainingSet, training_set  # noqa: E402
from limbeck.forge.tokenised import TokenisedSet  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

TRAINING = TrainingConfig(
    epochs=3, batch_size=16, learning_rate=1e-3, precision="fp32", max_tokens=32
)


def texts(count: int) -> TrainingSet:
    words = [
        "good",
        "bad",
        "warm",
        "cold",
        "old",
        "new",
        "small",
        "large",
        "quiet",
        "house",
        "room",
        "view",
    ]
    draw = np.random.default_rng(count)
    rows = []
    for _ in range(count):
        chosen = draw.choice(words, draw.integers(2, 12)).tolist()
        rows.append((" ".join(chosen), None, "yes" if "good" in chosen else "no"))
    return training_set(rows, ("no", "yes"))


def fresh_teacher(zoo: Callable[..., Path], architecture: str = "bert", layers: int = 6) -> Teacher:
    directory = zoo(architecture, "feature-extraction", shape=models.Shape(layers=layers))
    made = teacher.prepare(directory, ("no", "yes"), TRAINING)
    made.model.eval()
    return made


def right(labels: np.ndarray) -> objectives.Objective:
    rows = TrainingSet(texts=("",) * len(labels), labels=labels, names=("a", "b", "c"))
    return objectives.sequences(rows, TokenisedSet(ids=[], type_ids=[]))


def written_out(student: np.ndarray, wanted: np.ndarray, temperature: float) -> float:
    """T**2 * sum_i p_i * (log p_i - log q_i), mean over rows, in float64 and with plain sums."""
    total = 0.0
    for s, t in zip(student.astype(float), wanted.astype(float)):
        p = np.exp(t / temperature) / np.exp(t / temperature).sum()
        q = np.exp(s / temperature) / np.exp(s / temperature).sum()
        total += (p * (np.log(p) - np.log(q))).sum()
    return temperature**2 * total / len(student)


def test_hard_labels_take_their_share_and_unlabelled_rows_none() -> None:
    draw = np.random.default_rng(1)
    student = draw.normal(0, 2, (4, 3)).astype(np.float32)
    wanted = draw.normal(0, 2, (4, 3)).astype(np.float32)
    labels = np.array([2, UNLABELLED, 0, UNLABELLED])
    config = DistilConfig(temperature=2.0, soft_weight=0.7)
    found = distil.distillation_loss(wanted, right(labels), config)(
        torch.tensor(student), np.arange(4), {}
    )
    log_q = student - np.log(np.exp(student).sum(axis=1, keepdims=True))
    hard = -(log_q[0, 2] + log_q[2, 0]) / 4
    expected = 0.7 * written_out(student, wanted, 2.0) + 0.3 * hard
    assert found.item() == pytest.approx(expected, rel=1e-5)
    # rows are looked up by index: another order, the same loss
    order = np.array([3, 1, 0, 2])
    moved = distil.distillation_loss(wanted, right(labels), config)(
        torch.tensor(student[order]), order, {}
    )
    assert moved.item() == pytest.approx(expected, rel=1e-5)
    bare = distil.distillation_loss(wanted, right(np.full(4, UNLABELLED)), config)
    soft = bare(torch.tensor(student), np.arange(4), {}).item()
    assert soft == pytest.approx(0.7 * written_out(student, wanted, 2.0), rel=1e-5)


def test_squared_differences_instead_of_divergence() -> None:
    draw = np.random.default_rng(2)
    student, wanted = draw.normal(0, 2, (2, 4, 3)).astype(np.float32)
    labels = np.array([2, UNLABELLED, 0, UNLABELLED])
    config = DistilConfig(soft_weight=0.7, soft_loss="mse")
    found = distil.distillation_loss(wanted, right(labels), config)(
        torch.tensor(student), np.arange(4), {}
    )
    log_q = student - np.log(np.exp(student).sum(axis=1, keepdims=True))
    expected = 0.7 * ((student - wanted) ** 2).mean() - 0.3 * (log_q[0, 2] + log_q[2, 0]) / 4
    assert found.item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(TrainingError, match="kl or mse"):
        DistilConfig(soft_loss="l1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("depth", "layers", "taken"),
    [
        (6, 3, (0, 2, 4)),
        (12, 6, (0, 2, 4, 6, 8, 10)),
        (6, 2, (0, 3)),
        (6, 4, (0, 1, 3, 4)),
        (6, 6, (0, 1, 2, 3, 4, 5)),
        (5, 1, (0,)),
    ],
)
def test_layers_are_evenly_spread(depth: int, layers: int, taken: tuple[int, ...]) -> None:
    assert students.spread_layers(depth, layers) == taken


@pytest.mark.parametrize("layers", [0, 7, -1])
def test_a_student_cannot_have_layers_that_its_teacher_lacks(layers: int) -> None:
    with pytest.raises(InputError, match="1 to 6 layers"):
        students.spread_layers(6, layers)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_a_student_starts_from_its_teachers_layers(
    zoo: Callable[..., Path], architecture: str
) -> None:
    wise = fresh_teacher(zoo, architecture)
    young = students.every_other_layer(wise)
    assert young.model.config.num_hidden_layers == 3
    large, small = wise.model.state_dict(), young.model.state_dict()
    checked = 0
    for name, value in small.items():
        source = name
        for place, layer in ((2, 4), (1, 2), (0, 0)):  # from the back, so that no name moves twice
            if f".layer.{place}." in name:
                source = name.replace(f".layer.{place}.", f".layer.{layer}.")
                checked += 1
        assert torch.equal(value, large[source]), name
    assert checked >= 3 * 16
    before = small["classifier.bias" if "classifier.bias" in small else next(iter(small))].clone()
    with torch.no_grad():
        for parameter in wise.model.parameters():
            parameter.add_(1.0)
    after = young.model.state_dict()
    name = "classifier.bias" if "classifier.bias" in after else next(iter(after))
    assert torch.equal(after[name], before), "student and teacher share memory"


def test_a_student_takes_the_layers_that_are_named(zoo: Callable[..., Path]) -> None:
    wise = fresh_teacher(zoo)
    young = students.from_layers(wise, (5, 0))
    large, small = wise.model.state_dict(), young.model.state_dict()
    name = "bert.encoder.layer.{}.output.dense.weight"
    assert torch.equal(small[name.format(0)], large[name.format(5)])
    assert torch.equal(small[name.format(1)], large[name.format(0)])
    assert young.lineage["layers"] == [5, 0]
    for taken in ((), (0, 0), (6,), (-1, 2)):
        with pytest.raises(InputError, match="layers 0 to 5, each once"):
            students.from_layers(wise, taken)


def test_a_full_depth_student_is_its_teacher(zoo: Callable[..., Path]) -> None:
    wise = fresh_teacher(zoo)
    young = students.every_other_layer(wise, 6)
    young.model.eval()
    rows = texts(20)
    np.testing.assert_array_equal(logits.of(young, rows), logits.of(wise, rows))
    shallow = students.every_other_layer(wise, 3)
    shallow.model.eval()
    assert np.abs(logits.of(shallow, rows) - logits.of(wise, rows)).max() > 0.01


def test_distilling_brings_the_student_closer_to_its_teacher(zoo: Callable[..., Path]) -> None:
    wise, _ = teacher.finetune(fresh_teacher(zoo, layers=4), texts(300), TRAINING)
    rows = texts(400)
    unlabelled = TrainingSet(
        texts=rows.texts, labels=np.full(len(rows), UNLABELLED), names=rows.names
    )
    wanted = logits.of(wise, unlabelled)
    young = students.every_other_layer(wise)
    young.model.eval()
    temperature = 2.0
    before = written_out(logits.of(young, rows), wanted, temperature)
    config = DistilConfig(soft_weight=1.0, training=TRAINING)
    made, report = distil.offline(young, unlabelled, wanted, config)
    after = written_out(logits.of(made, rows), wanted, temperature)
    assert after < 0.5 * before
    assert report.steps == 3 * 25
    assert made.lineage["teacher"] == wise.digest
    assert made.lineage["layers"] == [0, 2]


def test_the_engine_gives_the_teacher_s_logits(zoo: Callable[..., Path]) -> None:
    wise = fresh_teacher(zoo)
    rows = texts(70)
    wanted = logits.of(wise, rows)
    found = logits.by_engine(wise, rows, precision="fp32", batch_tokens=64)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    coarse = logits.by_engine(wise, rows)
    noise = np.linalg.norm(coarse - wanted) / np.linalg.norm(wanted - wanted.mean(axis=0))
    assert 0 < noise < 0.2


def test_logits_of_other_rows_or_labels_are_refused(zoo: Callable[..., Path]) -> None:
    young = students.every_other_layer(fresh_teacher(zoo, layers=2))
    rows = texts(10)
    with pytest.raises(InputError, match=r"\[9, 2\]; 10 rows"):
        distil.offline(young, rows, np.zeros((9, 2), np.float32))
    renamed = TrainingSet(texts=rows.texts, labels=rows.labels, names=("yes", "no"))
    with pytest.raises(InputError, match="are not the student's"):
        distil.offline(young, renamed, np.zeros((10, 2), np.float32))


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"soft_weight": 1.5}])
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(TrainingError):
        DistilConfig(**options)


def test_logits_are_computed_once_and_found_by_teacher_and_texts(
    zoo: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    wise = fresh_teacher(zoo, layers=2)
    rows = texts(30)
    first = logits.of(wise, rows, tmp_path)
    assert len(list(tmp_path.glob("*.parquet"))) == 1

    asked = []
    real = training.predict
    monkeypatch.setattr(
        logits.training, "predict", lambda *a, **k: asked.append(1) or real(*a, **k)
    )
    again = logits.of(wise, rows, tmp_path)
    np.testing.assert_array_equal(first, again)
    assert asked == []
    logits.of(wise, texts(31), tmp_path)  # other texts
    logits.of(wise, rows, tmp_path, precision="bf16")
    with torch.no_grad():
        wise.model.classifier.bias.add_(1.0)
    changed = Teacher(
        model=wise.model,
        source=wise.source,
        tokenizer=wise.tokenizer,
        labels=wise.labels,
        max_tokens=wise.max_tokens,
    )
    np.testing.assert_allclose(logits.of(changed, rows, tmp_path), first + 1.0, atol=1e-5)
    assert len(asked) == 3
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_or_misnamed_cache_is_an_error(zoo: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    wise = fresh_teacher(zoo, layers=2)
    rows, others = texts(12), texts(13)
    logits.of(wise, rows, tmp_path)
    (file,) = tmp_path.iterdir()
    logits.of(wise, others, tmp_path)
    (other,) = [path for path in tmp_path.iterdir() if path != file]
    file.write_bytes(other.read_bytes())
    with pytest.raises(InputError, match="another teacher or other texts"):
        logits.of(wise, rows, tmp_path)
    file.write_bytes(other.read_bytes()[:200])
    with pytest.raises(InputError, match="delete the file"):
        logits.of(wise, rows, tmp_path)
