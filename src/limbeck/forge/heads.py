"""What a transformers model gives -> one tensor of answers, whatever its head.

A sentence embedding model is a plain encoder; how its states become a vector stands in its
configuration, so that whatever is copied from it embeds in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch.nn import functional

from limbeck.spec import Pooling, Task

_SUFFIXES: dict[str, Task] = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "Model": "sentence-embedding",
}
_POOLING, _NORMALIZE = "sentence_pooling", "sentence_normalize"


def task_of(model: Any) -> Task:
    """The task that a model's class is for."""
    name = type(model).__name__
    for suffix, task in _SUFFIXES.items():
        if name.endswith(suffix):
            return task
    raise AssertionError(f"a {name} has no head that the forge knows")


def set_pooling(model: Any, pooling: tuple[Pooling, ...], normalize: bool) -> None:
    """Note in an encoder's configuration how its states become a sentence vector."""
    setattr(model.config, _POOLING, list(pooling))
    setattr(model.config, _NORMALIZE, normalize)


def pooling_of(model: Any) -> tuple[tuple[Pooling, ...], bool]:
    """The poolings, concatenated in their order, and whether vectors get length 1."""
    poolings = cast(tuple[Pooling, ...], tuple(getattr(model.config, _POOLING, ("mean",))))
    return poolings, bool(getattr(model.config, _NORMALIZE, False))


def width(model: Any) -> int:
    """How many numbers an answer has: labels, 2 for a span, or those of a vector."""
    if task_of(model) == "sentence-embedding":
        return int(model.config.hidden_size) * len(pooling_of(model)[0])
    return 2 if task_of(model) == "question-answering" else int(model.config.num_labels)


def answers(model: Any, output: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Logits [b, L] or [b, S, L]; start and end as [b, S, 2]; sentence vectors [b, C]."""
    logits: torch.Tensor | None = getattr(output, "logits", None)
    if logits is not None:
        return logits
    if getattr(output, "start_logits", None) is not None:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    return sentence_vectors(model, output.last_hidden_state.float(), batch["attention_mask"])


def sentence_vectors(model: Any, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[b, S, C] -> [b, C]: `limbeck.tasks.pool` and `normalize`, in torch and with padding."""
    poolings, normalize = pooling_of(model)
    vectors = torch.cat([_pooled(hidden, mask, one) for one in poolings], dim=-1)
    return functional.normalize(vectors, dim=-1) if normalize else vectors


def _pooled(
    hidden: torch.Tensor, mask: torch.Tensor, how: Literal["cls", "max", "mean"]
) -> torch.Tensor:
    if how == "cls":
        return hidden[:, 0]
    tokens = mask.unsqueeze(-1).bool()
    if how == "max":
        return hidden.masked_fill(~tokens, float("-inf")).amax(dim=1)
    return (hidden * tokens).sum(dim=1) / tokens.sum(dim=1)
