"""CSV and TSV, by the standard library: quoted line breaks, any of four separators."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from limbeck.data.readers.row import Columns, Raw
from limbeck.errors import InputError

if TYPE_CHECKING:
    from _csv import Reader

# The library's own limit is 128 KiB a field, less than one long text.
_FIELD_LIMIT = 64 * 1024 * 1024
_SEPARATORS = (",", "\t", ";", "|")


def read_csv(file: TextIO, name: str, wanted: Columns) -> tuple[Columns, Iterator[Raw]]:
    """The settled columns, and the rows below the header.

    Raises:
        InputError: the file is empty, or a wanted column is absent.
    """
    csv.field_size_limit(_FIELD_LIMIT)
    first = file.readline()
    if not first.strip():
        raise InputError(f"{name} has no header line; the first line must name the columns")
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(_again(first, file), delimiter=separator, strict=True)
    try:
        header = [column.strip() for column in next(reader)]
    except csv.Error as error:
        raise InputError(f"{name}:1: {error}") from None
    return wanted.resolve(header, name), _rows(reader, header)


def _again(first: str, file: TextIO) -> Iterator[str]:
    yield first
    yield from file


def _rows(reader: Reader, header: list[str]) -> Iterator[Raw]:
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
