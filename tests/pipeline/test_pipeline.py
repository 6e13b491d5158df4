"""Shapes of answers, options, batches, bad input, threads: with a model that can be foretold."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import limbeck
from fake_model import HIDDEN, LABELS, TAGS, FakeModel, plain_logits
from limbeck.errors import InputError
from limbeck.pipeline import (
    FeatureExtractionPipeline,
    QuestionAnsweringPipeline,
    SentenceEmbeddingPipeline,
    TextClassificationPipeline,
    TokenClassificationPipeline,
    pipeline,
)
from limbeck.pipeline.batching import batches
from limbeck.runtimes import Model
from limbeck.spec import SPAN_LABELS, TASKS, Threshold
from tokenizer_files import KINDS, hard_texts

# A question has a context beside it: tests/pipeline/test_question_answering.py.
ONE_TEXT_TASKS = tuple(task for task in TASKS if task != "question-answering")
TEXTS = ["the key", "", "Müller 😀 " * 9, "the quiet harbour", "שלום the\0key", "a b c d e f g h"]


def softmax(values: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def foretold(model: FakeModel, text: str, pair: str | None = None, **options: Any) -> list[float]:
    pairs = None if pair is None else [pair]
    [encoded] = model.tokenizer().encode([text], pairs, max_tokens=24, **options)
    return softmax(plain_logits(encoded.ids, encoded.type_ids))


def test_the_fake_is_a_model() -> None:
    assert isinstance(FakeModel(), Model)


def test_each_task_has_its_pipeline_and_other_names() -> None:
    kinds = {
        "text-classification": TextClassificationPipeline,
        "sentiment-analysis": TextClassificationPipeline,
        "token-classification": TokenClassificationPipeline,
        "ner": TokenClassificationPipeline,
        "question-answering": QuestionAnsweringPipeline,
        "feature-extraction": FeatureExtractionPipeline,
        "sentence-embedding": SentenceEmbeddingPipeline,
    }
    for task, kind in kinds.items():
        fields: dict[str, Any] = {}
        if kind is SentenceEmbeddingPipeline:
            fields = {"pooling": ("mean",)}
        if kind is QuestionAnsweringPipeline:
            fields = {"labels": SPAN_LABELS}
        assert type(pipeline(task, FakeModel(kind.task, **fields))) is kind
    with pytest.raises(InputError, match=r"text-classification.*sentence-embedding"):
        pipeline("translation", FakeModel())


def test_shapes_of_text_classification() -> None:
    model = FakeModel()
    pipe = pipeline("text-classification", model)
    scores = foretold(model, "the key")
    label = LABELS[int(np.argmax(scores))]
    one = {"label": label, "score": pytest.approx(max(scores))}
    ranked = [
        {"label": name, "score": pytest.approx(score)}
        for score, name in sorted(zip(scores, LABELS, strict=True), reverse=True)
    ]
    assert pipe("the key") == [one]
    assert pipe(["the key"]) == [one]
    assert pipe({"text": "the key"}) == one
    assert pipe([{"text": "the key"}]) == [one]
    assert pipe("the key", top_k=None) == ranked
    assert pipe(["the key"], top_k=None) == [ranked]
    assert pipe({"text": "the key"}, top_k=2) == ranked[:2]
    assert pipe("the key", top_k=1) == ranked[:1]
    built = pipeline("text-classification", model, top_k=None)
    assert built("the key") == [ranked]
    assert built("the key", top_k=None) == ranked
    assert pipe([]) == []
    assert pipe([], top_k=None) == []


def test_pairs_and_their_older_form() -> None:
    model = FakeModel()
    pipe = pipeline("text-classification", model, top_k=None)
    scores = dict(zip(LABELS, foretold(model, "the key", "the harbour"), strict=True))
    wanted = [{one["label"]: one["score"] for one in pipe({"text": "the key"})}]
    pair = {"text": "the key", "text_pair": "the harbour"}
    for inputs in ([pair], [[["the key", "the harbour"]]]):
        [found] = pipe(inputs)
        assert {one["label"]: one["score"] for one in found} == pytest.approx(scores)
    mixed = pipe([{"text": "the key"}, pair, "the key"])
    assert [{o["label"]: o["score"] for o in m} for m in (mixed[0], mixed[2])] == wanted * 2
    assert pipe(pair) == mixed[1]
    # An empty second text is none, as in transformers.
    assert pipe({"text": "the key", "text_pair": ""}) == mixed[0]
    assert pipe({"text": "the key", "text_pair": None}) == mixed[0]


def test_segment_numbers_go_to_bert_alone() -> None:
    pair = {"text": "the key", "text_pair": "the harbour"}
    for architecture, reads in (("bert", True), ("roberta", False), ("distilbert", False)):
        model = FakeModel(architecture=architecture)
        pipeline("text-classification", model)(pair)
        assert (model.batches[0].type_ids is not None) == reads


@pytest.mark.parametrize("task", ONE_TEXT_TASKS)
@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(hard_texts, max_size=12),
    batch_size=st.sampled_from([None, 1, 3]),
    max_batch_tokens=st.sampled_from([1, 30, 4096]),
)
def test_answers_do_not_depend_on_batches(
    task: str, texts: list[str], batch_size: int | None, max_batch_tokens: int
) -> None:
    fields: dict[str, Any] = {"pooling": ("mean",)} if task == "sentence-embedding" else {}
    pipe = pipeline(task, FakeModel(task, **fields))  # type: ignore[arg-type]
    alone = [pipe([text])[0] for text in texts]
    together = pipe(texts, batch_size=batch_size, max_batch_tokens=max_batch_tokens)
    streamed = list(pipe(iter(texts), batch_size=batch_size))
    assert len(together) == len(streamed) == len(texts)
    for one, two, three in zip(alone, together, streamed, strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)


def test_batches_are_bounded_and_sorted_by_length() -> None:
    model = FakeModel()
    pipe = pipeline("text-classification", model, max_batch_tokens=40)
    texts = ["the " * count for count in (9, 1, 18, 4, 30, 2, 7, 0)]
    pipe(texts)
    lengths = [np.diff(batch.cu_seqlens).tolist() for batch in model.batches]
    flat = [length for batch in lengths for length in batch]
    assert flat == sorted(flat)
    assert len(flat) == 8
    assert max(flat) == 24
    assert all(sum(batch) <= 40 for batch in lengths)
    assert len(lengths) < 8
    model.batches.clear()
    pipe(texts, batch_size=3, max_batch_tokens=10**6)
    assert [batch.sequences for batch in model.batches] == [3, 3, 2]
    model.batches.clear()
    pipe([])
    assert model.batches == []


def test_a_sequence_over_the_token_bound_is_a_batch_of_its_own() -> None:
    groups = list(batches([5, 50, 3, 60], batch_size=None, max_batch_tokens=10))
    assert groups == [[2, 0], [1], [3]]
    assert list(batches([], batch_size=None, max_batch_tokens=10)) == []


def test_long_lists_go_in_chunks_and_keep_their_order() -> None:
    model = FakeModel()
    pipe = pipeline("text-classification", model, top_k=None)
    texts = [f"key {number} " * (number % 5) for number in range(1100)]
    found = pipe(texts)
    for number in (0, 1, 511, 512, 513, 1023, 1024, 1099):
        assert found[number] == pipe([texts[number]])[0]


def test_iterators_are_read_lazily() -> None:
    pipe = pipeline("text-classification", FakeModel())
    taken = 0

    def texts() -> Iterator[str]:
        nonlocal taken
        for number in range(10):
            taken += 1
            yield f"key {number}"

    answers = pipe(texts(), batch_size=2)
    assert taken == 0
    first = next(answers)
    assert taken == 2
    assert [first, *answers] == pipe([f"key {number}" for number in range(10)])
    assert list(pipe(iter([]))) == []

    def bad() -> Iterator[Any]:
        yield from ["fine", "fine", 7]

    with pytest.raises(InputError, match="text 2 must be a str"):
        list(pipe(bad(), batch_size=2))


def test_texts_are_cut_by_default_and_refused_when_asked() -> None:
    model = FakeModel(max_tokens=24, positions=32)
    pipe = pipeline("text-classification", model)
    for text, options, length in (
        ("the " * 100, {}, 24),
        ("the " * 100, {"max_length": 9}, 9),
        ("the " * 100, {"max_length": 32}, 32),
        ("the " * 100, {"truncation": "longest_first", "padding": True}, 24),
        ("the " * 28, {"truncation": False}, 30),
        ("the " * 28, {"truncation": "do_not_truncate"}, 30),
    ):
        model.batches.clear()
        pipe(text, **options)
        assert model.batches[0].longest == length
    with pytest.raises(InputError, match=r"text 1 has 33 tokens.*positions for 32.*window=True"):
        pipe(["the", "the " * 31], truncation=False)
    with pytest.raises(InputError, match="max_length 33 is more than the 32"):
        pipe("the", max_length=33)
    with pytest.raises(InputError, match="special tokens"):
        pipe("the", max_length=1)


@pytest.mark.parametrize("task", ONE_TEXT_TASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_texts_are_refused_alike_in_every_task(task: Any, kind: str) -> None:
    fields: dict[str, Any] = {"pooling": ("mean",)} if task == "sentence-embedding" else {}
    pipe = pipeline(task, FakeModel(task, kind=kind, **fields))
    with pytest.raises(InputError, match=r"text 1 has a lone surrogate U\+D800 at character 4"):
        pipe(["fine", "key \ud800"])
    for wrong in (None, 3, b"bytes", 1.5, {"fine"}):
        with pytest.raises(InputError, match="text 0 must be a str"):
            pipe(wrong)
        with pytest.raises(InputError, match="text 1 must be a str"):
            pipe(["fine", wrong])
    with pytest.raises(InputError, match="text 0"):
        pipe([["nested"]])
    with pytest.raises(InputError, match="tokens, and the model has positions"):
        pipe("the quiet harbour key " * 60, truncation=False)
    # What is unusual but right has answers: nothing, NUL, emoji, right to left, a megabyte.
    odd = ["", "\0", "a\0b", "😀👩‍👩‍👧", "שלום عالم", "\u202eabc", "the key " * 130_000]
    assert len(pipe(odd)) == len(odd)
    assert len(pipe([])) == 0


def test_bad_shapes_of_text_classification() -> None:
    pipe = pipeline("text-classification", FakeModel())
    with pytest.raises(InputError, match="text_pair"):
        pipe(("text", "pair"))
    with pytest.raises(InputError, match="text_pair"):
        pipe(["a", ("text", "pair")])
    with pytest.raises(InputError, match="two texts, found 3"):
        pipe([[["a", "b", "c"]]])
    for wrong in ({}, {"text_pair": "a"}, {"text": "a", "extra": "b"}):
        with pytest.raises(InputError, match="keys 'text'"):
            pipe(wrong)
    with pytest.raises(InputError, match="text_pair of text 0 must be a str"):
        pipe({"text": "a", "text_pair": 3})
    with pytest.raises(InputError, match="text_pair of text 1 has a lone surrogate"):
        pipe(["a", {"text": "a", "text_pair": "\udc00"}])


@pytest.mark.parametrize("when", ["built", "called"])
@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("text-classification", {"topk": 1}, "no option 'topk'.*top_k"),
        ("text-classification", {"top_k": 0}, "top_k"),
        ("text-classification", {"top_k": True}, "top_k"),
        ("text-classification", {"top_k": "3"}, "top_k"),
        ("text-classification", {"function_to_apply": "relu"}, "function_to_apply"),
        ("text-classification", {"stride": 3}, "stride is of use with window=True"),
        ("text-classification", {"return_window": True}, "return_window is of use"),
        ("text-classification", {"window": True, "window_reduce": "min"}, "window_reduce"),
        ("text-classification", {"window": True, "stride": -1}, "stride"),
        ("text-classification", {"window": True, "window_label": "bad"}, "none of the model's"),
        ("text-classification", {"decide": True}, "stores a decision threshold"),
        ("text-classification", {"truncation": "only_first"}, "truncation"),
        ("text-classification", {"padding": "max_length"}, "padding"),
        ("text-classification", {"max_length": 0}, "max_length"),
        ("text-classification", {"max_length": 8.0}, "max_length"),
        ("text-classification", {"batch_size": 0}, "batch_size"),
        ("text-classification", {"max_batch_tokens": None}, "max_batch_tokens"),
        ("token-classification", {"window": True}, "no option 'window'"),
        ("token-classification", {"aggregation_strategy": "most"}, "aggregation_strategy"),
        ("token-classification", {"stride": 3}, "other than 'none'"),
        ("token-classification", {"ignore_labels": "O"}, "list of labels"),
        ("token-classification", {"ignore_labels": 5}, "list of labels"),
        ("token-classification", {"ignore_labels": ["O", 5]}, "list of labels"),
        ("feature-extraction", {"tokenize_kwargs": 5}, "tokenize_kwargs must be a dictionary"),
        ("text-classification", {"decide": "no"}, "decide must be True or False"),
        ("sentence-embedding", {"normalize_embeddings": 1}, "must be True or False"),
        ("feature-extraction", {"return_tensors": "pt"}, "return_tensors"),
        ("feature-extraction", {"tokenize_kwargs": {"stride": 1}}, "tokenize_kwargs has 'stride'"),
        (
            "feature-extraction",
            {"max_length": 5, "tokenize_kwargs": {"max_length": 5}},
            "given twice",
        ),
        ("sentence-embedding", {"top_k": 1}, "no option 'top_k'"),
    ],
)
def test_bad_options_are_named(when: str, task: Any, options: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"pooling": ("mean",)} if task == "sentence-embedding" else {}
    model = FakeModel(task, **fields)
    if when == "built":
        with pytest.raises(InputError, match=message):
            pipeline(task, model, **options)
    else:
        pipe = pipeline(task, model)
        with pytest.raises(InputError, match=message):
            pipe("text", **options)


def test_options_of_loading_are_settled_with_a_loaded_model() -> None:
    for options in ({"precision": "int8"}, {"threads": 1}, {"device": "cpu"}):
        with pytest.raises(InputError, match=f"loaded already; give {next(iter(options))}"):
            pipeline("text-classification", FakeModel(), **options)


def test_a_model_made_for_another_task_is_refused() -> None:
    with pytest.raises(InputError, match="loaded for token-classification"):
        pipeline("text-classification", FakeModel("token-classification"))
    with pytest.raises(InputError, match="loaded for text-classification"):
        pipeline("sentence-embedding", FakeModel())
    assert pipeline("feature-extraction", FakeModel())("the key")


def test_the_decision_is_an_extra_key() -> None:
    model = FakeModel()
    score = dict(zip(LABELS, foretold(model, "the key"), strict=True))["leak"]
    for value, wanted in ((score * 0.9, True), (score * 1.1, False)):
        threshold = Threshold(label="leak", value=value, false_alarm_rate=0.01)
        pipe = pipeline("text-classification", FakeModel(threshold=threshold))
        assert list(pipe("the key")[0]) == ["label", "score"]
        [one] = pipe("the key", decide=True)
        assert list(one) == ["label", "score", "decision"]
        assert one["decision"] is wanted
        ranked = pipe("the key", decide=True, top_k=None)
        assert [row["decision"] for row in ranked] == [wanted] * 3
        # Chosen on the model's own function, so no other function moves it.
        [raw] = pipe("the key", decide=True, function_to_apply="none")
        assert raw["decision"] is wanted
        [whole] = pipe("the key", decide=True, window=True)
        assert whole == one


def test_token_classification() -> None:
    model = FakeModel("token-classification", labels=TAGS)
    pipe = pipeline("token-classification", model)
    text = "the quiet harbour key"
    tokens = pipe(text, ignore_labels=[])
    [encoded] = model.tokenizer().encode([text], max_tokens=None)
    assert [one["index"] for one in tokens] == list(range(1, len(encoded) - 1))
    assert [(one["start"], one["end"]) for one in tokens] == encoded.offsets[1:-1]
    for one in tokens:
        token = encoded.ids[one["index"]]
        logits = [0.0, float(token % 7), float(token % 5)]
        assert one["entity"] == TAGS[int(np.argmax(logits))]
        assert one["score"] == pytest.approx(max(softmax(logits)))
        assert one["word"] == model.tokenizer().token(token)
    assert pipe([text, text]) == [pipe(text)] * 2
    assert pipe((text, text)) == [pipe(text)] * 2
    assert pipe("") == []
    assert pipe([]) == []
    assert all(one["entity"] != "O" for one in pipe(text))


def test_token_classification_reads_on_with_a_stride() -> None:
    model = FakeModel("token-classification", labels=TAGS)
    pipe = pipeline("token-classification", model, aggregation_strategy="simple")
    text = "the quiet harbour key " * 20
    cut, whole = pipe(text), pipe(text, stride=6)
    assert cut[-1]["end"] < 100
    assert whole[-1]["end"] > len(text) - 20
    spans = [(one["start"], one["end"]) for one in whole]
    assert spans == sorted(set(spans))
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    with pytest.raises(InputError, match=r"stride must be in 0 \.\. 21"):
        pipe(text, stride=22)


def test_feature_extraction() -> None:
    model = FakeModel("feature-extraction")
    pipe = pipeline("feature-extraction", model)
    found = pipe("the key")
    [encoded] = model.tokenizer().encode(["the key"], max_tokens=None)
    assert isinstance(found, list)
    assert np.shape(found) == (1, len(encoded), HIDDEN)
    assert [row[0] for row in found[0]] == encoded.ids
    assert pipe(["the key", ""])[0] == found
    for flag in (True, "np"):
        array = pipe("the key", return_tensors=flag)
        assert array.dtype == np.float32
        assert array.tolist() == found
    for options in ({"max_length": 5}, {"tokenize_kwargs": {"max_length": 5, "truncation": True}}):
        assert np.shape(pipe("the " * 50, **options)) == (1, 5, HIDDEN)


@pytest.mark.parametrize(
    "pooling", [("mean",), ("cls",), ("max",), ("cls", "mean"), ("mean", "max")]
)
@pytest.mark.parametrize("normalize", [False, True])
def test_sentence_embedding(pooling: Any, normalize: bool) -> None:
    model = FakeModel("sentence-embedding", pooling=pooling, normalize=normalize)
    pipe = pipeline("sentence-embedding", model)
    found = pipe(["the key", "the quiet harbour", ""])
    assert found.dtype == np.float32
    assert found.shape == (3, HIDDEN * len(pooling))
    assert np.array_equal(pipe("the key"), found[0])
    [encoded] = model.tokenizer().encode(["the key"], max_tokens=None)
    hidden = model.forward([encoded.ids], [encoded.type_ids], output="hidden")
    parts = {"mean": hidden.mean(0), "max": hidden.max(0), "cls": hidden[0]}
    wanted = np.concatenate([parts[one] for one in pooling])
    if normalize:
        wanted = wanted / np.linalg.norm(wanted)
    assert found[0] == pytest.approx(wanted, rel=1e-6)
    unit = pipe(["the key"], normalize_embeddings=True)
    assert np.linalg.norm(unit) == pytest.approx(1.0, rel=1e-6)
    assert pipe([]).shape == (0, HIDDEN * len(pooling))
    assert pipe([]).dtype == np.float32


@pytest.mark.parametrize("task", ONE_TEXT_TASKS)
def test_eight_threads_get_equal_answers_from_one_pipeline(task: Any) -> None:
    fields: dict[str, Any] = {"pooling": ("mean",)} if task == "sentence-embedding" else {}
    pipe = pipeline(task, FakeModel(task, **fields))
    wanted = pipe(TEXTS)
    options = [{}, {"max_length": 8}, {"batch_size": 2}, {"max_batch_tokens": 16}]
    answers = [pipe(TEXTS, **option) for option in options]
    failures: list[object] = []

    def work(seed: int) -> None:
        try:
            for turn in range(25):
                choice = (seed + turn) % 4
                found = pipe(TEXTS, **options[choice])
                same = all(map(np.array_equal, found, answers[choice]))
                if not same or not all(map(np.array_equal, pipe(TEXTS), wanted)):
                    failures.append((seed, turn))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_front_door_is_callable_before_and_after_its_package_is_imported() -> None:
    for _ in range(2):
        assert limbeck.pipeline("text-classification", FakeModel())("the key")
    from limbeck import pipeline as front

    assert front("text-classification", FakeModel())("the key")
