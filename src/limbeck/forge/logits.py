"""A teacher's answers to a set of rows, computed once and kept in Parquet."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from limbeck import runtimes, tasks
from limbeck.errors import InputError
from limbeck.forge import heads, logit_files, progress, training
from limbeck.forge.answers import TOKEN_TASKS, Answers, Packed
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.examples import TrainingSet
from limbeck.forge.rows import Rows
from limbeck.forge.tokenised import TokenisedSet


@overload
def of(
    teacher: Checkpoint,
    rows: TrainingSet,
    cache: str | Path | None = None,
    *,
    precision: training.ChosenPrecision = "fp32",
) -> npt.NDArray[np.float32]: ...


@overload
def of(
    teacher: Checkpoint,
    rows: Rows,
    cache: str | Path | None = None,
    *,
    precision: training.ChosenPrecision = "fp32",
) -> Answers: ...


def of(
    teacher: Checkpoint,
    rows: Rows,
    cache: str | Path | None = None,
    *,
    precision: training.ChosenPrecision = "fp32",
) -> Answers:
    """The teacher's answers, in the rows' order: logits [N, L] of texts, vectors [M, C] of
    sentences (second ones behind the first), or logits of all tokens, `Packed`.

    Args:
        cache: a directory. The file's name and its metadata carry the teacher's digest, the texts'
            digest and the precision, so that another teacher or other texts find nothing there.

    Raises:
        InputError: rows of another task, or a cached file is damaged.
        MissingExtraError: a cache is asked for and pyarrow is not installed.
    """
    _check_task(teacher, rows)
    tokens = training.tokenise(teacher.tokenizer, rows, teacher.max_tokens)
    file = None
    if cache is not None:
        key = {"teacher": teacher.digest, "texts": rows.text_digest, "precision": precision}
        file = Path(cache) / f"{key['teacher'][:16]}-{key['texts'][:16]}-{precision}.parquet"
        if file.is_file():
            return logit_files.read(file, key, teacher.task, tokens, heads.width(teacher.model))
    found = _laid_out(
        training.predict(
            teacher.model, tokens, precision=precision, description="asking the teacher"
        ),
        teacher,
        tokens,
    )
    if file is not None:
        logit_files.write(file, key, teacher.labels, found)
    return found


def _check_task(teacher: Checkpoint, rows: Rows) -> None:
    if teacher.task != rows.task:
        raise InputError(f"the rows are for {rows.task}, and the model for {teacher.task}")


def _laid_out(
    values: npt.NDArray[np.float32], teacher: Checkpoint, tokens: TokenisedSet
) -> Answers:
    if teacher.task not in TOKEN_TASKS:
        return values
    return Packed(task=teacher.task, values=values, offsets=tokens.offsets, tokens=tokens.digest)


@overload
def by_engine(
    teacher: Checkpoint,
    rows: TrainingSet,
    *,
    precision: Literal["fp32", "int8"] = "int8",
    batch_tokens: int = 8192,
) -> npt.NDArray[np.float32]: ...


@overload
def by_engine(
    teacher: Checkpoint,
    rows: Rows,
    *,
    precision: Literal["fp32", "int8"] = "int8",
    batch_tokens: int = 8192,
) -> Answers: ...


def by_engine(
    teacher: Checkpoint,
    rows: Rows,
    *,
    precision: Literal["fp32", "int8"] = "int8",
    batch_tokens: int = 8192,
) -> Answers:
    """What `of` gives, through limbeck's own engine: several times faster than torch.

    int8 logits carry the noise of an int8 teacher, a few hundredths of their spread; a student of
    which int8 is asked in the end does not notice.

    Raises:
        InputError: rows of another task.
        ModelError: an architecture that the engine does not run.
    """
    _check_task(teacher, rows)
    tokenised = training.tokenise(teacher.tokenizer, rows, teacher.max_tokens)
    with tempfile.TemporaryDirectory(prefix="limbeck-") as directory:
        model = runtimes.load(teacher.save(Path(directory) / "teacher"), precision=precision)
    by_token = teacher.task in TOKEN_TASKS
    lengths = np.diff(tokenised.offsets)
    height = int(tokenised.offsets[-1]) if by_token else len(lengths)
    found = np.zeros((height, heads.width(teacher.model)), dtype=np.float32)
    order = np.argsort(lengths, kind="stable")
    with progress.bar("asking the teacher", len(lengths)) as shown:
        for indexes in _batches(order, lengths, batch_tokens):
            some = _engine_answers(
                model,
                [tokenised.ids[index] for index in indexes],
                [tokenised.type_ids[index] for index in indexes],
            )
            places = indexes
            if by_token:
                places = np.concatenate(
                    [np.arange(*tokenised.offsets[index : index + 2]) for index in indexes]
                )
            found[places] = some
            shown.advance(len(indexes))
    return _laid_out(found, teacher, tokenised)


def _engine_answers(
    model: runtimes.Model, ids: list[list[int]], type_ids: list[list[int]]
) -> npt.NDArray[np.float32]:
    task = model.spec.task
    if task.task != "sentence-embedding":
        return model.forward(ids, type_ids)
    parts = [model.forward(ids, type_ids, output=pooling) for pooling in task.pooling]
    return tasks.sentence_embedding(np.concatenate(parts, axis=1), task)


def _batches(
    order: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], tokens: int
) -> Iterator[npt.NDArray[np.int64]]:
    """`order`, cut where the next row would bring a batch above so many tokens."""
    ends = np.cumsum(lengths[order])
    start = 0
    while start < len(order):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + tokens, side="right")))
        yield order[start:stop]
        start = stop
