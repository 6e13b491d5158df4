"""The training loop: batches, schedule, seeds, time limit, and losses that are not finite."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models
from limbeck.errors import InputError, ModelError, TrainingError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from limbeck.forge import averaging, loop, teacher, training  # noqa: E402
from limbeck.forge.examples import UNLABELLED, TrainingSet, split_off, training_set  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

GOOD, BAD = ["good", "great", "nice", "clean", "warm"], ["bad", "cold", "small", "old", "late"]
FILLER = ["the", "house", "room", "view", "walk"]


def sentiment(count: int, seed: int = 0) -> TrainingSet:
    """Texts whose class a bag of words can tell."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        label = draw.choice(("bad", "good"))
        words = draw.choices(GOOD if label == "good" else BAD, k=2)
        words += draw.choices(FILLER, k=draw.randint(1, 20))
        draw.shuffle(words)
        rows.append((" ".join(words), None, label))
    return training_set(rows)


CONFIG = TrainingConfig(
    epochs=4, batch_size=16, learning_rate=1e-3, precision="fp32", max_tokens=32, seed=3
)


@pytest.fixture(scope="module")
def encoder(zoo: Callable[..., Path]) -> Path:
    return zoo("bert", "feature-extraction")


def weights(model: object) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])  # type: ignore[attr-defined]


def test_fine_tuning_learns(encoder: Path) -> None:
    made, report = teacher.finetune(encoder, sentiment(300), CONFIG)
    held_out = sentiment(200, seed=9)
    logits = training.predict(made.model, training.tokenise(made.tokenizer, held_out, 32))
    assert (logits.argmax(axis=1) == held_out.labels).mean() > 0.9
    assert report.last_loss < 0.5 * report.first_loss
    assert report.steps == report.planned_steps == 4 * 19
    assert report.rows_seen == 4 * 300
    assert report.stopped_by == "steps"
    assert made.labels == ("bad", "good")


def test_a_seed_gives_the_same_weights_again_and_leaves_the_callers_generator_alone(
    encoder: Path,
) -> None:
    rows = sentiment(64)
    config = TrainingConfig(epochs=1, batch_size=16, precision="fp32", max_tokens=32, seed=5)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, _ = teacher.finetune(encoder, rows, config)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(99)
    second, _ = teacher.finetune(encoder, rows, config)
    assert np.array_equal(weights(first.model), weights(second.model))
    assert first.digest == second.digest
    other = TrainingConfig(epochs=1, batch_size=16, precision="fp32", max_tokens=32, seed=6)
    third, _ = teacher.finetune(encoder, rows, other)
    assert not np.array_equal(weights(first.model), weights(third.model))


def test_a_loss_that_is_not_finite_names_step_and_rows(encoder: Path) -> None:
    rows = sentiment(40)
    start = teacher.prepare(encoder, rows.names, CONFIG)
    tokenised = training.tokenise(start.tokenizer, rows, 32)

    def loss(logits: torch.Tensor, indexes: np.ndarray, batch: object) -> torch.Tensor:
        value = logits.square().mean()
        return value * float("nan") if 17 in indexes else value

    with pytest.raises(TrainingError, match=r"nan.* at step \d+ of 12 .*\[.*\b17\b.*\]"):
        loop.run(start.model, tokenised, loss, CONFIG, "test")


def test_a_gradient_that_is_not_finite_stops_too(encoder: Path) -> None:
    rows = sentiment(20)
    start = teacher.prepare(encoder, rows.names, CONFIG)
    tokenised = training.tokenise(start.tokenizer, rows, 32)

    def loss(logits: torch.Tensor, indexes: np.ndarray, batch: object) -> torch.Tensor:
        return (logits - logits.detach()).abs().sum().sqrt()  # 0, and a slope without end

    with pytest.raises(TrainingError, match=r"gradient norm (nan|inf)"):
        loop.run(start.model, tokenised, loss, CONFIG, "test")


def test_max_seconds_ends_the_schedule_early(encoder: Path) -> None:
    config = TrainingConfig(
        epochs=10_000, batch_size=16, precision="fp32", max_tokens=32, max_seconds=1.0
    )
    _, report = teacher.finetune(encoder, sentiment(64), config)
    assert report.stopped_by == "seconds"
    assert 0 < report.steps < report.planned_steps
    assert report.seconds < 5


