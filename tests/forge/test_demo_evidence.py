"""Training rows that keep their leak, and the loss on what each token is part of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models
from limbeck.data import listings
from limbeck.text import Tokenizer

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from limbeck.forge import learning, training
from limbeck.forge import teacher as teachers
from limbeck.forge.checkpoint import Teacher
from limbeck.forge.demo import evidence, marked, settings
from limbeck.forge.demo.corpus import ListingCorpus
from limbeck.forge.demo.evidence import RoleLoss
from limbeck.forge.demo.marked import ROLES, Mark, MarkedRows
from limbeck.forge.distil import DistilConfig
from limbeck.forge.students import every_other_layer
from limbeck.forge.training import TrainingConfig

pytestmark = pytest.mark.torch

WINDOW = 64
CONFIG = TrainingConfig(
    epochs=1.0, batch_size=8, learning_rate=1e-3, max_tokens=WINDOW, dropout=0.0, precision="fp32"
)


@pytest.fixture(scope="module")
def reader(minilm: Path) -> Tokenizer:
    return Tokenizer.from_directory(minilm)


@pytest.fixture(scope="module")
def corpus() -> ListingCorpus:
    return ListingCorpus(seed=5, sizes=settings.QUICK, carriers=None, description="")


@pytest.fixture
def teacher(zoo: Callable[..., Path]) -> Teacher:
    tiny = zoo("bert", "feature-extraction", shape=models.Shape(layers=2))
    return teachers.prepare(tiny, ("clean", "leak"), CONFIG)


def long_examples(count: int) -> list[listings.Example]:
    return list(listings.generate("train", count, 11, max_words=60))


def test_a_window_of_a_leak_shows_the_leak(reader: Tokenizer) -> None:
    examples = long_examples(400)
    cut = marked.window_cutter(reader, WINDOW, 0)
    begins = reader.encode([example.text for example in examples], max_tokens=WINDOW)
    lost = shortened = broken = leaks = 0
    for number, (example, begin) in enumerate(zip(examples, begins, strict=True)):
        kept = cut(example, number)
        assert kept.text in example.text
        assert not reader.encode([kept.text], max_tokens=WINDOW)[0].truncated
        shortened += len(kept.text) < len(example.text)
        shown = [kept.text[mark.start : mark.stop] for mark in kept.marks if mark.role == "leak"]
        if example.span is None:
            assert shown == []
            continue
        contact = example.text[slice(*example.span)]
        assert shown
        assert all(part in contact for part in shown)
        leaks += 1
        broken += contact not in kept.text  # its sentence alone is longer than a window
        lost += begin.span[1] < example.span[1]
    assert shortened > 100
    assert broken < 0.05 * leaks
    assert lost > 0.1 * leaks  # what the first tokens of these texts would have lost


def test_harmless_texts_are_read_anywhere(reader: Tokenizer) -> None:
    cut = marked.window_cutter(reader, WINDOW, 0)
    places = set()
    for number, example in enumerate(long_examples(300)):
        kept = cut(example, number)
        assert kept == cut(example, number)
        if example.span is None and len(kept.text) < len(example.text):
            places.add(example.text.index(kept.text) > 0)
    assert places == {True, False}


def test_marks_are_the_segments_that_are_no_wording() -> None:
    for example in long_examples(60):
        kept = marked.whole(example)
        parts = [it for it in example.segments if it.role != "text" and it.text]
        assert [(kept.text[m.start : m.stop], m.role) for m in kept.marks] == [
            (it.text, it.role) for it in parts
        ]


def test_a_token_is_part_of_the_gravest_mark_that_it_touches() -> None:
    offsets = [(0, 0), (0, 4), (5, 8), (8, 9), (9, 12), (13, 17), (0, 0)]
    special = [True, False, False, False, False, False, True]
    marks = (Mark(0, 4, "value"), Mark(6, 8, "leak"), Mark(7, 10, "third"))
    found = marked.roles_of_tokens(offsets, special, marks)
    leak, third, value = ROLES.index("leak"), ROLES.index("third"), ROLES.index("value")
    assert found == [None, value, leak, third, third, ROLES.index("text"), None]


def test_roles_stand_where_the_contact_stands(reader: Tokenizer, corpus: ListingCorpus) -> None:
    cut = marked.window_cutter(reader, WINDOW, 0)
    rows = corpus.training(80, cut)
    roles = evidence.token_roles(rows, reader, WINDOW)
    assert roles is not None
    assert rows.marks is not None
    encoded = reader.encode(list(rows.rows.texts), max_tokens=WINDOW)
    for label, one, found, marks in zip(rows.rows.labels, encoded, roles, rows.marks, strict=True):
        assert len(found) == len(one)
        leaks = [place for place, role in enumerate(found) if role == ROLES.index("leak")]
        assert bool(leaks) == bool(label)
        for place in leaks:
            start, stop = one.offsets[place]
            assert any(m.start < stop and start < m.stop for m in marks if m.role == "leak")


def test_the_loss_is_the_cross_entropy_of_all_tokens(teacher: Teacher) -> None:
    ids = [[2, 7, 9, 3], [2, 8, 3]]
    roles = [[-100, 3, 0, -100], [-100, 2, -100]]
    rows = training.TokenisedSet(ids=ids, type_ids=[[0] * len(row) for row in ids])
    indexes = np.array([1, 0])
    batch = training.collate(teacher.model, rows, indexes)
    teacher.model.eval()
    with RoleLoss(teacher.model, roles, 0) as loss:
        training.forward(teacher.model, batch, "fp32")
        found = loss(indexes)
        with torch.inference_mode():
            states = teacher.model.base_model(
                **{k: v for k, v in batch.items() if k != "labels"}, output_hidden_states=True
            ).hidden_states
            weight, bias = loss.head.weight, loss.head.bias
            expected = []
            for place, token, role in ((0, 1, 2), (1, 1, 3), (1, 2, 0)):
                # two layers: the one before the last is the first
                scores = (weight @ states[1][place, token] + bias).tolist()
                expected.append(math.log(sum(map(math.exp, scores))) - scores[role])
    assert found.item() == pytest.approx(sum(expected) / 3, rel=1e-5)
    found.backward()
    assert float(loss.head.weight.grad.abs().sum()) > 0
    touched = teacher.model.base_model.encoder.layer[0].output.dense.weight.grad
    assert float(touched.abs().sum()) > 0


def finetuned(start: Teacher, given: MarkedRows, how: TrainingConfig) -> Teacher:
    roles = evidence.token_roles(given, start.tokenizer, start.max_tokens)
    return evidence.finetune(start, given.rows, roles, how)[0]


def weights(model: Teacher) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.model.parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_without_marks_it_is_plain_fine_tuning(
    zoo: Callable[..., Path], corpus: ListingCorpus
) -> None:
    tiny = zoo("bert", "feature-extraction", shape=models.Shape(layers=2))
    rows = corpus.training(64)
    made = []
    for given in (rows, MarkedRows(rows=rows.rows), None):
        start = teachers.prepare(tiny, corpus.names, CONFIG)
        if given is None:
            made.append(weights(teachers.finetune(start, rows.rows, CONFIG)[0]))
        else:
            made.append(weights(finetuned(start, given, CONFIG)))
    assert same(made[1], made[2])
    assert not same(made[0], made[1])


def test_a_student_learns_from_logits_labels_and_roles(
    teacher: Teacher, corpus: ListingCorpus
) -> None:
    rows = corpus.training(64)
    answers = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    how = DistilConfig(soft_weight=0.5, training=CONFIG)
    made = []
    for given in (rows, MarkedRows(rows=rows.rows), None):
        student = every_other_layer(teacher, 1)
        if given is None:
            learning.learn(student, rows.rows, answers, how)
        else:
            roles = evidence.token_roles(given, teacher.tokenizer, teacher.max_tokens)
            student, report = evidence.distil(student, given.rows, roles, answers, how)
            assert report.steps == 8
            assert student.lineage["step"] == "distil"
        made.append(weights(student))
    assert same(made[1], made[2])
    assert not same(made[0], made[1])
    # the layer of roles is thrown away: what is saved is an ordinary classifier
    assert not [name for name, _ in student.model.named_parameters() if "role" in name]
    assert (
        student.model.state_dict().keys() == every_other_layer(teacher, 1).model.state_dict().keys()
    )


def told_apart(model: Teacher, rows: MarkedRows) -> float:
    """The loss of a fresh head on the layers as they are: what they know of roles."""
    roles = evidence.token_roles(rows, model.tokenizer, model.max_tokens)
    assert roles is not None
    tokens = training.tokenise(model.tokenizer, rows.rows, model.max_tokens)
    indexes = np.arange(len(rows))
    batch = training.collate(model.model, tokens, indexes)
    with RoleLoss(model.model, roles, 0) as loss:
        optimiser = torch.optim.Adam(loss.head.parameters(), lr=0.05)
        for _ in range(60):
            with torch.no_grad():
                training.forward(model.model, batch, "fp32")
            value = loss(indexes)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
    return value.item()


def test_the_layers_learn_what_tokens_are_part_of(
    zoo: Callable[..., Path], corpus: ListingCorpus
) -> None:
    tiny = zoo("bert", "feature-extraction", shape=models.Shape(layers=2))
    rows = corpus.training(200)
    few = MarkedRows(rows=rows.rows.take(range(64)), marks=(rows.marks or ())[:64])
    how = replace(CONFIG, epochs=8.0)
    shown, plain = (
        finetuned(teachers.prepare(tiny, corpus.names, how), given, how)
        for given in (rows, MarkedRows(rows=rows.rows))
    )
    assert told_apart(shown, few) < 0.85 * told_apart(plain, few)
