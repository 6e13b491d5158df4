"""`pipeline`: the name of a task and a model -> the callable that answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, overload

from limbeck.errors import InputError
from limbeck.pipeline.base import Pipeline
from limbeck.pipeline.question_answering import QuestionAnsweringPipeline
from limbeck.pipeline.text_classification import TextClassificationPipeline
from limbeck.pipeline.token_classification import TokenClassificationPipeline
from limbeck.pipeline.vectors import FeatureExtractionPipeline, SentenceEmbeddingPipeline
from limbeck.spec import TASKS, Task

if TYPE_CHECKING:
    from limbeck.runtimes import Model

_Path = str | os.PathLike[str]

PIPELINES: dict[Task, type[Pipeline[Any]]] = {
    "text-classification": TextClassificationPipeline,
    "token-classification": TokenClassificationPipeline,
    "question-answering": QuestionAnsweringPipeline,
    "feature-extraction": FeatureExtractionPipeline,
    "sentence-embedding": SentenceEmbeddingPipeline,
}
# transformers' other names for the same pipelines.
_ALIASES: dict[str, Task] = {
    "sentiment-analysis": "text-classification",
    "ner": "token-classification",
}
_LOAD_OPTIONS = ("runtime", "device", "instances")


@overload
def pipeline(
    task: Literal["text-classification", "sentiment-analysis"],
    model: _Path | Model,
    *,
    precision: str = ...,
    threads: int | None = ...,
    batch_size: int | None = ...,
    **options: Any,
) -> TextClassificationPipeline: ...
@overload
def pipeline(
    task: Literal["token-classification", "ner"],
    model: _Path | Model,
    *,
    precision: str = ...,
    threads: int | None = ...,
    batch_size: int | None = ...,
    **options: Any,
) -> TokenClassificationPipeline: ...
@overload
def pipeline(
    task: Literal["question-answering"],
    model: _Path | Model,
    *,
    precision: str = ...,
    threads: int | None = ...,
    batch_size: int | None = ...,
    **options: Any,
) -> QuestionAnsweringPipeline: ...
@overload
def pipeline(
    task: Literal["feature-extraction"],
    model: _Path | Model,
    *,
    precision: str = ...,
    threads: int | None = ...,
    batch_size: int | None = ...,
    **options: Any,
) -> FeatureExtractionPipeline: ...
@overload
def pipeline(
    task: Literal["sentence-embedding"],
    model: _Path | Model,
    *,
    precision: str = ...,
    threads: int | None = ...,
    batch_size: int | None = ...,
    **options: Any,
) -> SentenceEmbeddingPipeline: ...
@overload
def pipeline(
    task: str,
    model: _Path | Model,
    *,
    precision: str = ...,
    threads: int | None = ...,
    batch_size: int | None = ...,
    **options: Any,
) -> Pipeline[Any]: ...
def pipeline(
    task: str,
    model: _Path | Model,
    *,
    precision: str = "auto",
    threads: int | None = None,
    batch_size: int | None = None,
    **options: Any,
) -> Pipeline[Any]:
    """Build a callable that takes and returns what transformers' pipeline of the task does.

    Args:
        task: "text-classification" (or "sentiment-analysis"), "token-classification" (or "ner"),
            "question-answering", "feature-extraction" or "sentence-embedding".
        model: what `limbeck.load` takes (an artifact, a Hugging Face or sentence-transformers
            directory, a hub name), or a model that it returned.
        precision, threads: see `limbeck.load`; with a loaded model they are already settled.
        batch_size: most texts that are computed together; None: as many as fit the token bound.
            It changes speed and memory, never an answer.
        options: defaults for calls, see the task's class; also runtime, device and instances of
            `limbeck.load`.

    Raises:
        InputError: an unknown task or option, or a loaded model made for another task.
        ArtifactError, ModelError, EngineError, MissingExtraError: see `limbeck.load`.
    """
    chosen: Task | None = _ALIASES.get(task)
    if chosen is None:
        chosen = next((known for known in TASKS if known == task), None)
    if chosen is None:
        raise InputError(f"task {task!r} is not supported; supported: {', '.join(TASKS)}")
    kind = PIPELINES[chosen]
    load_options = {name: options.pop(name) for name in _LOAD_OPTIONS if name in options}
    # Options are checked before a model is loaded: a typing error should not cost seconds.
    checked = kind.parse_options({"batch_size": batch_size, **options})
    if isinstance(model, str | os.PathLike):
        from limbeck.runtimes import load

        loaded = load(model, precision=precision, threads=threads, task=chosen, **load_options)
    else:
        settled = dict(load_options)
        if precision != "auto":
            settled["precision"] = precision
        if threads is not None:
            settled["threads"] = threads
        if settled:
            raise InputError(
                f"the model is loaded already; give {', '.join(sorted(settled))} to limbeck.load"
            )
        loaded = model
    return kind(loaded, checked)
