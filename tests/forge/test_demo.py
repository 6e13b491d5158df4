"""The demo's parts, and the whole of it on a model small enough for a test."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models
from limbeck import artifact, measure
from limbeck.cli.main import run
from limbeck.data import listings
from limbeck.errors import InputError, MissingExtraError, ModelError

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sklearn")
pytest.importorskip("jinja2")

from limbeck.forge.demo import encoder, present, scoreboard, settings
from limbeck.forge.demo.corpus import (
    LabelledTexts,
    ListingCorpus,
    OwnCorpus,
    open_corpus,
)

pytestmark = pytest.mark.torch

TINY = settings.Sizes(
    validation=60,
    teacher_validation=40,
    test=80,
    unseen=12,
    long_texts=2,
    training_at_most=200,
    transfer_at_most=200,
    timing_rounds=3,
)


@pytest.fixture(scope="module")
def corpus() -> ListingCorpus:
    return ListingCorpus(seed=3, sizes=TINY, carriers=None, description="")


def test_sets_share_no_text_and_have_both_classes(corpus: ListingCorpus) -> None:
    training, transfer = corpus.training(300).rows, corpus.transfer(300).rows
    test, validation = corpus.test(), corpus.validation()
    sets = [set(training.texts), set(transfer.texts), set(test.texts), set(validation.texts)]
    for index, one in enumerate(sets):
        for other in sets[index + 1 :]:
            assert not one & other
    assert training.names == ("clean", "leak")
    assert 0.35 < training.labels.mean() < 0.65
    assert 0 < test.positives < test.negatives
    assert corpus.unseen().positives == TINY.unseen == len(corpus.unseen())


def test_a_longer_training_set_begins_with_the_shorter_one(corpus: ListingCorpus) -> None:
    longer, shorter = corpus.training(120), corpus.training(50)
    assert longer.rows.texts[:50] == shorter.rows.texts
    assert longer.marks is not None
    assert longer.marks[:50] == shorter.marks


def test_most_training_texts_are_short_and_some_are_long(corpus: ListingCorpus) -> None:
    words = np.array([len(text.split()) for text in corpus.training(600).rows.texts])
    assert np.median(words) < 50
    assert words.mean() < np.mean([len(text.split()) for text in corpus.test().texts])
    assert words.max() > 90


def test_long_texts_have_the_leak_at_their_end_or_none(corpus: ListingCorpus) -> None:
    leaking, clean = corpus.long_texts(True), corpus.long_texts(False)
    assert len(leaking) == len(clean) == TINY.long_texts
    assert all(len(text.split()) > 1900 for text in leaking + clean)
    example = listings.compose_long(3, None, words=2000, leak_at="last")
    assert example.text == leaking[0]
    assert example.span is not None
    assert example.span[0] > 0.97 * len(example.text)


def test_given_descriptions_become_carriers(tmp_path: Path) -> None:
    texts = [
        f"Our flat number {index} has a {thing} and a garden with roses. It is calm at night."
        for index in range(40)
        for thing in ("sofa", "piano", "desk", "balcony", "bath", "stove", "loft", "view")
    ]
    file = tmp_path / "given.jsonl"
    file.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(texts)))
    found = open_corpus(file, 0, TINY)
    assert isinstance(found, ListingCorpus)
    assert "320 given descriptions" in found.description
    assert sum("garden with roses" in text for text in found.test().texts) > 60


def write_labelled(path: Path, rows: int, labels: tuple[str, ...] = ("ham", "spam")) -> Path:
    lines = [
        json.dumps(
            {"text": f"text {index} about {index * 7}", "label": labels[index % len(labels)]}
        )
        for index in range(rows)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_labelled_texts_are_split_without_overlap(tmp_path: Path) -> None:
    found = open_corpus(write_labelled(tmp_path / "own.jsonl", 400), 0, TINY)
    assert isinstance(found, OwnCorpus)
    assert found.names == ("ham", "spam")
    parts = [set(found.training(10**6).rows.texts), set(found.validation().texts)]
    parts.append(set(found.test().texts))
    assert sum(map(len, parts)) == 400
    assert len(set().union(*parts)) == 400
    assert len(found.test()) == pytest.approx(TINY.test, abs=2)
    assert found.unseen() is None
    assert found.long_texts(True) == []


@pytest.mark.parametrize(
    ("labels", "negative", "positive"),
    [
        (("0", "1"), "0", "1"),
        (("yes", "no"), "no", "yes"),
        (("rare", "frequent", "frequent"), "frequent", "rare"),
    ],
)
def test_the_class_that_is_looked_for(
    tmp_path: Path, labels: tuple[str, ...], negative: str, positive: str
) -> None:
    found = open_corpus(write_labelled(tmp_path / "own.jsonl", 300, labels), 0, TINY)
    assert found.names == (negative, positive)


def test_labels_that_do_not_fit_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exactly two labels"):
        open_corpus(write_labelled(tmp_path / "a.jsonl", 300, ("a", "b", "c")), 0, TINY)
    mixed = write_labelled(tmp_path / "b.jsonl", 300)
    with mixed.open("a") as file:
        file.write(json.dumps({"text": "unlabelled", "label": None}) + "\n")
    with pytest.raises(InputError, match="rows without a label"):
        open_corpus(mixed, 0, TINY)
    with pytest.raises(InputError, match="only one of the two labels"):
        open_corpus(write_labelled(tmp_path / "c.jsonl", 4), 0, TINY)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError):
        open_corpus(tmp_path / "empty.jsonl", 0, TINY)


def test_figures_are_what_counting_by_hand_gives() -> None:
    texts = LabelledTexts(
        texts=tuple("abcdefghij"),
        labels=(1, 1, 1, 1, 0, 0, 0, 0, 0, 0),
        kinds=("phone", "phone", "email", "email", *["plain"] * 6),
    )
    scores = np.array([0.9, 0.8, 0.55, 0.2, 0.6, 0.5, 0.4, 0.3, 0.1, 0.0])
    found = scoreboard.figures(scores, texts, decide_at=0.45, rate=0.0)
    assert found.precision == pytest.approx(3 / 5)
    assert found.recall == pytest.approx(3 / 4)
    assert found.false_alarm_rate == pytest.approx(2 / 6)
    assert found.recall_at_rate == pytest.approx(2 / 4)
    assert found.recall_by_kind == {"phone": 1.0, "email": 0.0}
    # pairs (positive above negative): 6 + 6 + 5 + 2 of 24
    assert found.auc == pytest.approx(19 / 24)
    looser = scoreboard.figures(scores, texts, decide_at=0.45, rate=1 / 6)
    assert looser.recall_at_rate == pytest.approx(3 / 4)
    curve = scoreboard.operating_curve(scores, texts.labels, (0.001, 0.5))
    assert curve == [(0.001, 0.5), (0.5, 0.75)]
    bins = scoreboard.reliability(scores, texts.labels, bins=2)
    assert bins == [(pytest.approx(0.2), 0.2), (pytest.approx(0.67), 0.6)]


def test_the_pinned_encoder_is_checked(minilm: Path, tmp_path: Path) -> None:
    assert encoder.default_encoder() == minilm
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(ModelError, match="expected 53aa51172d"):
        encoder.check(tmp_path)
    with pytest.raises(ModelError, match="cannot read"):
        encoder.check(tmp_path / "absent")


def test_a_missing_or_other_encoder_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "MODULE", "no_such_module_anywhere")
        with pytest.raises(MissingExtraError, match=r"limbeck\[demo\]"):
            encoder.default_encoder()
    pytest.importorskip(encoder.MODULE)
    monkeypatch.setattr(encoder, "VERSION", "9.9.9")
    with pytest.raises(ModelError, match=r"the demo was made for 9\.9\.9"):
        encoder.default_encoder()


@pytest.fixture(scope="module")
def finished(
    zoo: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A whole demo with a tiny encoder: (its directory, what it printed)."""
    tiny = zoo("bert", "feature-extraction", shape=models.Shape(layers=2))
    out = tmp_path_factory.mktemp("demo") / "out"
    rows = out.parent / "rows.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "QUICK", TINY)
        arguments = ["--quick", "--teacher", str(tiny), "--out", str(out), "--record", str(rows)]
        assert run(["demo", *arguments]) == 0
    return out, rows.read_text()


