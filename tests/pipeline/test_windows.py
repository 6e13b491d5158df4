"""Long texts read whole: nothing is missed, windows are computed together, reductions, spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_model import LABELS, FakeModel
from limbeck.errors import InputError
from limbeck.pipeline import pipeline
from limbeck.pipeline.windows import default_stride
from limbeck.spec import Threshold
from limbeck.tasks import class_scores
from tokenizer_files import hard_texts, raw

BELL = raw("wordpiece").token_to_id("bell")
AT_MOST_ONE = Threshold(label="leak", value=0.5, false_alarm_rate=0.01)


def finds_the_bell(ids: Sequence[int], types: Sequence[int]) -> list[float]:
    """A detector: "leak" where the bell is, else "clean", more surely so than ever "leak"."""
    return [0.0, 0.0, 4.0] if BELL in ids else [6.0, 0.0, 0.0]


def detector(**fields: Any) -> Any:
    return pipeline("text-classification", FakeModel(logits=finds_the_bell, **fields))


FILLER = "the quiet harbour, " * 300


def test_what_is_cut_off_is_missed_and_what_is_read_whole_is_found() -> None:
    pipe = detector(threshold=AT_MOST_ONE)
    text = FILLER + "the bell"
    assert pipe(text)[0]["label"] == "clean"
    [found] = pipe(text, window=True, decide=True, return_window=True)
    assert found["label"] == "leak"
    assert found["decision"] is True
    assert "bell" in text[found["start"] : found["end"]]
    assert found["end"] == len(text)
    [nothing] = pipe(FILLER, window=True, decide=True)
    assert (nothing["label"], nothing["decision"]) == ("clean", False)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 300), stride=st.sampled_from([None, 0, 5, 21]))
def test_nothing_is_missed_wherever_it_stands(place: int, stride: int | None) -> None:
    words = ["harbour"] * 300
    words.insert(place, "bell")
    text = " ".join(words)
    start = text.index("bell")
    [found] = detector(threshold=AT_MOST_ONE)(text, window=True, stride=stride, return_window=True)
    assert found["label"] == "leak"
    assert found["start"] <= start
    assert start + 4 <= found["end"]


@settings(max_examples=60, deadline=None)
@given(
    text=st.lists(hard_texts, max_size=6).map(" ".join),
    stride=st.integers(0, 9),
    reduce=st.sampled_from(["max", "mean"]),
    label=st.sampled_from([None, *LABELS]),
    function=st.sampled_from([None, "sigmoid", "none"]),
)
def test_reductions_written_out(
    text: str, stride: int, reduce: Any, label: str | None, function: str | None
) -> None:
    model = FakeModel(max_tokens=16)
    pipe = pipeline("text-classification", model)
    found = pipe(
        text,
        top_k=None,
        window=True,
        stride=stride,
        window_reduce=reduce,
        window_label=label,
        window_looks=1,
        function_to_apply=function,
        return_window=True,
    )
    windows = model.tokenizer().windows(text, max_tokens=16, stride=stride, at_sentences=True)
    logits = np.concatenate([model.forward([w.ids], [w.type_ids]) for w in windows])
    task = model.spec.task
    scores = class_scores(logits, task, function)
    for row in found:
        index = LABELS.index(row["label"])
        best = max(range(len(windows)), key=lambda w: scores[w, index])
        wanted = scores[:, index].max()
        if reduce == "mean":
            wanted = scores[:, index].mean()
        elif label is not None:
            own = class_scores(logits, task)[:, LABELS.index(label)]
            best = max(range(len(windows)), key=lambda w: own[w])
            wanted = scores[best, index]
        assert row["score"] == pytest.approx(float(wanted), rel=1e-6, abs=1e-12)
        assert (row["start"], row["end"]) == windows[best].span
    ranked = [row["score"] for row in found]
    assert ranked == sorted(ranked, reverse=True)


@settings(max_examples=60, deadline=None)
@given(
    text=st.lists(hard_texts, max_size=6).map(" ".join),
    looks=st.integers(1, 5),
    function=st.sampled_from([None, "none"]),
    threshold=st.sampled_from([None, 0.2, 0.9]),
)
def test_further_looks_written_out(
    text: str, looks: int, function: str | None, threshold: float | None
) -> None:
    """The mean of the logits of each look's deciding window; texts without suspicion have one."""
    stored = threshold and Threshold(label="leak", value=threshold, false_alarm_rate=0.01)
    model = FakeModel(max_tokens=24, threshold=stored or None)
    task = model.spec.task
    found = pipeline("text-classification", model)(
        text,
        top_k=None,
        window=True,
        window_label="leak",
        window_looks=looks,
        function_to_apply=function,
    )
    leak = LABELS.index("leak")
    deciding = []
    for length in (24, 18, 15, 21, 12)[:looks]:
        room = length - model.tokenizer().special_tokens()
        windows = model.tokenizer().windows(
            text, max_tokens=length, stride=default_stride(room), at_sentences=True
        )
        logits = np.concatenate([model.forward([w.ids], [w.type_ids]) for w in windows])
        deciding.append(logits[class_scores(logits, task)[:, leak].argmax()])
        if class_scores(deciding[0], task)[leak] < min(0.5, threshold or 1):
            break
    wanted = class_scores(np.mean(deciding, axis=0), task, function)
    for row in found:
        index = LABELS.index(row["label"])
        assert row["score"] == pytest.approx(float(wanted[index]), rel=1e-5, abs=1e-9)


