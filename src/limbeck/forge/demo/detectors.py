"""The four that are compared: each gives a text a score for what is looked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from limbeck import runtimes
from limbeck.forge import training
from limbeck.forge.baselines import RegexRules, TfidfRegression
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.examples import TrainingSet
from limbeck.pipeline import pipeline
from limbeck.pipeline.windows import read_in_windows
from limbeck.spec import HeadSpec, TaskSpec
from limbeck.text import Encoded

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Detector:
    """scores: texts -> [N], higher for what is looked for, read whole whatever their length.

    once: one text, as the timing calls it: at most 512 tokens in a single pass.
    """

    name: str
    scores: Callable[[Sequence[str]], Scores]
    once: Callable[[str], object]
    size_bytes: int | None


def regex_rules() -> Detector:
    """Hand-written rules; their size is that of their source, which nobody counts."""
    rules = RegexRules()
    return Detector(
        name="regex rules",
        scores=rules.scores,
        once=lambda text: rules.scores([text]),
        size_bytes=None,
    )


def tfidf(rows: TrainingSet, seed: int) -> Detector:
    """TF-IDF n-grams and logistic regression, fitted on these rows."""
    model = TfidfRegression(seed=seed).fit(rows.texts, [int(label) for label in rows.labels])
    return Detector(
        name="TF-IDF + regression",
        scores=model.scores,
        once=lambda text: model.scores([text]),
        size_bytes=len(pickle.dumps(model, protocol=pickle.HIGHEST_PROTOCOL)),
    )


def teacher(checkpoint: Checkpoint) -> Detector:
    """The fine-tuned teacher in torch and float32, reading windows as the pipeline does."""
    model = checkpoint.model
    positive = 1
    longest = min(512, int(model.config.max_position_embeddings))
    task = TaskSpec(
        task="text-classification",
        max_tokens=checkpoint.max_tokens,
        labels=checkpoint.labels,
        problem="single_label",
        head=HeadSpec(kind="sequence"),
    )

    def forward(windows: Sequence[Encoded]) -> list[npt.NDArray[np.float32]]:
        return list(training.predict(model, _tokenised(windows), description="scoring"))

    def scores(texts: Sequence[str]) -> Scores:
        readings = read_in_windows(
            texts,
            checkpoint.tokenizer,
            task,
            forward,
            max_tokens=checkpoint.max_tokens,
            stride=None,
            reduce="max",
            label=task.labels[positive],
            function="softmax",
            own_function="softmax",
        )
        return np.array([float(reading.scores[positive]) for reading in readings])

    def once(text: str) -> object:
        rows = _tokenised(checkpoint.tokenizer.encode([text], max_tokens=longest))
        with torch.inference_mode():
            logits = training.forward(model, training.collate(model, rows, [0]), "fp32")
        return logits.softmax(dim=-1)

    return Detector(
        name="teacher, torch fp32", scores=scores, once=once, size_bytes=checkpoint.size_bytes
    )


def _tokenised(windows: Sequence[Encoded]) -> training.TokenisedSet:
    return training.TokenisedSet(
        ids=[window.ids for window in windows], type_ids=[window.type_ids for window in windows]
    )


def student(model: runtimes.Model, size_bytes: int) -> Detector:
    """The artifact through limbeck's own pipeline, as a user would call it."""
    longest = min(512, model.spec.encoder.max_tokens)
    classify = pipeline("text-classification", model)
    positive = model.spec.task.labels[1]

    def scores(texts: Sequence[str]) -> Scores:
        answers = classify(list(texts), window=True, window_label=positive, top_k=None)
        return np.array(
            [next(row["score"] for row in rows if row["label"] == positive) for rows in answers]
        )

    return Detector(
        name="student, int8",
        scores=scores,
        once=lambda text: classify(text, max_length=longest),
        size_bytes=size_bytes,
    )
