"""A teacher's answers in Parquet: a column a label, a row a text, or a window with a list of its
tokens' logits."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError, MissingExtraError
from limbeck.forge.answers import TOKEN_TASKS, Answers, Packed
from limbeck.forge.tokenised import TokenisedSet
from limbeck.spec import Task


def write(file: Path, key: dict[str, str], labels: tuple[str, ...], answers: Answers) -> None:
    """Keep answers under a key.

    Args:
        labels: their names; none for vectors.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("pyarrow", "forge") from error

    values = answers.values if isinstance(answers, Packed) else answers
    names = labels or tuple(map(str, range(values.shape[1])))
    columns: dict[str, Any] = {
        f"logit {name}": np.ascontiguousarray(values[:, index]) for index, name in enumerate(names)
    }
    if isinstance(answers, Packed):
        key = key | {"tokens": answers.tokens}
        columns = {
            name: pa.LargeListArray.from_arrays(answers.offsets, column)
            for name, column in columns.items()
        }
    table = pa.table(columns).replace_schema_metadata(key)
    file.parent.mkdir(parents=True, exist_ok=True)
    # a reader never sees half a file: write beside it, then rename
    handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as opened:
            pq.write_table(table, opened)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise


def read(file: Path, key: dict[str, str], task: Task, tokens: TokenisedSet, width: int) -> Answers:
    """What `write` kept.

    Args:
        tokens: what the teacher reads; width: how many numbers an answer has.

    Raises:
        InputError: the file is damaged, or belongs to another key or other tokens.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("pyarrow", "forge") from error

    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"cached logits {file} cannot be read ({error}); delete the file"
        ) from None
    by_token = task in TOKEN_TASKS
    if by_token:
        key = key | {"tokens": tokens.digest}
    stored = table.schema.metadata or {}
    fits = all(stored.get(name.encode()) == value.encode() for name, value in key.items())
    if not fits or (table.num_rows, table.num_columns) != (len(tokens.ids), width):
        raise InputError(
            f"cached logits {file} belong to another teacher or other texts; delete the file"
        )
    columns = [_column(table.column(index)) for index in range(width)]
    values = np.ascontiguousarray(np.stack(columns, axis=1), dtype=np.float32)
    if not by_token:
        return values
    if len(values) != tokens.offsets[-1]:
        raise InputError(f"cached logits {file} are incomplete; delete the file")
    return Packed(task=task, values=values, offsets=tokens.offsets, tokens=tokens.digest)


def _column(column: Any) -> npt.NDArray[np.float32]:
    import pyarrow as pa

    if pa.types.is_large_list(column.type):
        column = column.combine_chunks().flatten()
    found: npt.NDArray[np.float32] = np.asarray(column)
    return found