def test_batches_come_in_few_widths() -> None:
    lengths = range(1, 513)
    widths = [training.padded_length(length, 512) for length in lengths]
    assert all(0 <= width - length <= length / 8 for length, width in zip(lengths, widths))
    assert len(set(widths[:128])) == 40
    assert widths == sorted(widths)
    # the longest row of all fits where it fitted before: positions are not invented
    assert training.padded_length(129, 130) == 130


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_dropout_is_set_everywhere(zoo: Callable[..., Path], architecture: str) -> None:
    config = TrainingConfig(dropout=0.25)
    directory = zoo(architecture, "feature-extraction")
    model = teacher.prepare(directory, ("bad", "good"), config).model
    found = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert found == {0.25}


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_embeddings_stay_as_they_are(encoder: Path, frozen: bool) -> None:
    config = TrainingConfig(
        epochs=1, batch_size=8, precision="fp32", max_tokens=16, freeze_embeddings=frozen
    )
    prepared = teacher.prepare(encoder, ("bad", "good"), config)
    before = prepared.model.get_input_embeddings().weight.detach().clone()
    made, _ = teacher.finetune(prepared, sentiment(32), config)
    after = made.model.get_input_embeddings().weight
    assert torch.equal(before, after) == frozen
    assert after.requires_grad


def test_the_rate_rises_then_falls_to_nothing() -> None:
    rates = [loop.rate_at(share, 0.1) for share in np.linspace(0, 1, 101)]
    assert rates[0] == 0
    assert rates[10] == pytest.approx(1)
    assert rates[100] == 0
    assert rates[55] == pytest.approx(0.5)
    assert np.argmax(rates) == 10
    assert loop.rate_at(1.2, 0.1) == 0


def test_batches_cover_every_row_once_with_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(4, 120, 3000)
    batches = list(training.bucketed_batches(lengths, 32, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches)) == list(range(3000))
    assert all(len(batch) <= 32 for batch in batches)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.1 * lengths.sum()
    again = list(training.bucketed_batches(lengths, 32, np.random.default_rng(2)))
    assert [set(batch) for batch in batches] != [set(batch) for batch in again]


def test_padding_does_not_change_the_logits(zoo: Callable[..., Path]) -> None:
    for architecture in ("bert", "distilbert", "roberta"):
        start = teacher.prepare(zoo(architecture, "feature-extraction"), ("a", "b"), CONFIG)
        start.model.eval()
        rows = sentiment(9)
        tokenised = training.tokenise(start.tokenizer, rows, 32)
        together = training.predict(start.model, tokenised)
        alone = training.predict(start.model, tokenised, batch_tokens=1)
        np.testing.assert_allclose(together, alone, atol=1e-5)


def test_predict_keeps_the_rows_in_order(encoder: Path) -> None:
    start = teacher.prepare(encoder, ("a", "b"), CONFIG)
    rows = sentiment(50)
    logits = training.predict(start.model, training.tokenise(start.tokenizer, rows, 32))
    order = np.random.default_rng(0).permutation(50)
    shuffled = training.tokenise(start.tokenizer, rows.take(order), 32)
    np.testing.assert_allclose(training.predict(start.model, shuffled), logits[order], atol=1e-5)
    assert np.ptp(logits, axis=0).min() > 1e-3


def test_the_probe_times_both_and_changes_nothing(encoder: Path) -> None:
    start = teacher.prepare(encoder, ("a", "b"), CONFIG)
    before = weights(start.model)
    tokenised = training.tokenise(start.tokenizer, sentiment(64), 32)
    probe = training.probe_precision(start.model, tokenised, 16)
    assert np.array_equal(before, weights(start.model))
    assert all(p.grad is None for p in start.model.parameters())
    assert probe.chosen == ("bf16" if probe.bf16_s < 0.9 * probe.fp32_s else "fp32")


def test_norms_and_biases_are_not_decayed(encoder: Path) -> None:
    start = teacher.prepare(encoder, ("a", "b"), CONFIG)
    decayed, free = training.parameter_groups(start.model, 0.1)
    assert decayed["weight_decay"] == 0.1
    assert free["weight_decay"] == 0.0
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in free["params"]} == {1}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", None, "x"), ("b", None, "x")], "one label 'x'"),
        ([("a", None, "x"), ("b", None, None)], "1 of 2 rows have no label, the first is row 2"),
    ],
)
def test_a_teacher_needs_labels(
    encoder: Path, rows: list[tuple[str, str | None, str | None]], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        teacher.finetune(encoder, training_set(rows), CONFIG)


def test_a_directory_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        teacher.finetune(tmp_path, sentiment(8), CONFIG)


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"batch_size": -1},
        {"learning_rate": 0.0},
        {"precision": "fp16"},
        {"max_seconds": 0.0},
        {"warmup_share": 1.0},
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(TrainingError):
        TrainingConfig(**options)  # type: ignore[arg-type]


