"""Metrics of real pipelines' answers, against the answers counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

import limbeck
from limbeck.errors import InputError
from limbeck.evaluation import Examples, Scored, compare, score, slices
from limbeck.tasks import metrics, span_metrics

TEXTS = tuple(f"the {noun} is {kind}" for noun in ("flat", "sea", "key") for kind in "abcd")


def labelled(problem, targets, texts=TEXTS, **more):
    return Examples(problem=problem, texts=tuple(texts), targets=tuple(targets), **more)


def test_single_label(zoo):
    model = limbeck.load(zoo("bert", "text-classification"))
    said = [one["label"] for one in limbeck.pipeline("text-classification", model)(list(TEXTS))]
    right = said[:9] + ["negative"] * 3
    told = []
    scored = score(model, labelled("single_label", right), advance=told.append)
    equal = sum(one == other for one, other in zip(said, right, strict=True)) / 12
    assert scored.headline == "accuracy"
    assert scored.value() == pytest.approx(equal)
    assert scored.value("MCC") == pytest.approx(
        metrics.matthews_correlation(
            *([sorted(set(said + right)).index(x) for x in some] for some in (said, right))
        )
    )
    assert sum(told) == 12
    labels = list(model.spec.task.labels)
    numbers = labelled("single_label", [str(labels.index(one)) for one in right])
    assert score(model, numbers).value() == pytest.approx(equal)
    assert "F1" not in scored.metrics  # of two classes alone
    with pytest.raises(InputError, match="the label 'odd', and the model knows"):
        score(model, labelled("single_label", ["odd"] * 12))
    with pytest.raises(InputError, match="rows are for regression, and this model is for single"):
        score(model, labelled("regression", [1.0] * 12))


def test_pairs_and_two_classes(zoo):
    model = limbeck.load(zoo("roberta", "text-classification", labels=("no", "yes")))
    pairs = tuple(reversed(TEXTS))
    asked = [{"text": a, "text_pair": b} for a, b in zip(TEXTS, pairs, strict=True)]
    answers = limbeck.pipeline("text-classification", model)(asked)
    right = ["yes", "no"] * 6
    scored = score(model, labelled("single_label", right, pairs=pairs))
    said = [one["label"] for one in answers]
    assert scored.value() == pytest.approx(np.mean([a == b for a, b in zip(said, right)]))
    yes = [one["score"] if one["label"] == "yes" else 1 - one["score"] for one in answers]
    assert scored.value("AUC") == pytest.approx(
        metrics.auc(yes, [int(one == "yes") for one in right]), abs=1e-6
    )
    assert np.isnan(scored.metrics["AUC"](np.zeros(5, dtype=int)))  # one class alone


def test_several_labels(zoo):
    config = {"problem_type": "multi_label_classification"}
    model = limbeck.load(zoo("roberta", "text-classification", config=config))
    classify = limbeck.pipeline("text-classification", model, top_k=None)
    said = [
        tuple(one["label"] for one in answer if one["score"] > 0.5)
        for answer in classify(list(TEXTS))
    ]
    assert 0 < sum(map(len, said)) < 36
    assert score(model, labelled("multi_label", said)).value("exact match") == 1.0
    scored = score(model, labelled("multi_label", [*said[:6], *[()] * 6]))
    hits, both = sum(map(len, said[:6])), sum(map(len, said)) + sum(map(len, said[:6]))
    assert scored.value("micro F1") == pytest.approx(2 * hits / both)


def test_numbers(zoo):
    model = limbeck.load(zoo("bert", "text-classification", labels=("score",)))
    regress = limbeck.pipeline("text-classification", model, function_to_apply="none")
    said = np.array([one["score"] for one in regress(list(TEXTS))])
    right = said**3 + np.arange(12) * 0.01
    scored = score(model, labelled("regression", right))
    assert scored.value("Spearman") == pytest.approx(metrics.spearman(said, right))
    assert scored.value("Pearson") == pytest.approx(metrics.pearson(said, right))


def test_similarity(zoo):
    model = limbeck.load(zoo("bert", "feature-extraction"), task="sentence-embedding")
    pairs = tuple(reversed(TEXTS))
    embed = limbeck.pipeline("sentence-embedding", model, normalize_embeddings=True)
    cosines = (embed(list(TEXTS)) * embed(list(pairs))).sum(axis=1)
    right = list(range(12))
    scored = score(model, labelled("similarity", right, pairs=pairs))
    assert scored.value("Spearman") == pytest.approx(metrics.spearman(cosines, right))


def test_questions(zoo):
    model = limbeck.load(zoo("bert", "question-answering"))
    context = "The quiet flat is five minutes from the old harbour."
    ask = limbeck.pipeline("question-answering", model, max_answer_len=30)
    said = [ask(question=text, context=context)["answer"] for text in TEXTS]
    targets = [(one,) for one in said[:6]] + [("nothing of it",)] * 6
    scored = score(model, labelled("question-answering", targets, pairs=(context,) * 12))
    expected = [span_metrics.answer_scores(a, t) for a, t in zip(said, targets, strict=True)]
    assert scored.headline == "F1"
    assert scored.value() == pytest.approx(np.mean([one.f1 for one in expected]))
    assert scored.value("exact match") == pytest.approx(0.5)
    assert scored.cut == 0


def test_tags(zoo):
    model = limbeck.load(zoo("bert", "token-classification"))
    words = tuple(tuple(text.split()) for text in TEXTS)
    tag = limbeck.pipeline("token-classification", model, ignore_labels=[])
    said = []
    for text, some in zip(TEXTS, words, strict=True):
        by_start = {one["start"]: one["entity"] for one in tag([text])[0]}
        places = np.cumsum([0, *(len(word) + 1 for word in some[:-1])])
        said.append(tuple(by_start[int(place)] for place in places))
    right = [*said[:8], *[("O",) * len(some) for some in words[8:]]]
    scored = score(model, labelled("token-classification", right, words=words))
    assert scored.value("span F1") == pytest.approx(span_metrics.span_f1(said, right).f1)
    flat = [a == b for s, r in zip(said, right) for a, b in zip(s, r, strict=True)]
    assert scored.value("accuracy of words") == pytest.approx(np.mean(flat))
    with pytest.raises(InputError, match="the tag 'B-ODD'"):
        score(model, labelled("token-classification", [("B-ODD",) * 4] * 12, words=words))
    long = ("the",) * 300
    scored = score(
        model,
        Examples(
            problem="token-classification",
            texts=(" ".join(long),),
            targets=(("O",) * 300,),
            words=(long,),
        ),
    )
    assert scored.cut == 1
    assert "count as O" in scored.notes[0]


def _scored(problem, targets, **more):
    texts = ("a",) * len(targets)
    return Scored(
        examples=labelled(problem, targets, texts, **more),
        metrics={"accuracy": lambda at: float(np.mean(at % 2))},
        tokens=np.full(len(targets), 3),
    )


def test_every_label_of_a_row_has_a_slice():
    scored = _scored("multi_label", [("a", "b")] * 6 + [("a", "a")] * 6 + [()] * 6 + [("c",)] * 9)
    assert {name: rows.tolist() for name, rows in slices(scored).items()} == {
        "label=a": list(range(12)),
        "tokens 3-3": list(range(27)),
    }
    found = compare(scored, scored, resamples=5)
    assert found.left_out == {"label=b": 6, "label=c": 9}


def test_kinds_of_entities_have_slices():
    tags = [("B-PER", "I-PER", "O")] * 10 + [("O", "S-LOC", "B-PER")] * 9 + [("O", "O", "O")] * 9
    words = (("a", "b", "c"),) * 28
    scored = _scored("token-classification", tags, words=words)
    assert {name: len(rows) for name, rows in slices(scored).items()} == {
        "tag=PER": 19,
        "tokens 3-3": 28,
    }
    assert compare(scored, scored, resamples=5).left_out == {"tag=LOC": 9}


def test_many_classes_are_compared_where_each_is_limited():
    scored = _scored("single_label", [str(n % 30) for n in range(305)])
    assert list(slices(scored)) == ["tokens 3-3"]
    assert len(compare(scored, scored, resamples=5).left_out) == 30
    found = compare(scored, scored, resamples=5, every_class=True)
    assert len(found.slices) == 31
    assert found.left_out == {}


def test_slices_and_comparison(zoo):
    model = limbeck.load(zoo("bert", "text-classification"))
    other = limbeck.load(zoo("bert", "text-classification"), precision="int8")
    texts = tuple(f"{'the sea ' * (n % 7)}is {n}" for n in range(80))
    right = [one["label"] for one in limbeck.pipeline("text-classification", model)(list(texts))]
    examples = labelled("single_label", right, texts)
    first, second = score(model, examples), score(other, examples)
    parts = slices(first)
    assert {name for name in parts if name.startswith("label=")} <= {
        f"label={one}" for one in set(right)
    }
    lengths = [rows for name, rows in parts.items() if name.startswith("tokens")]
    assert sorted(np.concatenate(lengths)) == list(range(80))
    found = compare(first, second, resamples=50)
    assert found.first == 1.0
    assert found.drop.value == pytest.approx(found.first - found.second)
    assert found.slices.keys() == parts.keys()
    for name, (rows, drop) in found.slices.items():
        assert rows == len(parts[name])
        assert drop.value == pytest.approx(1.0 - second.metrics["accuracy"](parts[name]))
    with pytest.raises(InputError, match="on the same rows"):
        compare(first, score(model, labelled("single_label", right[:12], texts[:12])))
