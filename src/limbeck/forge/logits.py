"""A teacher's logits for a set of texts, computed once and kept in Parquet."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from limbeck import runtimes
from limbeck.errors import InputError, MissingExtraError
from limbeck.forge import progress, training
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.examples import TrainingSet


def of(
    teacher: Checkpoint,
    rows: TrainingSet,
    cache: str | Path | None = None,
    *,
    precision: training.ChosenPrecision = "fp32",
) -> npt.NDArray[np.float32]:
    """The teacher's logits [N, L], in the rows' order.

    Args:
        cache: a directory. The file's name and its metadata carry the teacher's digest, the texts'
            digest and the precision, so that another teacher or other texts find nothing there.

    Raises:
        InputError: a cached file is damaged.
        MissingExtraError: a cache is asked for and pyarrow is not installed.
    """
    file = None
    if cache is not None:
        key = {"teacher": teacher.digest, "texts": rows.text_digest, "precision": precision}
        file = Path(cache) / f"{key['teacher'][:16]}-{key['texts'][:16]}-{precision}.parquet"
        if file.is_file():
            return _read(file, key, (len(rows), len(teacher.labels)))
    tokenised = training.tokenise(teacher.tokenizer, rows, teacher.max_tokens)
    found = training.predict(
        teacher.model, tokenised, precision=precision, description="asking the teacher"
    )
    if file is not None:
        _write(file, key, teacher.labels, found)
    return found


def by_engine(
    teacher: Checkpoint,
    rows: TrainingSet,
    *,
    precision: Literal["fp32", "int8"] = "int8",
    batch_tokens: int = 8192,
) -> npt.NDArray[np.float32]:
    """The teacher's logits [N, L] through limbeck's own engine: several times faster than torch.

    int8 logits carry the noise of an int8 teacher, a few hundredths of their spread; a student of
    which int8 is asked in the end does not notice.

    Raises:
        ModelError: an architecture that the engine does not run.
    """
    tokenised = training.tokenise(teacher.tokenizer, rows, teacher.max_tokens)
    with tempfile.TemporaryDirectory(prefix="limbeck-") as directory:
        model = runtimes.load(teacher.save(Path(directory) / "teacher"), precision=precision)
    found = np.zeros((len(rows), len(teacher.labels)), dtype=np.float32)
    order = np.argsort(tokenised.lengths, kind="stable")
    with progress.bar("asking the teacher", len(rows)) as shown:
        for indexes in _batches(order, tokenised.lengths, batch_tokens):
            found[indexes] = model.forward(
                [tokenised.ids[index] for index in indexes],
                [tokenised.type_ids[index] for index in indexes],
            )
            shown.advance(len(indexes))
    return found


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


def _write(
    file: Path, key: dict[str, str], labels: tuple[str, ...], logits: npt.NDArray[np.float32]
) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("pyarrow", "forge") from error

    columns = {f"logit {name}": logits[:, index] for index, name in enumerate(labels)}
    table = pa.table(columns).replace_schema_metadata(key)
    file.parent.mkdir(parents=True, exist_ok=True)
    # a reader never sees half a file: write beside it, then rename
    handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    os.close(handle)
    try:
        pq.write_table(table, temporary)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise


def _read(file: Path, key: dict[str, str], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
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
    stored = table.schema.metadata or {}
    found = (table.num_rows, table.num_columns)
    if (
        any(stored.get(name.encode()) != value.encode() for name, value in key.items())
        or found != shape
    ):
        raise InputError(
            f"cached logits {file} belong to another teacher or other texts; delete the file"
        )
    columns = [table.column(index).to_numpy() for index in range(table.num_columns)]
    return np.ascontiguousarray(np.stack(columns, axis=1), dtype=np.float32)
