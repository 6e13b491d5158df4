"""Standard input as rows."""

from __future__ import annotations

import io
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from limbeck import data

NAME = "standard input"


def stdin_rows(
    format: data.Format | None,
    report: Callable[[str], None],
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    keep: tuple[str, ...] = (),
) -> Iterator[data.Row]:
    """Rows from standard input, as they arrive.

    format: None: JSONL where the first line begins with a brace, else plain lines.

    Raises:
        InputError: a wanted column is absent.
    """
    # Bytes that are no UTF-8 become lone surrogates, which the readers tell of by line.
    stream = io.TextIOWrapper(_binary(), encoding="utf-8", errors="surrogateescape", newline="")
    first = stream.readline()
    # A byte order mark may come through a pipe as well.
    first = first.removeprefix("\ufeff")
    if format is None:
        format = "jsonl" if first.lstrip().startswith("{") else "lines"
    lines = cast("io.TextIOWrapper", _Prepended(first, stream))
    return data.read_stream(
        lines,
        NAME,
        format,
        text_column=text_column,
        pair_column=pair_column,
        keep=keep,
        report=report,
    )


def _binary() -> BinaryIO:
    """Standard input under a descriptor of its own.

    A thread may still wait in it when the program is interrupted; if it waited in sys.stdin, the
    interpreter could not close that one and would abort.
    """
    try:
        return open(os.dup(sys.stdin.fileno()), "rb")
    except (OSError, ValueError):  # no real file, as under a test
        return sys.stdin.buffer


class _Prepended:
    """A stream with its first line put back: readers iterate, or ask for single lines."""

    def __init__(self, first: str, rest: io.TextIOWrapper) -> None:
        # Line by line, because iterating a pipe may wait for a full buffer.
        self._lines = itertools.chain([first] if first else [], iter(rest.readline, ""))

    def seekable(self) -> bool:
        return False

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def readline(self) -> str:
        return next(self._lines, "")