def test_only_what_seems_to_hold_the_label_is_read_again() -> None:
    model = FakeModel(logits=finds_the_bell, threshold=AT_MOST_ONE, max_tokens=24)
    pipe = pipeline("text-classification", model)
    pipe(["quiet harbour " * 90, "the quiet harbour", "harbour " * 40], window=True)
    assert len(model.batches) == 1
    model.batches.clear()
    pipe(["quiet harbour " * 90, "harbour " * 40 + "bell", "harbour " * 40], window=True)
    assert len(model.batches) == 5
    assert model.batches[1].tokens < model.batches[0].tokens / 2
    model.batches.clear()
    pipe(["harbour " * 40 + "bell"], window=True, window_looks=1)
    assert len(model.batches) == 1


@pytest.mark.parametrize("looks", [0, 6, True, 1.0, "2"])
def test_numbers_of_looks_that_make_no_sense(looks: Any) -> None:
    with pytest.raises(InputError, match="window_looks must be 1 to 5"):
        detector()("the bell", window=True, window_looks=looks)


def test_short_texts_have_the_answer_that_they_have_without_windows() -> None:
    pipe = pipeline("text-classification", FakeModel())
    texts = ["the bell", "", "a\0b", "😀 שלום", "the quiet harbour"]
    for options in ({}, {"top_k": None}, {"function_to_apply": "none"}):
        for reduce in ("max", "mean"):
            whole = pipe(texts, window=True, window_reduce=reduce, **options)
            assert whole == pipe(texts, **options)
    assert pipe("the bell", window=True) == pipe("the bell")
    assert pipe([], window=True) == []
    [empty] = pipe("", window=True, return_window=True)
    assert (empty["start"], empty["end"]) == (0, 0)


def test_the_windows_of_a_text_are_one_packed_batch() -> None:
    model = FakeModel(max_tokens=24)
    pipe = pipeline("text-classification", model)
    pipe("harbour " * 150, window=True, stride=4)
    [batch] = model.batches
    assert batch.sequences == len(
        model.tokenizer().windows("harbour " * 150, max_tokens=24, stride=4)
    )
    assert batch.sequences > 10
    model.batches.clear()
    pipe(["harbour " * 150, "bell", "quiet " * 90], window=True)
    assert len(model.batches) == 1


def test_the_sum_of_scores() -> None:
    text = FILLER + "the bell"
    # With a label to look for, the scores are those of one window.
    rows = detector(threshold=AT_MOST_ONE)(text, top_k=None, window=True)
    assert sum(row["score"] for row in rows) == pytest.approx(1.0)
    rows = detector()(text, top_k=None, window=True, window_label="leak")
    assert sum(row["score"] for row in rows) == pytest.approx(1.0)
    # Without one each label has its own highest score, here in different windows.
    rows = detector()(text, top_k=None, window=True)
    assert sum(row["score"] for row in rows) > 1.5
    rows = detector()(text, top_k=None, window=True, window_reduce="mean")
    # a mean of many windows in float32
    assert sum(row["score"] for row in rows) == pytest.approx(1.0, abs=1e-5)


def test_options_that_do_not_go_together() -> None:
    pipe = detector(threshold=AT_MOST_ONE)
    with pytest.raises(InputError, match="reads single texts"):
        pipe({"text": "a", "text_pair": "b"}, window=True)
    with pytest.raises(InputError, match="would look elsewhere"):
        pipe("a", window=True, decide=True, window_label="clean")
    with pytest.raises(InputError, match=r"stride must be in 0 \.\. 21"):
        pipe("a", window=True, stride=22)
    with pytest.raises(InputError, match="max_length 33"):
        pipe("a", window=True, max_length=33)
    assert pipe(FILLER, window=True, max_length=32, decide=True, window_label="leak")


def test_the_default_stride() -> None:
    assert [default_stride(room) for room in (1, 4, 30, 254, 510, 4000)] == [0, 1, 7, 63, 64, 64]
