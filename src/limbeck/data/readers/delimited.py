"""CSV and TSV, by the standard library: quoted line breaks, any of four separators."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from limbeck.data.readers.row import Columns, Raw
from limbeck.errors import InputError

if TYPE_CHECKING:
    from _csv import Reader

# The library's own limit is 128 KiB a field, less than one long text.
_FIELD_LIMIT = 64 * 1024 * 1024
_SEPARATORS = (",", "\t", ";", "|")
_QUOTE = '"'


def read_csv(
    file: TextIO, name: str, wanted: Columns, header: Sequence[str] | None = None
) -> tuple[Columns, Iterator[Raw]]:
    """The settled columns, and the rows below the header.

    Between tabs a quote is a character like any other (GLUE's files), unless the file was written
    with quoted fields; see `_quoted`. A file that comes in a stream is not read twice: there the
    header tells, whose columns are then quoted too.

    Args:
        header: the columns of a file that has no header line, parted by tabs.

    Raises:
        InputError: the file is empty, or a wanted column is absent.
    """
    csv.field_size_limit(_FIELD_LIMIT)
    start = file.tell() if file.seekable() else None
    first = file.readline()
    if not first.strip():
        raise InputError(f"{name} has no header line; the first line must name the columns")
    separator = "\t" if header is not None else _separator(first, name)
    quoted = True
    if separator == "\t":
        quoted = _all_quoted(first)
        if start is not None and not quoted:
            file.seek(start)
            quoted = _quoted(file)
            file.seek(start)
            first = file.readline()
    reader = _reader(_again(first, file), separator, quoted)
    if header is None:
        try:
            header = [column.strip() for column in next(reader)]
        except csv.Error as error:
            raise InputError(f"{name}:1: {error}") from None
    return wanted.resolve(header, name), _rows(reader, header)


def _separator(first: str, name: str) -> str:
    """What parts the columns of the header; where nothing does, the name of the file tells."""
    tabs = name.lower().removesuffix(".gz").endswith(".tsv")
    return max(("\t", *_SEPARATORS) if tabs else _SEPARATORS, key=first.count)


def _reader(lines: Iterable[str], separator: str, quoted: bool) -> Reader:
    if quoted:
        return csv.reader(lines, delimiter=separator, strict=True)
    return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)


def _all_quoted(line: str) -> bool:
    """Whether each column stands in quotes, as in files all of whose texts do."""
    fields = line.rstrip("\r\n").split("\t")
    return all(len(one) > 1 and one[0] == one[-1] == _QUOTE for one in fields)


def _quoted(file: TextIO) -> bool:
    """Whether the fields of a TSV file are quoted, by reading all of it both ways.

    They are where more rows are whole with quotes than without, or as many are and fewer are
    broken: a field holds a tab or a line break. Where neither reading is better, no row may be
    broken and some field must hold quotes that are doubled. A file of one column has no rows that
    a line break can break; there one in quotes counts as well.
    """
    tracked = _Tracked(file)
    columns, plain_whole, plain_broken, whole, broken = 0, 0, 0, 0, 0
    shown = breaks = False
    reader = _reader(tracked, "\t", quoted=True)
    while True:
        tracked.taken.clear()
        fields: list[str] | None = None
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error:
            broken += 1
        counts = [line.count("\t") + 1 for line in tracked.taken if line.strip("\r\n")]
        columns = columns or (counts[0] if counts else 0)
        plain_whole += counts.count(columns)
        plain_broken += len(counts) - counts.count(columns)
        if not fields:
            continue
        if len(fields) != columns:
            broken += 1
            continue
        whole += 1
        breaks |= len(tracked.taken) > 1
        shown |= _doubled(tracked.taken, fields)
    if not tracked.quotes:
        return False
    if columns == 1 and breaks and not broken:
        return True
    if (whole, plain_broken) != (plain_whole, broken):
        return (whole, plain_broken) > (plain_whole, broken)
    return shown and not broken


class _Tracked:
    """Lines of a file, those of the row at hand kept."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.taken: list[str] = []
        self.quotes = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        # next() on the file itself would forbid to seek
        try:
            line = self._file.readline()
        except (EOFError, OSError, zlib.error):
            line = ""  # who reads the rows will be told where it breaks off
        if not line:
            raise StopIteration
        self.taken.append(line)
        self.quotes |= _QUOTE in line
        return line


def _doubled(lines: Sequence[str], fields: Sequence[str]) -> bool:
    """Whether a field was quoted because it holds quotes."""
    written = lines[0].rstrip("\r\n").split("\t")
    if len(lines) > 1 or len(written) != len(fields):
        return False
    return any(
        _QUOTE in field and one == _QUOTE + field.replace(_QUOTE, 2 * _QUOTE) + _QUOTE
        for one, field in zip(written, fields)
    )


def _again(first: str, file: TextIO) -> Iterator[str]:
    yield first
    yield from file


def _rows(reader: Reader, header: Sequence[str]) -> Iterator[Raw]:
    line = reader.line_num + 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Raw(line, None, f"{error}; quote fields that hold separators or quotes")
            line = reader.line_num + 1
            continue
        if len(fields) == len(header):
            yield Raw(line, dict(zip(header, fields)))
        elif fields:  # an empty line is nothing
            yield Raw(line, None, f"{len(fields)} fields where the header has {len(header)}")
        line = reader.line_num + 1
