"""Training under int8's rounding: for every task, in both kinds of ranges, with zeros locked, and
what the artifact then holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
import task_rows
from limbeck import artifact
from limbeck.errors import InputError, ModelError, TrainingError
from limbeck.spec import QuantSpec

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import checkpoint, logits, teacher  # noqa: E402
from limbeck.forge.checkpoint import Checkpoint, Quantized  # noqa: E402
from limbeck.forge.distil import DistilConfig  # noqa: E402
from limbeck.forge.examples import TrainingSet, training_set  # noqa: E402
from limbeck.forge.export import export  # noqa: E402
from limbeck.forge.quantize import fake, ranges  # noqa: E402
from limbeck.forge.quantize.parts import linear_layers, word_table  # noqa: E402
from limbeck.forge.quantize.qat import QatConfig, qat  # noqa: E402
from limbeck.forge.rows import Rows  # noqa: E402
from limbeck.forge.saves import Saves  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

TRAINING = TrainingConfig(
    epochs=2, batch_size=16, learning_rate=2e-4, precision="fp32", max_tokens=48
)
CONFIG = QatConfig(distil=DistilConfig(training=TRAINING))
SHAPE = models.Shape(layers=2, hidden=48, heads=4, ffn=96, positions=64)


def texts(count: int, seed: int = 0) -> TrainingSet:
    draw = np.random.default_rng(seed)
    words = ["good", "bad", "warm", "cold", "old", "new", "quiet", "house", "room", "view"]
    rows = []
    for _ in range(count):
        chosen = draw.choice(words, draw.integers(3, 12)).tolist()
        rows.append((" ".join(chosen), None, "yes" if "good" in chosen else "no"))
    return training_set(rows, ("no", "yes"))


def fresh(zoo: Callable[..., Path], rows: Rows, architecture: str = "bert") -> Checkpoint:
    directory = zoo(architecture, "feature-extraction", shape=SHAPE)
    how = dataclasses.replace(TRAINING, max_tokens=48)
    made = teacher.prepare(directory, rows.names, how, rows.problem, rows.task)
    made.model.eval()
    return made


def stored_as_trained(made: Checkpoint, directory: Path) -> None:
    """The artifact's integers and scales are those that the last pass of training would see."""
    with artifact.read(directory) as stored:
        for name, _, layer in linear_layers(made.model):
            tensor = stored.weights[f"{name}.weight"]
            whole, scale = fake.quantize_rows(layer.weight.detach())
            assert np.array_equal(whole.numpy(), tensor.stored())
            assert np.array_equal(scale.numpy(), tensor.scale)
        whole, scale = fake.quantize_rows(word_table(made.model).weight.detach())
        assert np.array_equal(whole.numpy(), stored.weights["embeddings.word"].values)


@pytest.mark.parametrize(
    "rows",
    [texts(60), task_rows.tags(40), task_rows.questions(30), task_rows.sentences(40)],
    ids=["text", "tags", "questions", "sentences"],
)
def test_every_task(zoo: Callable[..., Path], tmp_path: Path, rows: Rows) -> None:
    model = fresh(zoo, rows)
    answers = logits.of(model, rows)
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    made, report = qat(model, rows, answers, CONFIG)
    assert isinstance(made, Quantized)
    assert made.task == rows.task
    assert report.precision == "fp32"
    after = made.model.state_dict()
    assert set(after) == set(before)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert made.lineage["step"] == "qat"
    again = checkpoint.load(made.save(tmp_path / "made"), made.task)
    assert again.digest == made.digest
    out = tmp_path / "artifact"
    export(made, out)
    stored_as_trained(made, out)


def test_static_ranges_travel_with_the_model(zoo: Callable[..., Path], tmp_path: Path) -> None:
    rows = texts(60)
    model = fresh(zoo, rows, "distilbert")
    answers = logits.of(model, rows)
    config = dataclasses.replace(CONFIG, activations="static", observer="percentile", calibrate=20)
    made, _ = qat(model, rows, answers, config)
    noted = made.lineage[ranges.KEY]
    assert len(noted) == 4 * SHAPE.layers
    directory = made.save(tmp_path / "made")
    for name, source in (("value", made), ("loaded", checkpoint.load(directory)), ("d", directory)):
        out = tmp_path / name
        export(source, out)
        with artifact.read(out) as stored:
            assert stored.spec.quant == QuantSpec(precision="int8", activations="static")
            for range_name, ends in noted.items():
                assert stored.weights[range_name].values.tolist() == np.float32(ends).tolist()
    stored_as_trained(made, tmp_path / "value")
    # other texts win over what it brings; trained on without, it has none
    export(made, tmp_path / "other", calibrate=rows.texts[:9], observer="minmax")
    with artifact.read(tmp_path / "other") as stored:
        assert (
            stored.weights["layers.0.attention.range"].values.tolist()
            != np.float32(noted["layers.0.attention.range"]).tolist()
        )
    export(made, tmp_path / "floats", "fp32")
    plain, _ = qat(made, rows, answers, CONFIG)
    assert ranges.of_lineage(plain.lineage) is None
    assert ranges.of_lineage({**made.lineage, "step": "distil"}) is None
    with pytest.raises(ModelError, match="low and a high end"):
        ranges.of_lineage({"step": "qat", ranges.KEY: {"layers.0.attention.range": [1]}})


