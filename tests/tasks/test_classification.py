"""Answers from logits, against definitions written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from limbeck.errors import InputError
from limbeck.spec import HeadSpec, Problem, TaskSpec, Threshold
from limbeck.tasks import (
    class_scores,
    decide,
    normalize,
    pool,
    sentence_embedding,
    text_classification,
    token_classification,
)
from limbeck.text import Tokenizer
from tokenizer_files import tokenizer_json

LABELS = ("bad", "fair", "good")


def task(
    labels: tuple[str, ...] = LABELS,
    problem: Problem | None = None,
    threshold: Threshold | None = None,
) -> TaskSpec:
    return TaskSpec(
        task="text-classification",
        max_tokens=32,
        labels=labels,
        problem=problem,
        head=HeadSpec(kind="sequence"),
        threshold=threshold,
    )


LOGITS = np.array([[0.5, -1.0, 2.0]], dtype=np.float32)


def test_softmax_is_the_default_for_several_labels() -> None:
    total = sum(math.exp(x) for x in (0.5, -1.0, 2.0))
    wanted = [math.exp(x) / total for x in (0.5, -1.0, 2.0)]
    for problem in (None, "single_label"):
        assert class_scores(LOGITS, task(problem=problem))[0] == pytest.approx(wanted, rel=1e-6)  # type: ignore[arg-type]


def test_sigmoid_for_multi_label_and_for_a_single_one() -> None:
    wanted = [1 / (1 + math.exp(-x)) for x in (0.5, -1.0, 2.0)]
    assert class_scores(LOGITS, task(problem="multi_label"))[0] == pytest.approx(wanted, rel=1e-6)
    assert class_scores(LOGITS[:, :1], task(("score",)))[0] == pytest.approx(wanted[:1], rel=1e-6)


def test_regression_is_left_alone() -> None:
    assert class_scores(LOGITS, task(problem="regression")).tolist() == LOGITS.tolist()
    one = task(("score",), "regression")
    assert text_classification(LOGITS[:, :1], one) == [{"label": "score", "score": 0.5}]


def test_functions_by_name() -> None:
    for name in ("none", "NONE", "None"):
        assert class_scores(LOGITS, task(), name).tolist() == LOGITS.tolist()
    assert class_scores(LOGITS, task(), "sigmoid")[0, 0] == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert class_scores(LOGITS, task(), "default").sum() == pytest.approx(1.0)
    multi = task(problem="multi_label")
    assert class_scores(LOGITS, multi, "softmax").sum() == pytest.approx(1.0)
    for wrong in ("relu", "", 3):
        with pytest.raises(InputError, match="function_to_apply"):
            class_scores(LOGITS, task(), wrong)  # type: ignore[arg-type]


def test_extreme_logits_stay_finite_and_silent(recwarn: pytest.WarningsRecorder) -> None:
    extreme = np.array([[-1e4, 0.0, 1e4]], dtype=np.float32)
    assert class_scores(extreme, task()).tolist() == [[0.0, 0.0, 1.0]]
    assert class_scores(extreme, task(problem="multi_label")).tolist() == [[0.0, 0.5, 1.0]]
    assert not recwarn.list


def test_shapes_of_answers() -> None:
    two = np.concatenate([LOGITS, -LOGITS])
    assert [one["label"] for one in text_classification(two, task())] == ["good", "fair"]  # type: ignore[call-overload]
    ranked = text_classification(two, task(), top_k=None)
    assert [[x["label"] for x in one] for one in ranked] == [
        ["good", "bad", "fair"],
        ["fair", "bad", "good"],
    ]
    assert [len(one) for one in text_classification(two, task(), top_k=1)] == [1, 1]
    assert [len(one) for one in text_classification(two, task(), top_k=9)] == [3, 3]
    assert text_classification(two[:0], task()) == []
    for wrong in (0, -1, 1.5, "3"):
        with pytest.raises(InputError, match="top_k"):
            text_classification(two, task(), top_k=wrong)  # type: ignore[arg-type]


def test_equal_scores_keep_the_labels_order() -> None:
    equal = np.zeros((1, 3), dtype=np.float32)
    assert text_classification(equal, task())[0]["label"] == "bad"  # type: ignore[call-overload]
    [ranked] = text_classification(equal, task(), top_k=None)
    assert [one["label"] for one in ranked] == list(LABELS)


def test_the_decision_is_at_least_the_threshold() -> None:
    scores = np.array([0.2, 0.5, 0.3], dtype=np.float32)
    for value, wanted in ((0.5, True), (0.4999, True), (0.5000001, False)):
        spec = task(threshold=Threshold(label="fair", value=value, false_alarm_rate=0.001))
        assert decide(scores, spec) is wanted
    with pytest.raises(InputError, match="no decision threshold"):
        decide(scores, task())


def test_pooling_and_normalising() -> None:
    hidden = np.array([[3.0, -4.0], [1.0, 8.0], [-1.0, 5.0]], dtype=np.float32)
    assert pool(hidden, ["mean"]).tolist() == [1.0, 3.0]
    assert pool(hidden, ["max", "cls"]).tolist() == [3.0, 8.0, 3.0, -4.0]
    assert normalize(hidden[:1]).tolist() == [[pytest.approx(0.6), pytest.approx(-0.8)]]
    assert normalize(np.zeros((1, 2), dtype=np.float32)).tolist() == [[0.0, 0.0]]
    for flag in (True, False):
        spec = TaskSpec(task="sentence-embedding", max_tokens=8, pooling=("mean",), normalize=flag)
        length = float(np.linalg.norm(sentence_embedding(hidden, spec)[0]))
        assert length == pytest.approx(1.0 if flag else 5.0)


TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def tag_task(labels: tuple[str, ...] = TAGS) -> TaskSpec:
    return TaskSpec(
        task="token-classification", max_tokens=32, labels=labels, head=HeadSpec(kind="token")
    )


def tagged(text: str, tags: list[int], strategy: str, **options: object) -> list[dict[str, object]]:
    """The answer where token t (special ones left out) has tag tags[t], ever less surely."""
    tokenizer = Tokenizer.from_bytes(tokenizer_json("wordpiece"))
    [encoded] = tokenizer.encode([text], max_tokens=None)
    assert len(encoded) == len(tags) + 2, [tokenizer.token(i) for i in encoded.ids]
    logits = np.zeros((len(encoded), len(TAGS)), dtype=np.float32)
    for position, tag in enumerate(tags):
        logits[position + 1, tag] = 9.0 - position
    return token_classification(
        [logits], [encoded], text, tag_task(), tokenizer, aggregation_strategy=strategy, **options
    )


# "the quiet harbour" is tokenised as: the qu ##iet har ##bour


def test_none_gives_tokens() -> None:
    [first, second] = tagged("the quiet harbour", [0, 3, 2, 0, 0], "none")
    assert list(first) == ["entity", "score", "index", "word", "start", "end"]
    assert (first["entity"], first["index"], first["word"]) == ("B-LOC", 2, "qu")
    assert (first["start"], first["end"]) == (4, 6)
    assert (second["entity"], second["word"]) == ("I-PER", "##iet")
    assert type(first["score"]) is float
    assert len(tagged("the quiet harbour", [0, 3, 2, 0, 0], "none", ignore_labels=())) == 5


def words(answer: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return [(one["entity_group"], one["word"], one["start"], one["end"]) for one in answer]


def test_simple_joins_by_tags() -> None:
    groups = tagged("the quiet harbour", [3, 4, 4, 0, 3], "simple")
    assert words(groups) == [("LOC", "the quiet", 0, 9), ("LOC", "##bour", 13, 17)]
    assert list(groups[0]) == ["entity_group", "score", "word", "start", "end"]
    assert words(tagged("the quiet harbour", [1, 4, 2, 3, 3], "simple")) == [
        ("PER", "the", 0, 3),
        ("LOC", "qu", 4, 6),
        ("PER", "##iet", 6, 9),
        ("LOC", "har", 10, 13),
        ("LOC", "##bour", 13, 17),
    ]


def test_words_have_one_tag() -> None:
    # Scores fall from token to token: the first of a word is its surest.
    tags = [1, 3, 4, 0, 4]
    whole = [("PER", "the", 0, 3), ("LOC", "quiet", 4, 9)]
    assert words(tagged("the quiet harbour", tags, "first")) == whole
    assert words(tagged("the quiet harbour", tags, "max")) == whole
    tokenizer = Tokenizer.from_bytes(tokenizer_json("wordpiece"))
    [encoded] = tokenizer.encode(["quiet"], max_tokens=None)
    # Of "qu ##iet" the first says PER, the second LOC and more surely; on average it is O.
    probabilities = [[0.2] * 5, [0.44, 0.56, 0, 0, 0], [0.32, 0, 0, 0.68, 0], [0.2] * 5]
    logits = np.log(np.array(probabilities, dtype=np.float32) + 1e-9)
    for strategy, group, score in (
        ("first", "PER", 0.56),
        ("max", "LOC", 0.68),
        ("average", "O", 0.38),
    ):
        [one] = token_classification(
            [logits],
            [encoded],
            "quiet",
            tag_task(),
            tokenizer,
            aggregation_strategy=strategy,
            ignore_labels=(),
        )
        assert (one["entity_group"], one["word"]) == (group, "quiet")
        assert one["score"] == pytest.approx(score, abs=1e-6)


def test_bad_strategies_are_named() -> None:
    with pytest.raises(InputError, match="none, simple, first, average, max"):
        tagged("the", [0], "most")