def test_the_demo_leaves_a_verified_artifact_that_decides(finished: tuple[Path, str]) -> None:
    out, _ = finished
    with artifact.read(out) as made:
        assert made.spec.quant.precision == "int8"
        assert made.spec.encoder.layers == 1
        threshold = made.spec.task.threshold
        assert threshold is not None
        assert threshold.label == "leak"
        assert threshold.false_alarm_rate == 0.001
        assert made.lineage["layers"] == [0]
        assert made.lineage["config"]["temperature"] == 2.0
    assert run(["verify", str(out), "--against", str(out / "student")]) == 0
    measured = artifact.read_measured(out)
    student = measured["detectors"][-1]
    assert student["threshold"] == threshold.value
    assert measured["verify"]["passed"]
    assert measured["quick"]


def test_the_demo_measures_four_detectors_on_both_sets(finished: tuple[Path, str]) -> None:
    out, rows = finished
    measured = artifact.read_measured(out)
    names = [detector["name"] for detector in measured["detectors"]]
    assert names == ["regex rules", "TF-IDF + regression", "teacher, torch fp32", "student, int8"]
    for detector in measured["detectors"]:
        assert detector["timed_calls"] == TINY.timing_rounds
        assert detector["p50_ms"] <= detector["p99_ms"]
        for part in ("test", "unseen"):
            assert 0 <= detector[part]["recall_at_rate"] <= 1
            assert 0 <= detector[part]["auc"] <= 1
    assert measured["long_texts"]["of"] == TINY.long_texts
    recorded = [measure.Row.from_json(line) for line in rows.splitlines()]
    assert [row.subject for row in recorded] == names
    assert {row.benchmark for row in recorded} == {"demo"}
    assert recorded[-1].extra["auc"] == measured["detectors"][-1]["test"]["auc"]
    assert set(measured["seconds"]) >= {"texts", "teacher", "student", "artifact", "measuring"}


