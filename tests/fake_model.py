"""A Model whose logits are plain functions of the token ids, so that answers can be foretold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch, pack
from limbeck.spec import EncoderSpec, HeadSpec, ModelSpec, Problem, Task, TaskSpec, Threshold
from limbeck.text import Tokenizer
from tokenizer_files import tokenizer_json

LABELS = ("clean", "odd", "leak")
TAGS = ("O", "B-KEY", "I-KEY")
HIDDEN = 4


def plain_logits(ids: Sequence[int], types: Sequence[int]) -> list[float]:
    """Differs for every sequence: its length, an order-dependent sum, and its segment numbers."""
    mixed = 0
    for token in ids:
        mixed = (mixed * 31 + token) % 1009
    return [len(ids) / 10, mixed / 100, float(sum(types))]


class FakeModel:
    """Satisfies `limbeck.runtimes.Model`; notes the batches it is given."""

    source = Path("fake")
    digest = "fake"

    def __init__(
        self,
        task: Task = "text-classification",
        *,
        kind: str = "wordpiece",
        architecture: Any = "bert",
        max_tokens: int = 24,
        positions: int = 32,
        labels: tuple[str, ...] = LABELS,
        problem: Problem | None = None,
        threshold: Threshold | None = None,
        logits: Callable[[Sequence[int], Sequence[int]], list[float]] = plain_logits,
        **fields: Any,
    ) -> None:
        heads = {
            "text-classification": HeadSpec(kind="sequence"),
            "token-classification": HeadSpec(kind="token"),
            "question-answering": HeadSpec(kind="token"),
        }
        head = heads.get(task)
        self._tokenizer = Tokenizer.from_bytes(tokenizer_json(kind))
        self._logits = logits
        self.batches: list[PackedBatch] = []
        self.alone: list[bool] = []
        self.spec = ModelSpec(
            encoder=EncoderSpec(
                architecture=architecture,
                layers=1,
                hidden=HIDDEN,
                heads=1,
                ffn=4,
                vocab=1000,
                positions=positions,
                types=2,
            ),
            task=TaskSpec(
                task=task,
                max_tokens=max_tokens,
                labels=labels if head is not None else (),
                problem=problem,
                head=head,
                threshold=threshold,
                **fields,
            ),
        )

    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    def describe(self) -> dict[str, Any]:
        return {}

    def forward(
        self,
        ids: Sequence[Sequence[int]] | PackedBatch,
        type_ids: Sequence[Sequence[int]] | None = None,
        *,
        output: str = "logits",
        alone: bool = False,
    ) -> npt.NDArray[np.float32]:
        batch = ids if isinstance(ids, PackedBatch) else pack(ids, type_ids)
        self.batches.append(batch)
        self.alone.append(alone)
        rows = np.split(batch.ids, batch.cu_seqlens[1:-1])
        types = (
            [np.zeros_like(row) for row in rows]
            if batch.type_ids is None
            else np.split(batch.type_ids, batch.cu_seqlens[1:-1])
        )
        if output == "logits" and self.spec.task.task == "text-classification":
            answer = [self._logits(r.tolist(), t.tolist()) for r, t in zip(rows, types)]
            return np.array(answer, dtype=np.float32)
        if output == "logits":
            tags = [[0.0, float(token % 7), float(token % 5)] for token in batch.ids]
            return np.array(tags, dtype=np.float32)
        hidden = [
            np.stack([row, row % 13, np.arange(len(row)), t], axis=1).astype(np.float32)
            for row, t in zip(rows, types)
        ]
        if output == "hidden":
            return np.concatenate(hidden)
        reduce = {"mean": lambda h: h.mean(0), "max": lambda h: h.max(0), "cls": lambda h: h[0]}
        return np.stack([reduce[output](one) for one in hidden])
