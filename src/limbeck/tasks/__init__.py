"""Logits -> answers, and how good they are.

In: what an engine computed, as numpy arrays, with the task's labels and the encoded text. Out:
labels, entities and vectors shaped as transformers and sentence-transformers shape them; metrics.
Neighbours: `text` below gives offsets and words, `pipeline` above calls this room.
"""

from __future__ import annotations

from limbeck.tasks.embedding import normalize, pool, sentence_embedding
from limbeck.tasks.question_answering import question_answering
from limbeck.tasks.scores import FunctionToApply, class_scores, default_function
from limbeck.tasks.text_classification import TOP_LABEL, TopK, decide, text_classification
from limbeck.tasks.token_classification import Aggregation, token_classification

__all__ = [
    "TOP_LABEL",
    "Aggregation",
    "FunctionToApply",
    "TopK",
    "class_scores",
    "decide",
    "default_function",
    "normalize",
    "pool",
    "question_answering",
    "sentence_embedding",
    "text_classification",
    "token_classification",
]
