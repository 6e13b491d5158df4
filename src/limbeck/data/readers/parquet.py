"""Parquet, by pyarrow, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.data.readers.row import Columns, Raw
from limbeck.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_BATCH_ROWS = 1024


def read_parquet(path: Path, wanted: Columns) -> tuple[Columns, Iterator[Raw]]:
    """The settled columns, and the rows; only wanted columns are read.

    Raises:
        InputError: it is no Parquet file, or a wanted column is absent.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "forge") from None
    try:
        file = parquet.ParquetFile(path, memory_map=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from None
    columns = wanted.resolve(list(file.schema_arrow.names), str(path))
    return columns, _rows(file, path, columns)


def _rows(file: ParquetFile, path: Path, columns: Columns) -> Iterator[Raw]:
    import pyarrow

    assert columns.text is not None
    wanted = [columns.text, columns.pair, columns.label, *columns.keep]
    names = list(dict.fromkeys(name for name in wanted if name is not None))
    number = 0
    try:
        with file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names):
                for values in batch.to_pylist():
                    number += 1
                    yield Raw(number, values)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} breaks off after row {number}: {error}") from None
