"""Recorded moments, with or without a text each: what a log of requests holds."""

from __future__ import annotations

import csv
import datetime
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from limbeck.data.readers.delimited import read_csv
from limbeck.data.readers.json_lines import read_json_lines
from limbeck.data.readers.read import format_of, open_text
from limbeck.data.readers.row import BadRows, Columns, Raw, check_file
from limbeck.errors import InputError

TIME_NAMES = ("time", "timestamp", "time_s", "ts", "at", "date", "datetime")


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One moment in seconds (since 1970 where the file has dates), and its text if it has one."""

    time_s: float
    text: str | None = None
    line: int = 0


def read_times(
    path: str | Path,
    *,
    time_column: str | None = None,
    text_column: str | None = None,
    report: Callable[[str], None] | None = None,
) -> Iterator[Timed]:
    """The moments of a CSV, TSV or JSONL file (`.gz` is unpacked), in the file's order.

    Args:
        time_column: seconds as a number, or a date as ISO 8601 has it (without a zone: UTC);
            None: time, timestamp, time_s, ts, at ..., or the only column.
        text_column: None: there is none.
        report: told of each bad row, which is left out; None: bad ones are an error.

    Raises:
        InputError: the file cannot be read, has no such columns, or rows are bad.
    """
    path = Path(path)
    check_file(path)
    kind = format_of(path)
    if kind not in ("csv", "jsonl"):
        raise InputError(f"{path}: recorded times come as CSV or JSONL")
    bad = BadRows(str(path), report)
    try:
        with open_text(path) as file:
            # Columns are settled below, by the usual names of times and not by those of texts.
            if kind == "csv":
                raws = _csv(file, str(path))
            else:
                raws = read_json_lines(file, str(path), Columns(text=""))[1]
            yield from _timed(raws, time_column, text_column, bad)
    except (EOFError, OSError) as error:
        raise InputError(f"{path} breaks off: {error}") from None
    bad.close()


def _csv(file: TextIO, name: str) -> Iterator[Raw]:
    header = file.readline()
    file.seek(0)
    separator = max((",", "\t", ";", "|"), key=header.count)
    first = next(csv.reader([header], delimiter=separator), [""])[0].strip()
    return read_csv(file, name, Columns(text=first))[1]


def _timed(
    raws: Iterator[Raw], time_column: str | None, text_column: str | None, bad: BadRows
) -> Iterator[Timed]:
    for raw in raws:
        try:
            if raw.values is None:
                raise InputError(raw.problem)
            found = list(raw.values)
            if time_column is None:
                time_column = next((name for name in found if name.lower() in TIME_NAMES), None)
                if time_column is None and len(found) == 1:
                    time_column = found[0]
                if time_column is None:
                    raise InputError(
                        "no column looks like a time; name it with time_column (--time-column); "
                        f"the row has {found}"
                    )
            for wanted in (time_column, text_column):
                if wanted is not None and wanted not in raw.values:
                    raise InputError(f"there is no {wanted!r}; the row has {found}")
            text = None if text_column is None else raw.values[text_column]
            if text_column is not None and not isinstance(text, str):
                raise InputError(f"{text_column!r} is not text")
            if text is not None and any("\ud800" <= sign <= "\udfff" for sign in text):
                raise InputError(f"{text_column!r} is not UTF-8; save the file as UTF-8")
            yield Timed(time_s=seconds(raw.values[time_column]), text=text, line=raw.line)
        except InputError as error:
            bad.add(raw.line, str(error))


def seconds(value: Any) -> float:
    """A number of seconds, or the seconds since 1970 of an ISO 8601 date.

    Raises:
        InputError: it is neither.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            try:
                moment = datetime.datetime.fromisoformat(value.strip())
            except ValueError:
                raise InputError(
                    f"{value[:40]!r} is neither seconds nor an ISO 8601 date"
                ) from None
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=datetime.UTC)
            return moment.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{str(value)[:40]!r} is not a time")
    return float(value)
