"""Encoded sequences -> packed batches -> one array for each sequence, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from limbeck.spec import ModelSpec
from limbeck.text import Encoded

if TYPE_CHECKING:
    from limbeck.runtimes import Model, Output


def reads_type_ids(spec: ModelSpec) -> bool:
    """Whether the tokenizer's segment numbers go into the model.

    transformers gives them to BERT alone. RoBERTa and its kin have a type table of one row, which
    all tokens share whatever their tokenizer file says.
    """
    return spec.encoder.architecture == "bert" and spec.encoder.types > 1


def batches(
    lengths: Sequence[int], *, batch_size: int | None, max_batch_tokens: int
) -> Iterator[list[int]]:
    """Sequence numbers, sorted by length, in groups of at most so many sequences and tokens.

    A sequence longer than `max_batch_tokens` is a group of its own.
    """
    group: list[int] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        full = batch_size is not None and len(group) >= batch_size
        if group and (full or tokens + lengths[index] > max_batch_tokens):
            yield group
            group, tokens = [], 0
        group.append(index)
        tokens += lengths[index]
    if group:
        yield group


def run(
    model: Model,
    encoded: Sequence[Encoded],
    *,
    output: Output,
    batch_size: int | None,
    max_batch_tokens: int,
) -> list[npt.NDArray[np.float32]]:
    """Compute `output` for each sequence.

    Returns:
        For each sequence [L] (logits of a sequence head), [S, L] (of a token head), [S, C]
        ("hidden") or [C] (pooled).

    Raises:
        InputError: see `Model.forward`.
    """
    results: dict[int, npt.NDArray[np.float32]] = {}
    lengths = [len(one) for one in encoded]
    for group in batches(lengths, batch_size=batch_size, max_batch_tokens=max_batch_tokens):
        parts = together(model, [encoded[index] for index in group], output)
        results.update(zip(group, parts, strict=True))
    return [results[index] for index in range(len(encoded))]


def together(
    model: Model, encoded: Sequence[Encoded], output: Output, *, alone: bool = False
) -> list[npt.NDArray[np.float32]]:
    """Compute `output` for each sequence, all in one batch; see `run`, and `Model` for `alone`."""
    head = model.spec.task.head
    per_token = output == "hidden" or (
        output == "logits" and head is not None and head.kind == "token"
    )
    values = model.forward(
        [one.ids for one in encoded],
        [one.type_ids for one in encoded] if reads_type_ids(model.spec) else None,
        output=output,
        alone=alone,
    )
    if not per_token:
        return list(values)
    ends = np.cumsum([len(one) for one in encoded])
    return np.split(values, ends[:-1])
