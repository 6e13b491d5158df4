"""Narrower students against the choice written out in numpy; students from other encoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models
from limbeck.errors import InputError, ModelError, TrainingError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import limbeck  # noqa: E402
from limbeck.forge import distil, logits, narrowing, shapes, students, teacher  # noqa: E402
from limbeck.forge.checkpoint import Teacher  # noqa: E402
from limbeck.forge.distil import DistilConfig  # noqa: E402
from limbeck.forge.examples import training_set  # noqa: E402
from limbeck.forge.intermediate import IntermediateConfig  # noqa: E402
from limbeck.forge.narrowing import Width  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

Zoo = Callable[..., Path]
ARCHITECTURES = ("bert", "roberta", "distilbert")
TRAINING = TrainingConfig(epochs=1, learning_rate=1e-3, precision="fp32", max_tokens=32)
# the zoo's width is 72, 4 heads of 18, and 200 in between
WIDE = Width(hidden=72, heads=4, ffn=200)


def a_teacher(zoo: Zoo, architecture: str = "bert", layers: int = 4) -> Teacher:
    directory = zoo(architecture, "feature-extraction", shape=models.Shape(layers=layers))
    made = teacher.prepare(directory, ("no", "yes"), TRAINING)
    made.model.eval()
    return made


def arrays(model: object) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.state_dict().items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shape", ["2x36x2x100", "3x40x4x64", "1x18x1x8", "4x72x4x200"])
def test_shapes_are_exact_and_run_everywhere(
    zoo: Zoo, architecture: str, shape: str, tmp_path: Path
) -> None:
    wise = a_teacher(zoo, architecture)
    made = students.of_shape(wise, shape)
    layers, hidden, heads, ffn = (int(part) for part in shape.split("x"))
    config = made.model.config
    assert (config.num_hidden_layers, config.hidden_size) == (layers, hidden)
    assert config.num_attention_heads == heads
    assert getattr(config, "intermediate_size", None) or config.hidden_dim == ffn
    made.model.eval()
    made.save(tmp_path / "student")
    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    model = limbeck.load(str(tmp_path / "student"))
    encoder = model.spec.encoder
    assert (encoder.layers, encoder.hidden, encoder.heads, encoder.ffn) == (
        layers,
        hidden,
        heads,
        ffn,
    )
    ids = [row.ids for row in made.tokenizer.encode(["the cold house", "a view"], max_tokens=16)]
    with torch.no_grad():
        right = [again(torch.tensor([list(row)])).logits[0].numpy() for row in ids]
    np.testing.assert_allclose(model.forward(ids), right, atol=1e-4)
    assert made.lineage["shape"] == shape
    assert made.lineage["teacher"] == wise.digest


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full_width_is_the_teachers_layers_bit_for_bit(zoo: Zoo, architecture: str) -> None:
    wise = a_teacher(zoo, architecture)
    expected = arrays(students.from_layers(wise, (0, 3)).model)
    found = arrays(students.of_shape(wise, "2x72x4x200", layers=(0, 3)).model)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def keep(importance: np.ndarray, count: int) -> list[int]:
    return sorted(sorted(range(len(importance)), key=lambda i: -importance[i])[:count])


def test_slices_are_those_of_the_formula(zoo: Zoo) -> None:
    """All choices with plain loops over plain arrays."""
    wise = a_teacher(zoo, layers=2)
    weights = {name: value.astype(np.float64) for name, value in arrays(wise.model).items()}
    made = arrays(students.of_shape(wise, "2x32x2x50").model)

    def layer(number: int, name: str) -> np.ndarray:
        return weights[f"bert.encoder.layer.{number}.{name}.weight"]

    names = ("attention.self.query", "attention.self.key", "attention.self.value")
    hidden = np.zeros(72)
    table = weights["bert.embeddings.word_embeddings.weight"]
    hidden += (table**2).sum(axis=0) / (table**2).sum()
    for number in (0, 1):
        for name in (*names, "intermediate.dense"):  # these read
            matrix = layer(number, name)
            hidden += (matrix**2).sum(axis=0) / (matrix**2).sum()
        for name in ("attention.output.dense", "output.dense"):  # these write
            matrix = layer(number, name)
            hidden += (matrix**2).sum(axis=1) / (matrix**2).sum()
    across = keep(hidden, 32)

    def norm(vector: np.ndarray) -> float:
        return float(np.sqrt((vector**2).sum()))

    for number in (0, 1):
        query, key, value = (layer(number, name) for name in names)
        out = layer(number, "attention.output.dense")
        first, second = layer(number, "intermediate.dense"), layer(number, "output.dense")
        middle = keep(np.array([norm(first[f]) * norm(second[:, f]) for f in range(200)]), 50)
        does = np.array(
            [norm(out[:, h * 18 : h * 18 + 18] @ value[h * 18 : h * 18 + 18]) for h in range(4)]
        )
        qk, kept_values = [], []
        for h in keep(does, 2):
            rows = range(h * 18, h * 18 + 18)
            meets = np.array([norm(query[r]) * norm(key[r]) for r in rows])
            carries = np.array([norm(value[r]) * norm(out[:, r]) for r in rows])
            qk += [h * 18 + at for at in keep(meets, 16)]
            kept_values += [h * 18 + at for at in keep(carries, 16)]
        scale = np.sqrt(16 / 18)
        prefix = f"bert.encoder.layer.{number}."
        for name, rows, columns, factor in (
            ("attention.self.query", qk, across, scale),
            ("attention.self.key", qk, across, 1),
            ("attention.self.value", kept_values, across, 1),
            ("attention.output.dense", across, kept_values, 1),
            ("intermediate.dense", middle, across, 1),
            ("output.dense", across, middle, 1),
        ):
            expected = factor * layer(number, name)[rows][:, columns]
            np.testing.assert_allclose(made[f"{prefix}{name}.weight"], expected, rtol=1e-6)
            bias = factor * weights[f"{prefix}{name}.bias"][rows]
            np.testing.assert_allclose(made[f"{prefix}{name}.bias"], bias, rtol=1e-6)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            gain = weights[f"{prefix}{name}.weight"][across]
            np.testing.assert_allclose(made[f"{prefix}{name}.weight"], gain, rtol=1e-6)
    np.testing.assert_allclose(
        made["bert.embeddings.word_embeddings.weight"], table[:, across], rtol=1e-6
    )
    pooler = weights["bert.pooler.dense.weight"][across][:, across]
    np.testing.assert_allclose(made["bert.pooler.dense.weight"], pooler, rtol=1e-6)
    classifier = weights["classifier.weight"][:, across]
    np.testing.assert_allclose(made["classifier.weight"], classifier, rtol=1e-6)
    np.testing.assert_allclose(made["classifier.bias"], weights["classifier.bias"])


def test_random_students_have_a_seed_and_may_be_wider(zoo: Zoo) -> None:
    wise = a_teacher(zoo)
    one, same, other = (
        arrays(students.of_shape(wise, "5x96x6x300", init="random", seed=seed).model)
        for seed in (1, 1, 2)
    )
    name = "bert.encoder.layer.4.output.dense.weight"
    assert one[name].shape == (96, 300)
    np.testing.assert_array_equal(one[name], same[name])
    assert (one[name] != other[name]).any()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("2x70x4x100", "4 heads do not divide a width of 70"),
        ("2x0x4x100", "start at 1"),
        ("small", "no shape 'small'; write LAYERSxWIDTHxHEADSxFFN"),
        ("5x72x4x200", "layers 5, and the teacher has 4"),
        ("2x96x4x200", "width 96, and the teacher has 72"),
        ("2x72x6x200", "heads 6, and the teacher has 4"),
        ("2x72x2x200", "width of a head 36, and the teacher has 18"),
        ("2x72x4x201", "feed-forward layer 201, and the teacher has 200"),
        ("ALBERT-base", "limbeck does not run"),
    ],
)
def test_shapes_that_cannot_be(zoo: Zoo, shape: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        students.of_shape(a_teacher(zoo), shape)


def test_other_requests_that_cannot_be(zoo: Zoo) -> None:
    wise = a_teacher(zoo)
    with pytest.raises(InputError, match="takes no layers"):
        students.of_shape(wise, "2x36x2x100", init="random", layers=(0, 1))
    with pytest.raises(InputError, match="has 2 layers, and 3 are named"):
        students.of_shape(wise, "2x36x2x100", layers=(0, 1, 2))
    with pytest.raises(InputError, match="layers 0 to 3, each once; found 0, 9"):
        students.of_shape(wise, "2x36x2x100", layers=(0, 9))
    with pytest.raises(InputError, match="teacher or random, not 'zero'"):
        students.of_shape(wise, "2x36x2x100", init="zero")  # type: ignore[arg-type]
    odd = replace(shapes.named("2x36x2x100"), heads=5)
    with pytest.raises(InputError, match="5 heads do not divide"):
        students.of_shape(wise, odd)
    with pytest.raises(ModelError, match="not known how this tensor is made narrower"):
        narrowing.narrow({"strange.thing.weight": torch.zeros(2, 2)}, WIDE, WIDE)


def test_names_of_shapes() -> None:
    assert shapes.named("tinybert-4").hidden == 312
    assert shapes.named("2x128").ffn == 512
    assert shapes.named("4x312x12x1200").heads == 12


def some_rows(count: int = 24):
    texts = [f"the {'good' if at % 2 else 'bad'} house by road {at}" for at in range(count)]
    return training_set([(one, None, "yes" if "good" in one else "no") for one in texts])


def test_a_student_from_another_encoder_learns_answers_alone(zoo: Zoo, tmp_path: Path) -> None:
    wise = a_teacher(zoo)
    other = zoo("roberta", "feature-extraction", shape=models.Shape(hidden=36, positions=40))
    student = students.from_encoder(wise, other, seed=3)
    assert student.labels == wise.labels
    assert student.max_tokens == 32
    assert student.lineage["encoder"] == "roberta"
    rows = some_rows()
    config = DistilConfig(training=TRAINING)
    made, report = distil.offline(student, rows, logits.of(wise, rows), config)
    assert report.steps == 1
    made.save(tmp_path / "made")
    assert limbeck.load(str(tmp_path / "made")).spec.encoder.architecture == "roberta"


def test_another_vocabulary_has_no_tokens_to_compare(zoo: Zoo, tmp_path: Path) -> None:
    """As many entries, in another order: the same number of tokens, and not the same tokens."""
    wise = a_teacher(zoo)
    plain = zoo("bert", "feature-extraction", shape=models.Shape(layers=2))
    other = tmp_path / "other"
    other.mkdir()
    for file in plain.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    words = other / "tokenizer.json"
    swapped = words.read_text().replace('"house"', '"h0use"').replace('"river"', '"house"')
    words.write_text(swapped.replace('"h0use"', '"river"'))
    rows = some_rows()
    wanted = logits.of(wise, rows)
    config = DistilConfig(training=TRAINING, inside=IntermediateConfig(hidden_weight=1.0))
    with pytest.raises(InputError, match="same tokens"):
        distil.offline(students.from_encoder(wise, other), rows, wanted, config, teacher=wise)
    distil.offline(students.from_encoder(wise, plain), rows, wanted, config, teacher=wise)
    with pytest.raises(TrainingError, match="teacher="):
        distil.offline(students.from_encoder(wise, plain), rows, wanted, config)
