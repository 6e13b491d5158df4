"""An encoder and labelled texts -> a fine-tuned teacher."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from limbeck.errors import TrainingError
from limbeck.forge import training
from limbeck.forge.checkpoint import Teacher, load_for_training, versions
from limbeck.forge.examples import UNLABELLED, TrainingSet
from limbeck.forge.training import TrainingConfig, TrainingReport
from limbeck.text import Tokenizer


def check_labels(rows: TrainingSet) -> None:
    """Every row has a label, and at least two labels occur.

    Raises:
        TrainingError: otherwise.
    """
    missing = np.flatnonzero(rows.labels == UNLABELLED)
    if len(missing):
        raise TrainingError(
            f"{len(missing)} of {len(rows)} rows have no label, the first is row "
            f"{int(missing[0]) + 1}; a teacher needs a label on every row"
        )
    if len(rows.names) < 2 or len(np.unique(rows.labels)) < 2:
        raise TrainingError(
            f"the training data has the one label {rows.names[0]!r}; a classifier needs two or more"
        )


def prepare(encoder: str | Path, labels: tuple[str, ...], config: TrainingConfig) -> Teacher:
    """The teacher before its first step: the encoder with a fresh head for these labels."""
    model, source = load_for_training(encoder, labels, seed=config.seed, dropout=config.dropout)
    return Teacher(
        model=model,
        source=source,
        tokenizer=Tokenizer.from_directory(source),
        labels=labels,
        max_tokens=config.max_tokens,
        lineage={"encoder": source.name},
    )


def hard_label_loss(labels: npt.NDArray[np.int64]) -> training.Loss:
    """Cross entropy with the labels of the batch's rows."""
    targets = torch.from_numpy(labels)

    def loss(
        logits: torch.Tensor, indexes: npt.NDArray[np.int64], batch: training.Batch
    ) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits, targets[torch.from_numpy(indexes)])

    return loss


def finetune(
    encoder: str | Path | Teacher,
    rows: TrainingSet,
    config: TrainingConfig = TrainingConfig(),  # noqa: B008 (a frozen value)
) -> tuple[Teacher, TrainingReport]:
    """Fine-tune an encoder for sequence classification.

    Args:
        encoder: a Hugging Face or sentence-transformers directory, a hub name, or what `prepare`
            returned, which is then trained in place.

    Raises:
        ModelError: the encoder cannot be loaded.
        TrainingError: labels are missing, or the loss is not finite.
    """
    check_labels(rows)
    start = encoder if isinstance(encoder, Teacher) else prepare(encoder, rows.names, config)
    tokenised = training.tokenise(start.tokenizer, rows, start.max_tokens)
    loss = hard_label_loss(rows.labels)
    report = training.run(start.model, tokenised, loss, config, "training the teacher")
    start.model.eval()
    lineage: dict[str, Any] = {
        **start.lineage,
        "step": "finetune",
        "data": rows.digest,
        "rows": len(rows),
        "config": dataclasses.asdict(config),
        "steps": report.steps,
        "precision": report.precision,
        "versions": versions(),
    }
    # the digest is cached per value, and the weights have changed: make a new value
    return dataclasses.replace(start, lineage=lineage), report