def test_labels_are_numbered_by_value_or_alphabet() -> None:
    assert training_set([("a", None, "10"), ("b", None, "9")]).names == ("9", "10")
    assert training_set([("a", None, "pos"), ("b", None, "neg")]).names == ("neg", "pos")
    found = training_set([("a", None, "pos"), ("b", None, None)], ("neg", "pos"))
    assert found.labels.tolist() == [1, UNLABELLED]
    with pytest.raises(InputError, match="row 2 has label 'other'"):
        training_set([("a", None, "pos"), ("b", None, "other")], ("neg", "pos"))
    with pytest.raises(InputError, match="row 2"):
        training_set([("a", "b", "x"), ("a", None, "y")])
    with pytest.raises(TrainingError, match="no rows"):
        training_set([])


def test_digests_tell_texts_pairs_and_labels_apart() -> None:
    def digests(rows: list[tuple[str, str | None, str | None]]) -> tuple[str, str]:
        made = training_set(rows, ("x", "y"))
        return made.text_digest, made.digest

    base = digests([("ab", None, "x"), ("c", None, "y")])
    assert base == digests([("ab", None, "x"), ("c", None, "y")])
    moved = digests([("a", None, "x"), ("bc", None, "y")])
    relabelled = digests([("ab", None, "y"), ("c", None, "y")])
    paired = digests([("ab", "", "x"), ("c", "", "y")])
    assert len({base[0], moved[0], paired[0]}) == 3
    assert relabelled[0] == base[0]
    assert relabelled[1] != base[1]


def test_held_out_rows_share_no_text_with_the_rest() -> None:
    rows = sentiment(400)
    doubled = rows.take([*range(400), *range(400)])
    kept, held = split_off(doubled, 0.25, seed=1)
    assert len(kept) + len(held) == 800
    assert not set(kept.texts) & set(held.texts)
    assert 0.2 < len(held) / 800 < 0.3
    assert abs(held.labels.mean() - rows.labels.mean()) < 0.05
    assert len(split_off(rows, 0.5, seed=1, at_most=20)[1]) in (19, 20, 21)


def test_the_average_of_weights_written_out(encoder: Path) -> None:
    """Against the plain recursion over every fourth step, with the decay of its number."""
    seen: list[np.ndarray] = []

    def note(model: object) -> None:
        seen.append(weights(model))

    made = teacher.prepare(encoder, ("bad", "good"), CONFIG)
    average = averaging.WeightAverage(made.model, 0.9)
    note(made.model)
    generator = torch.Generator().manual_seed(1)
    for _ in range(22):
        with torch.no_grad():
            for parameter in made.model.parameters():
                parameter += 0.01 * torch.randn(parameter.shape, generator=generator)
        average.update()
        note(made.model)
    average.apply()
    wanted = seen[0].astype(np.float64)
    for step in range(4, 23, 4):
        decay = min(0.9, (1 + step) / (10 + step)) ** 4
        wanted = decay * wanted + (1 - decay) * seen[step]
    np.testing.assert_allclose(weights(made.model), wanted, atol=1e-5)
    assert np.abs(weights(made.model) - seen[-1]).max() > 1e-3


def test_training_may_end_with_averaged_weights(encoder: Path) -> None:
    averaged = replace(CONFIG, average_decay=0.9)
    made, _ = teacher.finetune(encoder, sentiment(300), averaged)
    last, _ = teacher.finetune(encoder, sentiment(300), CONFIG)
    assert not np.array_equal(weights(made.model), weights(last.model))
    held_out = sentiment(200, seed=9)
    logits = training.predict(made.model, training.tokenise(made.tokenizer, held_out, 32))
    assert (logits.argmax(axis=1) == held_out.labels).mean() > 0.9
    for decay in (0.0, 1.0, float("nan")):
        with pytest.raises(TrainingError, match="average_decay must be in"):
            replace(CONFIG, average_decay=decay)


def test_a_run_shorter_than_the_averages_step_keeps_its_weights(encoder: Path) -> None:
    short = replace(CONFIG, epochs=3 / 19)
    made, report = teacher.finetune(encoder, sentiment(300), replace(short, average_decay=0.9))
    last, _ = teacher.finetune(encoder, sentiment(300), short)
    assert report.steps == 3
    np.testing.assert_array_equal(weights(made.model), weights(last.model))
