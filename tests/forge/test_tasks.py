"""Every task from rows to a verified artifact: fine-tuned, distilled, exported and evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import limbeck
import models
from limbeck.errors import InputError, TrainingError
from limbeck.evaluation.examples import Examples
from limbeck.evaluation.scorers import score

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import task_rows  # noqa: E402
from limbeck.forge import (  # noqa: E402
    asking,
    checkpoint,
    distil,
    export,
    logits,
    online,
    quality,
    students,
    teacher,
    training,
)
from limbeck.forge.answers import Packed  # noqa: E402
from limbeck.forge.intermediate import IntermediateConfig  # noqa: E402
from limbeck.forge.rows import Rows  # noqa: E402
from limbeck.forge.saves import Saves  # noqa: E402
from limbeck.forge.shapes import StudentShape  # noqa: E402
from limbeck.forge.training import TrainingConfig  # noqa: E402

pytestmark = pytest.mark.torch

CONFIG = TrainingConfig(
    epochs=8, batch_size=16, learning_rate=1e-3, precision="fp32", max_tokens=64, dropout=0.0
)
MAKE: dict[str, Callable[..., Rows]] = {
    "token-classification": task_rows.tags,
    "question-answering": task_rows.questions,
    "sentence-embedding": task_rows.sentences,
}
METRICS = {
    "token-classification": "span F1",
    "question-answering": "F1",
    "sentence-embedding": "Spearman",
}


def examples(rows: Rows) -> Examples:
    """The rows as `limbeck evaluate` reads them."""
    if rows.task == "token-classification":
        tags = [tuple(rows.names[tag] for tag in some) for some in rows.tags]
        return Examples(
            problem="token-classification",
            texts=rows.texts,
            targets=tuple(tags),
            words=rows.words,
        )
    if rows.task == "question-answering":
        right = tuple(tuple(one.text for one in some) for some in rows.answers)
        return Examples(
            problem="question-answering", texts=rows.questions, pairs=rows.contexts, targets=right
        )
    return Examples(
        problem="similarity", texts=rows.texts, pairs=rows.pairs, targets=tuple(rows.labels)
    )


@pytest.mark.parametrize("task", list(MAKE))
def test_from_rows_to_an_artifact(zoo: Callable[..., Path], tmp_path: Path, task: str) -> None:
    pytest.importorskip("pyarrow")
    rows, held_out = MAKE[task](400), MAKE[task](100, seed=1)
    encoder = zoo("bert", "feature-extraction", shape=models.Shape(layers=4))
    start = teacher.prepare(encoder, rows.names, CONFIG, rows.problem, rows.task)
    before = quality.of(start, held_out)
    assert before.metric == METRICS[task]
    wise, report = teacher.finetune(start, rows, CONFIG)
    assert report.last_loss < 0.5 * report.first_loss
    reached = quality.of(wise, held_out)
    assert reached.rows == 100
    assert reached.value > max(0.75, before.value + 0.2)

    # read back: the same answers, the same digest, the same lineage
    again = checkpoint.load(wise.save(tmp_path / "teacher"))
    assert (again.task, again.labels, again.max_tokens) == (task, rows.names, 64)
    assert again.digest == wise.digest
    assert again.lineage["data"] == rows.digest
    assert quality.of(again, held_out) == reached

    more = MAKE[task](200, seed=2).without_labels()
    together = rows.joined(more)
    wanted = logits.of(again, together, tmp_path / "logits")
    np.testing.assert_array_equal(
        values(logits.of(again, together, tmp_path / "logits")), values(wanted)
    )
    young = students.every_other_layer(again)
    how = distil.DistilConfig(soft_weight=0.8, training=CONFIG)
    young, _ = distil.offline(young, together, wanted, how)
    learned = quality.of(young, held_out)
    assert learned.value > 0.7
    assert young.lineage["teacher"] == again.digest
    assert young.lineage["rows"] == 600

    saved = young.save(tmp_path / "student")
    loaded = limbeck.load(saved)
    by_engine = logits.by_engine(young, held_out, precision="fp32")
    np.testing.assert_allclose(
        values(by_engine), values(logits.of(young, held_out)), atol=2e-3, rtol=2e-3
    )
    assert loaded.spec.task.task == task
    scored = score(loaded, examples(held_out))
    everyone = np.arange(len(held_out))
    assert scored.metrics[METRICS[task]](everyone) == pytest.approx(learned.value, abs=1e-6)
    for precision in ("fp32", "int8"):
        made = export.export(young, tmp_path / precision, precision)
        assert made.report.passed
        model = limbeck.load(tmp_path / precision)
        assert model.spec.task.task == task
        found = score(model, examples(held_out)).metrics[METRICS[task]](everyone)
        assert found == pytest.approx(learned.value, abs=0.05)


def values(answers: object) -> np.ndarray:
    return answers.values if isinstance(answers, Packed) else answers


@pytest.mark.parametrize("task", list(MAKE))
def test_transformers_reads_what_was_saved(
    zoo: Callable[..., Path], tmp_path: Path, task: str
) -> None:
    rows = MAKE[task](6)
    made = teacher.prepare(zoo("roberta", "feature-extraction"), rows.names, CONFIG, rows.problem,
                           rows.task)  # fmt: skip
    made.model.eval()
    saved = made.save(tmp_path / "model")
    found = logits.of(made, rows)
    if task == "sentence-embedding":
        theirs = pytest.importorskip("sentence_transformers").SentenceTransformer(
            str(saved), device="cpu"
        )
        np.testing.assert_allclose(
            theirs.encode([*rows.texts, *rows.pairs]), found, atol=1e-5, rtol=1e-4
        )
        return
    classes = {
        "token-classification": transformers.AutoModelForTokenClassification,
        "question-answering": transformers.AutoModelForQuestionAnswering,
    }
    model = classes[task].from_pretrained(saved).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(saved)
    for index in range(len(rows)):
        if task == "question-answering":
            texts = rows.questions[index], rows.contexts[index]
        else:
            texts = (rows.texts[index],)
        with torch.inference_mode():
            output = model(**tokenizer(*texts, return_tensors="pt"))
        expected = output.logits if "logits" in output else torch.stack(
            [output.start_logits, output.end_logits], -1
        )  # fmt: skip
        np.testing.assert_allclose(found.window(index), expected[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("task", list(MAKE))
def test_the_seed_decides(zoo: Callable[..., Path], task: str) -> None:
    rows = MAKE[task](48)
    config = replace(CONFIG, epochs=1)
    made = [
        teacher.finetune(zoo("distilbert", "feature-extraction"), rows, one)[0].digest
        for one in (config, config, replace(config, seed=5))
    ]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize("task", list(MAKE))
def test_a_run_goes_on_from_its_state(
    zoo: Callable[..., Path], tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, encoder = MAKE[task](48), zoo("bert", "feature-extraction")
    config = replace(CONFIG, epochs=2)
    whole, report = teacher.finetune(encoder, rows, config)
    real, seen = training.collate, []

    def interrupted(*arguments: object) -> object:
        seen.append(arguments)
        if len(seen) == report.steps // 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(training, "collate", interrupted)
    saves = Saves(directory=tmp_path, every_s=0)
    with pytest.raises(KeyboardInterrupt):
        teacher.finetune(encoder, rows, config, saves=saves)
    again, _ = teacher.finetune(encoder, rows, config, saves=saves)
    assert len(seen) < 2 * report.steps
    assert again.digest == whole.digest


@pytest.mark.parametrize("task", list(MAKE))
def test_several_teachers_peers_and_the_inside(zoo: Callable[..., Path], task: str) -> None:
    rows, held_out = MAKE[task](200), MAKE[task](40, seed=1)
    encoder = zoo("bert", "feature-extraction")
    short = replace(CONFIG, epochs=4)
    wise = [teacher.finetune(encoder, rows, replace(short, seed=seed))[0] for seed in (0, 1)]
    for how in ("mean", "weighted"):
        both = asking.ask(wise, rows, how, held_out=held_out)
        assert values(both).shape == values(logits.of(wise[0], rows)).shape
    config = distil.DistilConfig(
        training=short, inside=IntermediateConfig(cosine_weight=0.1, relation_weight=0.1)
    )
    young = students.every_other_layer(wise[0], beside=wise[1:])
    young, report = distil.offline(young, rows, both, config, teacher=wise[0])
    assert np.isfinite(report.last_loss)
    peers = [students.every_other_layer(one, 2) for one in wise]
    peers, report = online.online(peers, rows, distil.DistilConfig(training=short))
    assert report.last_loss < report.first_loss
    assert [one.lineage["step"] for one in peers] == ["online", "online"]


@pytest.mark.parametrize("task", list(MAKE))
def test_padding_changes_nothing(zoo: Callable[..., Path], task: str) -> None:
    """A short row beside a long one has the loss and the gradients that it has alone."""
    from limbeck.forge.objectives import objective

    rows = MAKE[task](12)
    made = teacher.prepare(zoo("bert", "feature-extraction"), rows.names, CONFIG, rows.problem,
                           rows.task)  # fmt: skip
    made.model.eval()
    whole = objective(rows, made.tokenizer, 64)
    wise = values(logits.of(made, rows)).copy()
    answers = logits.of(made, rows)
    answers = (
        replace(answers, values=wise[::-1].copy()) if isinstance(answers, Packed) else wise * 2
    )
    order = np.argsort(whole.tokens.lengths, kind="stable")
    pair = np.array([order[0], order[-1]])
    assert whole.tokens.lengths[pair[0]] < whole.tokens.lengths[pair[1]]
    weight = {
        "token-classification": [float(whole.scored[slice(*whole.tokens.offsets[i : i + 2])].sum())
                                 for i in pair] if task == "token-classification" else [],
    }.get(task, [1.0, 1.0])  # fmt: skip

    def losses(indexes: np.ndarray) -> tuple[list[float], np.ndarray]:
        batch = training.collate(made.model, whole.tokens, indexes)
        found = training.forward(made.model, batch, "fp32")
        wanted = whole.of(answers, indexes, batch)
        hard = whole.hard(found, indexes, batch)
        soft = [whole.soft(found, wanted, indexes, batch, kind, 2.0) for kind in ("kl", "mse")]
        made.model.zero_grad()
        (hard + (soft[0] if task != "sentence-embedding" else 0.0)).backward()
        gradient = made.model.base_model.embeddings.word_embeddings.weight.grad.numpy().copy()
        return [hard.item(), soft[0].item(), soft[1].item()], gradient

    together, slope = losses(pair)
    alone = [losses(pair[place : place + 1]) for place in (0, 1)]
    shares = np.array(weight) / sum(weight)
    expected = sum(share * np.array(one[0]) for share, one in zip(shares, alone))
    count = 1 if task == "sentence-embedding" else 2
    np.testing.assert_allclose(together[:count], expected[:count], rtol=2e-4)
    np.testing.assert_allclose(
        slope, sum(share * one[1] for share, one in zip(shares, alone)), atol=2e-5
    )


@pytest.mark.parametrize("task", list(MAKE))
def test_students_of_another_shape(zoo: Callable[..., Path], tmp_path: Path, task: str) -> None:
    rows, held_out = MAKE[task](200), MAKE[task](40, seed=1)
    short = replace(CONFIG, epochs=4)
    wise, _ = teacher.finetune(zoo("bert", "feature-extraction"), rows, short)
    answers = logits.of(wise, rows)
    narrow = models.Shape(layers=2, hidden=48, ffn=100)
    young = [students.from_encoder(wise, zoo("distilbert", "feature-extraction", shape=narrow))]
    if task == "sentence-embedding":  # vectors are compared number by number
        with pytest.raises(InputError, match="48 numbers of a vector"):
            distil.offline(young[0], rows, answers)
        young = [students.from_encoder(wise, zoo("distilbert", "feature-extraction"))]
    else:
        shape = StudentShape(name="cut", layers=2, hidden=36, heads=2, ffn=100)
        young.append(students.of_shape(wise, shape))
    for one in young:
        assert (one.task, one.labels) == (task, rows.names)
        before = quality.of(one, held_out).value
        made, report = distil.offline(one, rows, answers, distil.DistilConfig(training=short))
        assert report.last_loss < report.first_loss
        assert quality.of(made, held_out).value > before


def test_what_does_not_fit_is_refused(zoo: Callable[..., Path], tmp_path: Path) -> None:
    encoder = zoo("bert", "feature-extraction")
    rows = {task: make(8) for task, make in MAKE.items()}
    made = {
        task: teacher.prepare(encoder, some.names, CONFIG, some.problem, some.task)
        for task, some in rows.items()
    }
    tags, asked = made["token-classification"], made["question-answering"]
    with pytest.raises(InputError, match="rows are for question-answering, and the model for tok"):
        logits.of(tags, rows["question-answering"])
    with pytest.raises(TrainingError, match="rows are for token-classification, and the model"):
        teacher.finetune(asked, rows["token-classification"], CONFIG)
    young = students.every_other_layer(tags)
    answers = logits.of(tags, rows["token-classification"])
    with pytest.raises(InputError, match="read other tokens"):
        distil.offline(young, rows["token-classification"].take(range(7)), answers)
    with pytest.raises(InputError, match="answers are not those of token-classification"):
        distil.offline(young, rows["token-classification"], answers.values)
    with pytest.raises(InputError, match="for question-answering, the rows for token-class"):
        distil.offline(
            young, rows["token-classification"], logits.of(asked, rows["question-answering"])
        )
    other = task_rows.tagged_set([(["a", "b"], ["X", "O"])])
    with pytest.raises(InputError, match=r"\['O', 'X'\] are not the student's \['O', 'B-LOC'"):
        distil.offline(young, other, logits.of(tags, other))
    with pytest.raises(InputError, match="numbers of a vector"):
        distil.offline(
            students.every_other_layer(made["sentence-embedding"]),
            rows["sentence-embedding"],
            np.zeros((16, 5), np.float32),
        )
    with pytest.raises(TrainingError, match="have no label, the first is row 1"):
        teacher.finetune(encoder, rows["question-answering"].without_labels(), CONFIG)
    with pytest.raises(InputError, match="the teachers are for"):
        asking.ask([tags, asked], rows["token-classification"])
    with pytest.raises(limbeck.errors.ModelError, match="plain encoder"):
        checkpoint.load(encoder)
    assert checkpoint.load(encoder, "sentence-embedding").task == "sentence-embedding"


def test_a_sentence_model_keeps_its_pooling(tmp_path: Path) -> None:
    directory = models.write_sentence_model(tmp_path / "theirs", pooling=("cls",), normalize=True)
    rows = task_rows.sentences(40)
    made, _ = teacher.finetune(directory, rows, replace(CONFIG, epochs=1))
    young = students.every_other_layer(made)
    saved = young.save(tmp_path / "ours")
    spec = limbeck.load(saved).spec
    assert (spec.task.pooling, spec.task.normalize) == (("cls",), True)
    flags = json.loads((saved / "1_Pooling" / "config.json").read_text())
    assert flags["pooling_mode_cls_token"]
    assert not flags["pooling_mode_mean_tokens"]
    assert spec.task.max_tokens == 64
