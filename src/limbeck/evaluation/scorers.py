"""A model's answers to labelled rows -> `Scored`, one function a problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.evaluation.examples import Examples, Problem, problem_of
from limbeck.evaluation.scored import Scored
from limbeck.evaluation.values import Values, metrics_of
from limbeck.pipeline import pipeline
from limbeck.tasks import span_metrics

if TYPE_CHECKING:
    from limbeck.runtimes import Model

_CHUNK_ROWS = 256
# SQuAD's habit; transformers' pipeline gives 15 where it is not asked for more.
_MAX_ANSWER_TOKENS = 30

Advance = Callable[[int], object]


def score(
    model: Model, examples: Examples, *, advance: Advance | None = None, **options: Any
) -> Scored:
    """Answer all rows through the model's pipeline, and compare.

    Args:
        advance: told how many rows have been answered since the last time.
        options: of the pipeline, such as window=True.

    Raises:
        InputError: the rows are of another problem than the model's, or their labels are not
            those of the model.
    """
    problem = problem_of(model.spec.task)
    if problem != examples.problem:
        raise InputError(f"the rows are for {examples.problem}, and this model is for {problem}")
    return _SCORERS[problem](model, examples, advance or (lambda count: None), options)


def _chunks(rows: int, advance: Advance) -> Iterator[slice]:
    for start in range(0, rows, _CHUNK_ROWS):
        stop = min(rows, start + _CHUNK_ROWS)
        yield slice(start, stop)
        advance(stop - start)


def _class_logits(
    model: Model, examples: Examples, advance: Advance, options: dict[str, Any]
) -> npt.NDArray[np.float64]:
    """[N, L], by the function "none", so that regression and classes are read alike."""
    task = model.spec.task
    classify = pipeline("text-classification", model)
    found = np.zeros((len(examples), len(task.labels)))
    place = {label: index for index, label in enumerate(task.labels)}
    for part in _chunks(len(examples), advance):
        inputs: list[Any] = list(examples.texts[part])
        if examples.pairs is not None:
            inputs = [
                {"text": text, "text_pair": pair}
                for text, pair in zip(inputs, examples.pairs[part], strict=True)
            ]
        answers = classify(inputs, top_k=None, function_to_apply="none", **options)
        for row, answer in enumerate(answers, start=part.start):
            for one in answer:
                found[row, place[one["label"]]] = one["score"]
    return found


def class_numbers(targets: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Labels of a file as numbers of the model's labels: by name, or by number where all are.

    Raises:
        InputError: a label is neither.
    """
    number = {label: index for index, label in enumerate(labels)}
    if not set(targets) <= set(number) and all(one.isdecimal() for one in targets):
        number = {str(index): index for index in range(len(labels))}
    unknown = sorted(set(targets) - set(number))
    if unknown:
        raise InputError(
            f"the rows have the label {unknown[0]!r}, and the model knows {list(labels)}"
        )
    return np.array([number[one] for one in targets])


def _single_label(
    model: Model, examples: Examples, advance: Advance, options: dict[str, Any]
) -> Scored:
    right = class_numbers(examples.targets, model.spec.task.labels)
    logits = _class_logits(model, examples, advance, options)
    return _scored(model, examples, {"logits": logits, "right": right}, options)


def _multi_label(
    model: Model, examples: Examples, advance: Advance, options: dict[str, Any]
) -> Scored:
    labels = model.spec.task.labels
    right = np.zeros((len(examples), len(labels)))
    for row, targets in enumerate(examples.targets):
        if targets:
            right[row, class_numbers(targets, labels)] = 1.0
    said = (_class_logits(model, examples, advance, options) > 0).astype(np.float64)
    return _scored(model, examples, {"said": said, "right": right}, options)


def _regression(
    model: Model, examples: Examples, advance: Advance, options: dict[str, Any]
) -> Scored:
    right = np.array(examples.targets, dtype=np.float64)
    if len(model.spec.task.labels) != 1:
        raise InputError(
            f"the model gives {len(model.spec.task.labels)} numbers, and rows have one label"
        )
    said = _class_logits(model, examples, advance, options)[:, 0]
    return _scored(model, examples, {"said": said, "right": right}, options)


