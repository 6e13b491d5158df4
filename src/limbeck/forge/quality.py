"""How well a model answers labelled rows: one metric a task."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.forge import logits, tagged
from limbeck.forge.answers import Answers, Packed
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.examples import TrainingSet
from limbeck.forge.questions import QuestionSet
from limbeck.forge.rows import Rows
from limbeck.forge.sentences import SentenceSet
from limbeck.forge.tagged import OUTSIDE, TaggedSet
from limbeck.tasks import metrics, normalize, question_answering, span_metrics

# SQuAD's habit.
_MAX_ANSWER_TOKENS = 30


class Quality(NamedTuple):
    """The metric by which answers to these rows are judged, its value, and how many rows it saw."""

    metric: str
    value: float
    rows: int


def of(model: Checkpoint, rows: Rows, answers: Answers | None = None) -> Quality:
    """Judge a model's answers to those of the rows that have a label.

    Accuracy for one label of several, micro F1 for several, Spearman's correlation for numbers and
    for the cosines of sentences, F1 of whole entities for tags, SQuAD's F1 for answers to
    questions, which are found as the pipeline finds them.

    Args:
        answers: the model's for these rows, as `logits.of` gives them, all of which must then have
            a label; None: it is asked.

    Raises:
        InputError: no row has a label, or rows and answers do not fit together.
    """
    known = np.flatnonzero(rows.labelled)
    if not len(known):
        raise InputError("none of the rows has a label to judge answers by")
    if answers is None:
        rows = rows.take(known)
        answers = logits.of(model, rows)
    elif len(known) < len(rows):
        raise InputError(f"{len(rows) - len(known)} of {len(rows)} rows have no label")
    metric, value = _judged(model, rows, answers)
    return Quality(metric, value, len(known))


def _judged(model: Checkpoint, rows: Rows, answers: Answers) -> tuple[str, float]:
    if isinstance(rows, TaggedSet):
        return "span F1", span_metrics.span_f1(*_tags(model, rows, answers)).f1
    if isinstance(rows, QuestionSet):
        return "F1", _answer_f1(model, rows, answers)
    assert not isinstance(answers, Packed)
    if isinstance(rows, SentenceSet):
        return "Spearman", metrics.spearman(_cosines(rows, answers), rows.labels)
    assert isinstance(rows, TrainingSet)
    if rows.problem == "regression":
        return "Spearman", metrics.spearman(answers[:, 0], rows.labels)
    if rows.problem == "multi_label":
        return "micro F1", metrics.multi_label_f1(answers > 0, rows.labels)
    return "accuracy", metrics.accuracy(answers.argmax(axis=1), rows.labels)


def _tags(
    model: Checkpoint, rows: TaggedSet, answers: Answers
) -> tuple[list[list[str]], list[list[str]]]:
    """What the model says, and what is right. A word has the tag of its first token; one that was
    cut off, or has none, is outside."""
    assert isinstance(answers, Packed)
    encoded = rows.encoded(model.tokenizer, model.max_tokens)
    said, right = [], []
    for index, (words, tags) in enumerate(zip(rows.words, rows.tags, strict=True)):
        assert tags is not None
        scores = answers.window(index)
        said.append(
            [
                OUTSIDE if place < 0 else model.labels[int(scores[place].argmax())]
                for place in tagged.first_tokens(words, encoded[index])
            ]
        )
        right.append([rows.names[tag] for tag in tags])
    return said, right


def _answer_f1(model: Checkpoint, rows: QuestionSet, answers: Answers) -> float:
    assert isinstance(answers, Packed)
    impossible = any(not right for right in rows.answers)
    scores: list[float] = []
    window = 0
    for row, windows in enumerate(rows.windows(model.tokenizer, model.max_tokens)):
        found = question_answering(
            [answers.window(window + place) for place in range(len(windows))],
            windows,
            rows.contexts[row],
            max_answer_len=_MAX_ANSWER_TOKENS,
            handle_impossible_answer=impossible,
        )
        window += len(windows)
        right = [one.text for one in rows.answers[row] or ()]
        said = found[0]["answer"] if found else ""
        scores.append(span_metrics.answer_scores(said, right).f1)
    return float(np.mean(scores))


def _cosines(rows: SentenceSet, answers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[N]: every row is a pair, so second sentences stand in the rows' order behind the first."""
    first, second = normalize(answers[: len(rows)]), normalize(answers[len(rows) :])
    cosines: npt.NDArray[np.float32] = (first * second).sum(axis=1)
    return cosines
