"""The four that are compared: each gives a text a score for what is looked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from limbeck import runtimes
from limbeck.errors import VerifyError
from limbeck.forge import training
from limbeck.forge.baselines import RegexRules, TfidfRegression
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.examples import TrainingSet
from limbeck.pipeline import pipeline
from limbeck.pipeline.windows import LOOKS
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


# The engine in fp32 and torch differ by rounding alone; more would be a bug, not a figure.
_SAME_LOGITS = 1e-3


def teacher(checkpoint: Checkpoint, model: runtimes.Model) -> Detector:
    """The fine-tuned teacher in float32: timed in torch, asked for its scores through the engine.

    The engine answers some thousand texts in a third of torch's time and with the same numbers,
    which `check_same_answers` makes sure of. Each text is read once: further looks of a model that
    is several times slower would take a tenth of the demo's minutes.

    Args:
        checkpoint: the teacher in torch.
        model: the same weights, loaded in fp32.
    """
    longest = min(512, int(checkpoint.model.config.max_position_embeddings))

    def once(text: str) -> object:
        encoded = checkpoint.tokenizer.encode([text], max_tokens=longest)
        return _torch_logits(checkpoint, encoded).softmax(dim=-1)

    return Detector(
        name="teacher, torch fp32",
        scores=_through_engine(model, looks=1),
        once=once,
        size_bytes=checkpoint.size_bytes,
    )


def check_same_answers(
    checkpoint: Checkpoint, model: runtimes.Model, texts: Sequence[str]
) -> float:
    """Largest difference between torch's and the engine's logits on these texts.

    Raises:
        VerifyError: it is more than rounding explains.
    """
    largest = 0.0
    for encoded in checkpoint.tokenizer.encode(list(texts), max_tokens=checkpoint.max_tokens):
        ours = model.forward([encoded.ids], [encoded.type_ids])
        difference = np.abs(ours - _torch_logits(checkpoint, [encoded]).numpy()).max()
        largest = max(largest, float(difference))
    if not largest < _SAME_LOGITS:
        raise VerifyError(
            f"the engine's fp32 logits of the teacher differ from torch's by {largest:.2g}; "
            "please report this model"
        )
    return largest


def _torch_logits(checkpoint: Checkpoint, encoded: Sequence[Encoded]) -> torch.Tensor:
    rows = training.TokenisedSet(
        ids=[row.ids for row in encoded], type_ids=[row.type_ids for row in encoded]
    )
    batch = training.collate(checkpoint.model, rows, list(range(len(encoded))))
    checkpoint.model.eval()
    with torch.inference_mode():
        return training.forward(checkpoint.model, batch, "fp32")


def _through_engine(model: runtimes.Model, looks: int) -> Callable[[Sequence[str]], Scores]:
    """Scores of the second label through limbeck's own pipeline, as a user would call it."""
    classify = pipeline("text-classification", model, window=True, window_looks=looks, top_k=None)
    positive = model.spec.task.labels[1]

    def scores(texts: Sequence[str]) -> Scores:
        answers = classify(list(texts), window_label=positive)
        return np.array(
            [next(row["score"] for row in rows if row["label"] == positive) for rows in answers]
        )

    return scores


def student(model: runtimes.Model, size_bytes: int) -> Detector:
    """The artifact through the engine, read as the pipeline reads by default."""
    longest = min(512, model.spec.encoder.max_tokens)
    classify = pipeline("text-classification", model)
    return Detector(
        name="student, int8",
        scores=_through_engine(model, looks=len(LOOKS)),
        once=lambda text: classify(text, max_length=longest),
        size_bytes=size_bytes,
    )
