"""An encoder and labelled rows -> a fine-tuned teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from limbeck.errors import InputError, TrainingError
from limbeck.forge import loop
from limbeck.forge.checkpoint import Checkpoint, Teacher, load_for_training, trained
from limbeck.forge.objectives import objective
from limbeck.forge.questions import MAX_WINDOW_TOKENS
from limbeck.forge.rows import Rows
from limbeck.forge.saves import Saves
from limbeck.forge.training import TrainingConfig, TrainingReport
from limbeck.huggingface.configuration import encoder_spec
from limbeck.spec import Problem, Task
from limbeck.text import Tokenizer

# Where texts are cut if nothing is asked for; contexts of questions are read in windows.
_USUAL_MAX_TOKENS: dict[Task, int] = {"question-answering": MAX_WINDOW_TOKENS}


def usual_max_tokens(task: Task) -> int:
    """A good `TrainingConfig.max_tokens` for a task: 128 tokens, or a whole window of 384."""
    return _USUAL_MAX_TOKENS.get(task, 128)


def check_labels(rows: Rows) -> None:
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
    problem = rows.nothing_to_learn() if len(rows) else "the training data has no rows"
    if problem is not None:
        raise TrainingError(problem)


def prepare(
    encoder: str | Path,
    labels: tuple[str, ...],
    config: TrainingConfig,
    problem: Problem = "single_label",
    task: Task = "text-classification",
) -> Teacher:
    """The teacher before its first step: the encoder with a fresh head for these labels.

    Texts are cut at the configuration's max_tokens, or where the encoder has no more positions.
    """
    model, source = load_for_training(
        encoder, labels, seed=config.seed, dropout=config.dropout, problem=problem, task=task
    )
    positions = encoder_spec(model.config.to_dict()).max_tokens
    return Teacher(
        model=model,
        source=source,
        tokenizer=Tokenizer.from_directory(source),
        labels=labels,
        max_tokens=min(config.max_tokens, positions),
        lineage={"encoder": source.name},
    )


def check_fit(rows: Rows, model: Checkpoint, who: str) -> None:
    """The rows are for the model: its task, its labels.

    Args:
        who: what the message calls the model, such as "student".

    Raises:
        TrainingError: another task, or another kind of labels.
        InputError: other labels.
    """
    if rows.task != model.task:
        raise TrainingError(f"the rows are for {rows.task}, and the {who} for {model.task}")
    if rows.problem != model.problem:
        raise TrainingError(f"the rows are for {rows.problem}, and the {who} for {model.problem}")
    if rows.names and rows.names != model.labels:
        raise InputError(f"labels {list(rows.names)} are not the {who}'s {list(model.labels)}")


def finetune(
    encoder: str | Path | Teacher,
    rows: Rows,
    config: TrainingConfig = TrainingConfig(),  # noqa: B008 (a frozen value)
    *,
    saves: Saves | None = None,
) -> tuple[Teacher, TrainingReport]:
    """Fine-tune an encoder for the task of the rows.

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
        start = prepare(start, rows.names, config, rows.problem, rows.task)
    check_fit(rows, start, "model")
    wanted = objective(rows, start.tokenizer, start.max_tokens, balance=config.balance_classes)
    report = loop.run(
        start.model, wanted.tokens, wanted.hard, config, "training the teacher", saves=saves
    )
    return trained(start, "finetune", rows, config, report), report