def test_zeros_stay_zero_and_what_is_pruned_stays_block_sparse(
    zoo: Callable[..., Path], tmp_path: Path
) -> None:
    rows = texts(60)
    model = fresh(zoo, rows)
    draw = np.random.default_rng(0)
    masks = {}
    with torch.no_grad():
        for name, _, layer in linear_layers(model.model):
            height, width = layer.weight.shape
            kept = np.kron(draw.random((height // 4, width // 4)) < 0.3, np.ones((4, 4)))
            if name == "layers.1.ffn.in":
                kept[:8] = 0  # whole rows
            masks[name] = torch.from_numpy(kept.astype(np.float32))
            layer.weight *= masks[name]
    answers = logits.of(model, rows)
    before = {name: layer.weight.detach().clone() for name, _, layer in linear_layers(model.model)}
    made, _ = qat(model, rows, answers, CONFIG)
    assert 0.6 < made.lineage["zeros_locked"] < 0.8
    for name, _, layer in linear_layers(made.model):
        assert not layer.weight.detach()[masks[name] == 0].any()
        assert not torch.equal(layer.weight.detach(), before[name])
    export(made, tmp_path / "artifact")
    stored_as_trained(made, tmp_path / "artifact")
    with artifact.read(tmp_path / "artifact") as stored:
        assert stored.weights["layers.0.ffn.in.weight"].block is not None


def test_it_gives_back_what_rounding_took(zoo: Callable[..., Path]) -> None:
    """Coarse weights: the answers under rounding come nearer to those without."""
    rows = texts(120)
    model = fresh(zoo, rows)
    with torch.no_grad():
        for _, _, layer in linear_layers(model.model):
            layer.weight[:, 0] += 3.0  # an outlier in every row leaves few steps for the rest
    answers = logits.of(model, rows)

    def error() -> float:
        with fake.fake_quantised(model.model):
            return float(np.square(logits.of(model, rows) - answers).mean())

    first = error()
    config = QatConfig(
        distil=DistilConfig(
            soft_weight=1.0,
            soft_loss="mse",
            training=dataclasses.replace(TRAINING, epochs=6, dropout=0.0, learning_rate=1e-4),
        )
    )
    for module in model.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    qat(model, rows, answers, config)
    assert error() < 0.5 * first


def test_it_goes_on_after_an_interruption_to_the_same_bits(
    zoo: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = texts(60)
    start = fresh(zoo, rows).save(tmp_path / "start")
    answers = logits.of(checkpoint.load(start), rows)
    whole, _ = qat(checkpoint.load(start), rows, answers, CONFIG)
    saves = Saves(directory=tmp_path / "saves", every_s=0)

    from limbeck.forge import training

    real, calls = training.collate, 0

    def stopped(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(training, "collate", stopped)
    with pytest.raises(KeyboardInterrupt):
        qat(checkpoint.load(start), rows, answers, CONFIG, saves=saves)
    monkeypatch.setattr(training, "collate", real)
    rest, report = qat(checkpoint.load(start), rows, answers, CONFIG, saves=saves)
    assert report.steps == 8
    assert rest.digest == whole.digest


def test_bad_settings_and_inputs(zoo: Callable[..., Path]) -> None:
    for bad in ({"activations": "odd"}, {"observer": "median"}, {"calibrate": 0}):
        with pytest.raises(TrainingError):
            QatConfig(**bad)  # type: ignore[arg-type]
    rows = texts(20)
    model = fresh(zoo, rows)
    with pytest.raises(InputError):
        qat(model, rows, np.zeros((3, 2), np.float32), CONFIG)
    with torch.no_grad():
        next(linear_layers(model.model))[2].weight[0, 0] = float("nan")
    with pytest.raises(TrainingError, match="training for int8"):
        qat(model, rows, np.zeros((20, 2), np.float32), CONFIG)
    assert not any("forward" in vars(module) for module in model.model.modules())
