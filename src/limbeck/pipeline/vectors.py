"""feature-extraction and sentence-embedding: texts -> numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from limbeck.errors import InputError
from limbeck.pipeline.base import Item, Options, Pipeline
from limbeck.pipeline.steps import Asked, Steps
from limbeck.spec import Task
from limbeck.tasks import normalize, pool, sentence_embedding


@dataclass(frozen=True, kw_only=True)
class FeatureExtractionOptions(Options):
    """Beside the options of every pipeline:

    return_tensors: False for nested lists, True or "np" for an array [1, S, C] float32 a text.
    tokenize_kwargs: truncation, max_length and padding, as transformers also takes them.
    """

    return_tensors: bool | str | None = False
    tokenize_kwargs: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.return_tensors not in (None, True, False, "np"):
            raise InputError(f"return_tensors must be True or 'np', found {self.return_tensors!r}")

    def updated(self, changes: Mapping[str, Any], task: Task) -> Self:
        inner = dict(changes.get("tokenize_kwargs") or {})
        for name in inner:
            if name not in ("truncation", "max_length", "padding"):
                raise InputError(
                    f"tokenize_kwargs has {name!r}; supported: truncation, max_length, padding"
                )
            if name in changes:
                raise InputError(f"{name} is given twice, by itself and in tokenize_kwargs")
        return super().updated({**changes, **inner}, task)


class FeatureExtractionPipeline(Pipeline[FeatureExtractionOptions]):
    """Texts -> last hidden states [1, S, C], as transformers' pipeline of the same task.

    Takes a str, a list or an iterator of str; gives nested lists, or arrays with
    return_tensors=True. Unlike transformers it cuts long texts unless truncation=False. Options:
    see `FeatureExtractionOptions`.
    """

    task: ClassVar[Task] = "feature-extraction"
    options_type: ClassVar[type[Options]] = FeatureExtractionOptions

    def check_model(self) -> None:
        """Every encoder has hidden states, whatever its head."""

    def _steps(self, items: Sequence[Item], options: FeatureExtractionOptions) -> Steps[list[Any]]:
        hidden = yield Asked(encoded=self._encode(items, options), output="hidden")
        if options.return_tensors:
            return [one[None] for one in hidden]
        return [[one.tolist()] for one in hidden]


@dataclass(frozen=True, kw_only=True)
class SentenceEmbeddingOptions(Options):
    """Beside the options of every pipeline:

    normalize_embeddings: scale vectors to length 1 even if the model does not ask for it.
    """

    normalize_embeddings: bool = False


class SentenceEmbeddingPipeline(Pipeline[SentenceEmbeddingOptions]):
    """Texts -> vectors, as sentence-transformers' `encode`.

    A str gives [C] float32, a list of N texts [N, C] (the width is a multiple of C where the model
    joins several poolings). Options: see `SentenceEmbeddingOptions`.
    """

    task: ClassVar[Task] = "sentence-embedding"
    options_type: ClassVar[type[Options]] = SentenceEmbeddingOptions

    def _collect(self, answers: list[Any]) -> Any:
        spec = self.model.spec
        if not answers:
            width = spec.encoder.hidden * len(spec.task.pooling)
            return np.empty((0, width), dtype=np.float32)
        return np.stack(answers)

    def _steps(self, items: Sequence[Item], options: SentenceEmbeddingOptions) -> Steps[list[Any]]:
        task = self.model.spec.task
        encoded = self._encode(items, options)
        if len(task.pooling) == 1:
            pooled = yield Asked(encoded=encoded, output=task.pooling[0])
        else:
            hidden = yield Asked(encoded=encoded, output="hidden")
            pooled = [pool(one, task.pooling) for one in hidden]
        vectors = sentence_embedding(np.stack(pooled), task)
        if options.normalize_embeddings and not task.normalize:
            vectors = normalize(vectors)
        return list(vectors)
