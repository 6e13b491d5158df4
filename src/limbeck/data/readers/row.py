"""A row as the formats give it, a row as its readers get it, and the ledger of bad ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.errors import InputError

# Names that a column of texts or labels usually has, in the order in which they are tried.
TEXT_NAMES = ("text", "sentence", "description", "content", "review", "comment", "body", "message")
SHOWN_BAD_ROWS = 20
# With this many bad rows and no good one, the file is not what its name says.
HOPELESS_AFTER = 100


@dataclass(frozen=True, kw_only=True)
class Row:
    """One text, with its second text and its label where such columns were asked for.

    label: as text; whole numbers without a point, booleans as "true" and "false"; None where the
    row has none. line: where it begins in the file (for Parquet, its row number), from 1.
    extra: the columns that were asked to be kept, as the file has them.
    """

    text: str
    pair: str | None = None
    label: str | None = None
    line: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """What a format found: the values by column, or what is wrong with the row."""

    line: int
    values: Mapping[str, Any] | None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns are wanted. text None: found by its usual names, or the only column."""

    text: str | None
    pair: str | None = None
    label: str | None = None
    keep: tuple[str, ...] = ()

    def resolve(self, found: Sequence[str], name: str) -> Columns:
        """The same with the text column settled, checked against the columns of the file.

        Raises:
            InputError: a wanted column is absent or there twice, or none looks like the text.
        """
        text = self.text
        if text is None:
            lowered = {column.lower(): column for column in reversed(found)}
            text = next((lowered[usual] for usual in TEXT_NAMES if usual in lowered), None)
            if text is None and len(found) == 1:
                text = found[0]
            if text is None:
                raise InputError(
                    f"{name}: no column looks like the text; name it with text_column "
                    f"(--text-column); the columns are {_listed(found)}"
                )
        for wanted in (text, self.pair, self.label, *self.keep):
            if wanted is None:
                continue
            if wanted not in found:
                raise InputError(f"{name}: no column {wanted!r}; the columns are {_listed(found)}")
            if found.count(wanted) > 1:
                raise InputError(f"{name}: column {wanted!r} is there {found.count(wanted)} times")
        return Columns(text=text, pair=self.pair, label=self.label, keep=self.keep)


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(column) for column in columns[:20])
    return shown + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")


def check_file(path: Path) -> None:
    """Raises InputError where there is no such file."""
    if not path.is_file():
        raise InputError(f"{path} is {'a directory' if path.is_dir() else 'not there'}")


class BadRows:
    """Counts rows that cannot be used and tells of each, by file and line.

    report: called with each message at once; None: messages are kept, and `close` raises.
    """

    def __init__(self, name: str, report: Callable[[str], None] | None = None) -> None:
        self.name = name
        self.count = 0
        self._report = report
        self._messages: list[str] = []

    def add(self, line: int | str, problem: str) -> None:
        """Take note of one, by its line, or by its place in a file that is no list of lines."""
        self.count += 1
        message = f"{self.name}:{line}: {problem}"
        if self._report is not None:
            self._report(message)
        elif len(self._messages) < SHOWN_BAD_ROWS:
            self._messages.append(message)

    def close(self) -> None:
        """Say what was wrong, once the file is read.

        Raises:
            InputError: there were bad rows, and nobody has been told of them yet.
        """
        if self.count and self._report is None:
            more = self.count - len(self._messages)
            tail = f"\n... and {more} more bad rows" if more else ""
            raise InputError("\n".join(self._messages) + tail)


class LeftOut:
    """Passes on what is told of bad rows that are left out, and in the end how many there were."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.count = 0
        self._tell = tell

    def __call__(self, message: str) -> None:
        self.count += 1
        self._tell(message)

    def close(self) -> None:
        """Say how many, if any."""
        if self.count:
            self._tell(f"bad rows that were left out: {self.count}")


def rows(
    raws: Iterator[Raw], columns: Columns, bad: BadRows, label_map: Mapping[str, str] | None
) -> Iterator[Row]:
    """Rows from what a format found; bad ones go to the ledger.

    Raises:
        InputError: rows were bad and the ledger has no reporter; or all of the first hundred were.
    """
    good = 0
    for raw in raws:
        try:
            row = _row(raw, columns, label_map)
        except InputError as error:
            bad.add(raw.line, str(error))
            if not good and bad.count >= HOPELESS_AFTER:
                bad.close()
                raise InputError(
                    f"{bad.name}: none of the first {bad.count} rows is good"
                ) from None
            continue
        good += 1
        yield row
    bad.close()


def _row(raw: Raw, columns: Columns, label_map: Mapping[str, str] | None) -> Row:
    if raw.values is None:
        raise InputError(raw.problem)
    assert columns.text is not None
    label = None
    if columns.label is not None:
        label = _label(raw.values.get(columns.label), columns.label)
        if label is not None and label_map is not None:
            if label not in label_map:
                raise InputError(f"label {label!r} is not one of {list(label_map)}")
            label = label_map[label]
    return Row(
        text=_text(raw.values, columns.text),
        pair=None if columns.pair is None else _text(raw.values, columns.pair),
        label=label,
        line=raw.line,
        extra={name: raw.values.get(name) for name in columns.keep},
    )


def _text(values: Mapping[str, Any], column: str) -> str:
    if column not in values:
        raise InputError(f"there is no {column!r}; the row has {_listed(list(values))}")
    value = values[column]
    if not isinstance(value, str):
        raise InputError(f"{column!r} is {_kind(value)}, not text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"{column!r} is not UTF-8 at character {error.start}; save the file as UTF-8"
            ) from None
    return value


def _kind(value: Any) -> str:
    return "missing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"


def _label(value: Any, column: str) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{column!r} is {value}, not a label")
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int | str):
        return str(value).strip()
    raise InputError(f"{column!r} is {_kind(value)}, not a label")