def _similarity(
    model: Model, examples: Examples, advance: Advance, options: dict[str, Any]
) -> Scored:
    if examples.pairs is None:
        raise InputError("similarity is measured on pairs; name the column of the second text")
    right = np.array(examples.targets, dtype=np.float64)
    embed = pipeline("sentence-embedding", model)
    said = np.zeros(len(examples))
    for part in _chunks(len(examples), advance):
        first, second = (
            embed(list(texts[part]), normalize_embeddings=True, **options)
            for texts in (examples.texts, examples.pairs)
        )
        said[part] = (first * second).sum(axis=1)
    return _scored(model, examples, {"said": said, "right": right}, options)


def _questions(
    model: Model, examples: Examples, advance: Advance, options: dict[str, Any]
) -> Scored:
    assert examples.pairs is not None
    answer = pipeline("question-answering", model)
    impossible = any(not right for right in examples.targets)
    chosen = {
        "max_answer_len": _MAX_ANSWER_TOKENS,
        "handle_impossible_answer": impossible,
        **options,
    }
    exact, f1 = np.zeros(len(examples)), np.zeros(len(examples))
    for part in _chunks(len(examples), advance):
        asked = [
            {"question": question, "context": context}
            for question, context in zip(examples.texts[part], examples.pairs[part], strict=True)
        ]
        answers = answer(asked, **chosen)
        for row, one in enumerate([answers] if len(asked) == 1 else answers, start=part.start):
            exact[row], f1[row] = span_metrics.answer_scores(one["answer"], examples.targets[row])
    return _scored(model, examples, {"exact": exact, "f1": f1}, {})


def _tags(model: Model, examples: Examples, advance: Advance, options: dict[str, Any]) -> Scored:
    """A word has the tag of its first token; words that the model does not get to see have "O"."""
    assert examples.words is not None
    if options:
        raise InputError(f"token classification is evaluated without {sorted(options)}")
    task = model.spec.task
    unknown = sorted({tag for tags in examples.targets for tag in tags} - set(task.labels))
    if unknown:
        raise InputError(
            f"the rows have the tag {unknown[0]!r}, and the model knows {list(task.labels)}"
        )
    longest = min(task.max_tokens, model.spec.encoder.max_tokens)
    tag = pipeline("token-classification", model, ignore_labels=[])
    said: list[list[str]] = []
    unseen = 0
    for part in _chunks(len(examples), advance):
        answers = tag(list(examples.texts[part]), max_length=longest)
        for words, answer in zip(examples.words[part], answers, strict=True):
            by_start = {one["start"]: one["entity"] for one in answer}
            tags, begin = [], 0
            for word in words:
                inside = range(begin, begin + len(word))
                first = next((by_start[at] for at in inside if at in by_start), None)
                unseen += first is None
                tags.append(first or "O")
                begin += len(word) + 1
            said.append(tags)
    counted = [
        (
            *span_metrics.entity_counts(ours, theirs),
            sum(one == other for one, other in zip(ours, theirs, strict=True)),
            len(theirs),
        )
        for ours, theirs in zip(said, examples.targets, strict=True)
    ]
    counts = np.array(counted, dtype=np.float64)

    notes = (f"{unseen} words lie beyond {longest} tokens, or have none; they count as O",)
    return _scored(model, examples, {"counts": counts}, {}, notes if unseen else ())


def _scored(
    model: Model,
    examples: Examples,
    values: Values,
    options: dict[str, Any],
    notes: tuple[str, ...] = (),
) -> Scored:
    tokens = np.concatenate(
        [
            [
                len(one)
                for one in model.tokenizer().encode(
                    list(examples.texts[part]),
                    None if examples.pairs is None else list(examples.pairs[part]),
                    max_tokens=None,
                )
            ]
            for part in _chunks(len(examples), lambda count: None)
        ]
    ).astype(np.int64)
    task = model.spec.task
    longest = options.get("max_length") or min(task.max_tokens, model.spec.encoder.max_tokens)
    whole = options.get("window") or examples.problem == "question-answering"
    return Scored(
        examples=examples,
        metrics=metrics_of(examples.problem, values),
        tokens=tokens,
        cut=0 if whole else int((tokens > longest).sum()),
        notes=notes,
        values=values,
    )


_SCORERS: dict[Problem, Callable[[Model, Examples, Advance, dict[str, Any]], Scored]] = {
    "single_label": _single_label,
    "multi_label": _multi_label,
    "regression": _regression,
    "similarity": _similarity,
    "question-answering": _questions,
    "token-classification": _tags,
}
