"""JSONL: one JSON object a line. Also plain lines, each a text."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any, TextIO

from limbeck.data.readers.row import Columns, Raw
from limbeck.errors import InputError


def read_json_lines(file: TextIO, name: str, wanted: Columns) -> tuple[Columns, Iterator[Raw]]:
    """The settled columns, and the rows. Where no text column is named, the first row settles it.

    Raises:
        InputError: the file is one JSON array, or the first row has no column like a text.
    """
    raws = _rows(file, name)
    first = next((raw for raw in raws), None)
    if first is None:
        return wanted, iter(())
    if wanted.text is None and first.values is not None:
        settled = Columns(text=None).resolve(list(first.values), name).text
        wanted = Columns(text=settled, pair=wanted.pair, label=wanted.label, keep=wanted.keep)
    elif wanted.text is None:
        raise InputError(f"{name}:{first.line}: {first.problem}")
    return wanted, itertools.chain([first], raws)


def _rows(file: TextIO, name: str) -> Iterator[Raw]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        if number == 1 and line.lstrip().startswith("["):
            raise InputError(
                f"{name} is one JSON array; write one object a line instead, "
                "for example with: jq -c '.[]' FILE"
            )
        try:
            value: Any = json.loads(line)
        except json.JSONDecodeError as error:
            yield Raw(number, None, f"not JSON: {error.msg} at column {error.colno}")
            continue
        except RecursionError:
            yield Raw(number, None, "not usable JSON: nested too deeply")
            continue
        if isinstance(value, dict):
            yield Raw(number, value)
        else:
            yield Raw(number, None, f"a JSON {type(value).__name__}, not an object")


def read_lines(file: TextIO, wanted: Columns) -> tuple[Columns, Iterator[Raw]]:
    """Plain lines; empty lines are texts too, so that answers keep step with lines.

    Raises:
        InputError: a column other than the text is wanted.
    """
    if wanted.pair or wanted.label or wanted.keep or wanted.text not in (None, "text"):
        raise InputError("plain lines have no columns; give CSV, JSONL or Parquet")
    return Columns(text="text"), (
        Raw(number, {"text": line.rstrip("\r\n")}) for number, line in enumerate(file, start=1)
    )
