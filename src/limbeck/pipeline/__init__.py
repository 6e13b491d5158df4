"""Text -> answer in a few lines: `limbeck.pipeline(task, model)` returns a callable.

In: str, pairs, lists or iterators of them. Out: what transformers' pipeline of that task (for
sentence-embedding, sentence-transformers) gives. Neighbours: text, tasks and runtimes below.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from limbeck.pipeline.base import Pipeline
from limbeck.pipeline.batching import together
from limbeck.pipeline.build import PIPELINES, pipeline
from limbeck.pipeline.question_answering import QuestionAnsweringPipeline
from limbeck.pipeline.steps import Asked, Steps, follow
from limbeck.pipeline.text_classification import TextClassificationPipeline
from limbeck.pipeline.token_classification import TokenClassificationPipeline
from limbeck.pipeline.vectors import FeatureExtractionPipeline, SentenceEmbeddingPipeline

__all__ = [
    "PIPELINES",
    "Asked",
    "FeatureExtractionPipeline",
    "Pipeline",
    "QuestionAnsweringPipeline",
    "SentenceEmbeddingPipeline",
    "Steps",
    "TextClassificationPipeline",
    "TokenClassificationPipeline",
    "follow",
    "pipeline",
    "together",
]


class _CallableModule(ModuleType):
    """`limbeck.pipeline(...)` keeps working once this package has been imported.

    Python then binds the name `pipeline` of the package limbeck to this module, in place of the
    function of that name.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        return pipeline(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
