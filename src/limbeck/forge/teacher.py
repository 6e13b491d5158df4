"""An encoder and labelled texts -> a fine-tuned teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from limbeck.errors import TrainingError
from limbeck.forge import loop, losses, training
from limbeck.forge.checkpoint import Teacher, load_for_training, trained
from limbeck.forge.examples import TrainingSet
from limbeck.forge.saves import Saves
from limbeck.forge.training import TrainingConfig, TrainingReport
from limbeck.spec import Problem
from limbeck.text import Tokenizer


def check_labels(rows: TrainingSet) -> None:
    """Every row has a label, and at least two labels (or numbers) occur.

    Raises:
        TrainingError: otherwise.
    """
    missing = np.flatnonzero(~rows.labelled)
    if len(missing):
        raise TrainingError(
            f"{len(missing)} of {len(rows)} rows have no label, the first is row "
            f"{int(missing[0]) + 1}; a teacher needs a label on every row"
        )
    if len(np.unique(rows.labels, axis=0)) >= 2:
        return
    if rows.problem == "regression":
        raise TrainingError(
            f"every row has the number {rows.labels[0]:g}; there is nothing to learn"
        )
    if rows.problem == "multi_label":
        raise TrainingError("every row has the same labels; there is nothing to tell apart")
    raise TrainingError(
        f"the training data has the one label {rows.names[0]!r}; a classifier needs two or more"
    )


def prepare(
    encoder: str | Path,
    labels: tuple[str, ...],
    config: TrainingConfig,
    problem: Problem = "single_label",
) -> Teacher:
    """The teacher before its first step: the encoder with a fresh head for these labels."""
    model, source = load_for_training(
        encoder, labels, seed=config.seed, dropout=config.dropout, problem=problem
    )
    return Teacher(
        model=model,
        source=source,
        tokenizer=Tokenizer.from_directory(source),
        labels=labels,
        max_tokens=config.max_tokens,
        lineage={"encoder": source.name},
    )


def hard_label_loss(rows: TrainingSet, config: TrainingConfig) -> training.Loss:
    """The loss on the labels of the batch's rows."""
    targets = torch.from_numpy(rows.labels)
    weights = training.label_weights(rows, config)

    def loss(
        logits: torch.Tensor, indexes: npt.NDArray[np.int64], batch: training.Batch
    ) -> torch.Tensor:
        return losses.hard_labels(logits, targets[torch.from_numpy(indexes)], rows.problem, weights)

    return loss


def finetune(
    encoder: str | Path | Teacher,
    rows: TrainingSet,
    config: TrainingConfig = TrainingConfig(),  # noqa: B008 (a frozen value)
    *,
    saves: Saves | None = None,
) -> tuple[Teacher, TrainingReport]:
    """Fine-tune an encoder to label texts, or to give them a number.

    Args:
        encoder: a Hugging Face or sentence-transformers directory, a hub name, or what `prepare`
            returned, which is then trained in place.
        saves: where an interrupted training keeps its state, and goes on from.

    Raises:
        ModelError: the encoder cannot be loaded.
        TrainingError: labels are missing, or the loss is not finite.
    """
    check_labels(rows)
    start = encoder
    if not isinstance(start, Teacher):
        start = prepare(start, rows.names, config, rows.problem)
    if start.problem != rows.problem:
        raise TrainingError(f"the rows are for {rows.problem}, and the model for {start.problem}")
    tokenised = training.tokenise(start.tokenizer, rows, start.max_tokens)
    loss = hard_label_loss(rows, config)
    report = loop.run(start.model, tokenised, loss, config, "training the teacher", saves=saves)
    return trained(start, "finetune", rows, config, report), report
