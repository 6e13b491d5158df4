"""Which format a file has, and its rows."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TextIO, get_args

from limbeck.data.readers.delimited import read_csv
from limbeck.data.readers.hub import is_hub_name, read_hub
from limbeck.data.readers.json_lines import read_json_lines, read_lines
from limbeck.data.readers.parquet import read_parquet
from limbeck.data.readers.row import BadRows, Columns, Raw, Row, check_file, rows
from limbeck.errors import InputError

Format = Literal["csv", "jsonl", "parquet", "lines"]

FORMATS: tuple[Format, ...] = get_args(Format)
_ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "lines",
}


def format_of(path: str | Path) -> Format:
    """The format that a file's name tells, `.gz` aside.

    Raises:
        InputError: the ending is not known.
    """
    endings = [ending.lower() for ending in Path(path).suffixes]
    if endings and endings[-1] == ".gz":
        endings.pop()
    found = _ENDINGS.get(endings[-1]) if endings else None
    if found is None:
        raise InputError(
            f"{path}: the name does not tell the format; known endings are "
            f"{', '.join(_ENDINGS)}, all but Parquet also with .gz"
        )
    return found


def read_rows(
    path: str | Path,
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    label_column: str | None = None,
    keep: Sequence[str] = (),
    label_map: Mapping[str, str] | None = None,
    header: Sequence[str] | None = None,
    report: Callable[[str], None] | None = None,
    format: Format | None = None,
) -> Iterator[Row]:
    """The rows of a CSV, TSV, JSONL, Parquet or text file, streamed; `.gz` is unpacked.

    Args:
        path: the file, or a data set of the hub: hub:OWNER/NAME[/CONFIG][:SPLIT], see
            `limbeck.data.readers.hub`.
        text_column: the column with the text; None: by its usual name (text, sentence,
            description, review ...), or the only column.
        pair_column: the column with a second text; None: there is none.
        label_column: the column with the label; None: there is none. An empty label is None.
        keep: columns to hand through in `Row.extra`.
        label_map: label as the file has it -> label as it shall be; other labels are bad rows.
        header: the columns of a TSV file without a header line; None: it has one.
        report: told of each bad row (file, line, what is wrong) as it is met, and the row is left
            out; None: good rows are given first, then an InputError names the bad ones.
        format: None: what the name tells.

    Raises:
        InputError: the file is absent, unreadable or of no known format; a column is absent; rows
            are bad and there is no `report`.
        MissingExtraError: Parquet without pyarrow, the hub without datasets.
    """
    wanted = Columns(text=text_column, pair=pair_column, label=label_column, keep=tuple(keep))
    if is_hub_name(path):
        columns, raws = read_hub(str(path), wanted)
        return rows(raws, columns, BadRows(str(path), report), label_map)
    path = Path(path)
    check_file(path)
    kind = format or format_of(path)
    bad = BadRows(str(path), report)
    if kind == "parquet" and header is None:
        columns, raws = read_parquet(path, wanted)
        return rows(raws, columns, bad, label_map)
    if header is not None and kind != "csv":
        raise InputError(f"{path}: columns are given for TSV without a header line alone")
    return _from_file(path, kind, wanted, bad, label_map, header)


def read_stream(
    file: TextIO,
    name: str,
    format: Format,
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    label_column: str | None = None,
    keep: Sequence[str] = (),
    report: Callable[[str], None] | None = None,
) -> Iterator[Row]:
    """As `read_rows`, from an open text stream such as standard input.

    Raises:
        InputError: as for `read_rows`; Parquet does not come in a stream.
    """
    wanted = Columns(text=text_column, pair=pair_column, label=label_column, keep=tuple(keep))
    columns, raws = _open_format(file, name, format, wanted)
    return rows(raws, columns, BadRows(name, report), None)


def _open_format(
    file: TextIO, name: str, format: Format, wanted: Columns, header: Sequence[str] | None = None
) -> tuple[Columns, Iterator[Raw]]:
    if format == "csv":
        return read_csv(file, name, wanted, header)
    if format == "jsonl":
        return read_json_lines(file, name, wanted)
    if format == "lines":
        return read_lines(file, wanted)
    raise InputError(f"{name}: Parquet needs a file, it cannot be read from a stream")


def _from_file(
    path: Path,
    kind: Format,
    wanted: Columns,
    bad: BadRows,
    label_map: Mapping[str, str] | None,
    header: Sequence[str] | None,
) -> Iterator[Row]:
    line = 0
    try:
        with open_text(path) as file:
            columns, raws = _open_format(file, str(path), kind, wanted, header)
            for row in rows(raws, columns, bad, label_map):
                line = row.line
                yield row
    except (EOFError, gzip.BadGzipFile, zlib.error, OSError) as error:
        raise InputError(f"{path} breaks off after line {line}: {error}") from None


def open_text(path: Path) -> TextIO:
    """UTF-8 with or without a byte order mark; other bytes become lone surrogates, which mark a
    bad row further on, so that the message can name its line."""
    how = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", **how)  # type: ignore[call-overload,no-any-return]
    return open(path, **how)  # type: ignore[call-overload,no-any-return]