def test_nothing_real_is_saved(finished: tuple[Path, str]) -> None:
    out, _ = finished
    page = (out / "report.html").read_text()
    body = re.sub(r"<svg.*?</svg>|<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    start = body.index("Examples")
    examples = body[start : body.index("Verified before", start)]
    assert len(examples) > 1000
    assert listings.real_contacts(examples) == []
    assert "The int8 student finds" in page
    assert "limbeck verify" in page


def test_a_second_demo_replaces_the_first(
    finished: tuple[Path, str], zoo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a user's own labelled texts go the same way."""
    out, _ = finished
    own = write_labelled(out.parent / "own.jsonl", 300)
    tiny = zoo("bert", "feature-extraction", shape=models.Shape(layers=2))
    monkeypatch.setattr(settings, "QUICK", replace(TINY, long_texts=0))
    arguments = ["--quick", "--teacher", str(tiny), "--out", str(out), "--data", str(own)]
    assert run(["demo", *arguments]) == 0
    with artifact.read(out) as made:
        assert made.spec.task.labels == ("ham", "spam")
    measured = artifact.read_measured(out)
    assert [d["name"] for d in measured["detectors"]] == [
        "TF-IDF + regression",
        "teacher, torch fp32",
        "student, int8",
    ]
    assert measured["long_texts"] is None
    assert "Examples" not in (out / "report.html").read_text()


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    """No heading and no figure may be cut: rich would end it with an ellipsis."""
    from types import SimpleNamespace as Bag

    from rich.console import Console

    figures = scoreboard.Figures(
        precision=0.9876,
        recall=0.8765,
        f1=0.912,
        false_alarm_rate=0.001,
        auc=0.98765,
        recall_at_rate=0.912,
        calibration_error=0.0123,
        recall_by_kind={},
    )
    timing = measure.Timing(rounds=((1.9313,),))
    outcomes = [
        Bag(
            detector=Bag(name=name, size_bytes=90_900_000), test=figures, unseen=None, timing=timing
        )
        for name in ("TF-IDF + logistic regression", "teacher torch fp32")
    ]
    result = Bag(
        settings=Bag(false_alarm_rate=0.001),
        corpus=Bag(is_listings=True),
        test=Bag(positives=800, negatives=3200),
        unseen=None,
        outcomes=outcomes,
    )
    console = Console(width=80, record=True, file=io.StringIO())
    for table in present.tables(result):  # type: ignore[arg-type]
        console.print(table)
    shown = console.export_text()
    assert "…" not in shown
    for figure in ("0.988", "0.876", "0.912", "0.9877", "0.0123", "1931", "90.9"):
        assert figure in shown
