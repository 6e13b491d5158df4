"""One measurement -> one line of JSON, appended whole."""

from __future__ import annotations

import dataclasses
import datetime
import fcntl
import json
import math
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.errors import InputError
from limbeck.measure.machine import Machine, commit, machine
from limbeck.measure.timing import Timing

SCHEMA = 1


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured, how it came out, and where.

    `value` is the median of `repeats` readings in `unit`; `low` and `high` are their quartiles.
    Rows of one interleaved run share `run`: only those may be compared with one another.
    `workload` names what was asked (batch, tokens, threads, ...); `extra` holds findings beside
    the main one (errors, ratios).

    Raises:
        InputError: a figure is not finite or the quartiles do not enclose the median.
    """

    run: str
    benchmark: str
    subject: str
    workload: Mapping[str, str | int | float]
    unit: str
    value: float
    low: float
    high: float
    repeats: int
    p99: float | None = None
    threads: int = 1
    isa: str = ""
    extra: Mapping[str, str | int | float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Machine = field(default_factory=machine)
    commit: str = field(default_factory=commit)
    date: str = field(default_factory=_now)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        figures = [self.value, self.low, self.high]
        figures += [] if self.p99 is None else [self.p99]
        figures += [v for v in self.extra.values() if isinstance(v, float)]
        if not all(math.isfinite(figure) for figure in figures):
            raise InputError(f"row {self.benchmark}/{self.subject}: a figure is not finite")
        if not self.low <= self.value <= self.high:
            raise InputError(
                f"row {self.benchmark}/{self.subject}: quartiles {self.low} .. {self.high} "
                f"do not enclose the median {self.value}"
            )
        if self.repeats < 1 or self.threads < 1:
            raise InputError(f"row {self.benchmark}/{self.subject}: repeats and threads start at 1")

    @classmethod
    def timed(cls, timing: Timing, **fields: Any) -> Row:
        """A row in milliseconds from a timing; `fields` are the remaining ones."""
        return cls(
            unit="ms",
            value=timing.median_ms,
            low=timing.low_ms,
            high=timing.high_ms,
            p99=timing.p99_ms,
            repeats=timing.calls,
            **fields,
        )

    def to_json(self) -> str:
        """One line, without the line end."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Row:
        """The row that `to_json` wrote.

        Raises:
            InputError: no JSON object, an unknown schema, or fields that do not fit.
        """
        try:
            fields = json.loads(line)
            if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
                raise InputError(f"not a row of schema {SCHEMA}")
            facts = fields.pop("machine")
            facts["isa"] = tuple(facts["isa"])
            return cls(machine=Machine(**facts), **fields)
        except (ValueError, TypeError, KeyError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"not a row: {error}") from None


def new_run() -> str:
    """A name for one interleaved run: the time, and four signs against a collision."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{stamp}-{secrets.token_hex(2)}"


def append_rows(path: str | os.PathLike[str], rows: Iterable[Row]) -> None:
    """Append all rows in one write under a lock: never half a line, never two mixed.

    A file that does not end in a line end (a writer was killed) gets one first, so that the
    damage stays with the line that was cut.

    Raises:
        InputError: the file cannot be written.
    """
    text = "".join(row.to_json() + "\n" for row in rows).encode()
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(target, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                text = b"\n" + text
            view = memoryview(text)
            while view:
                view = view[os.write(handle, view) :]
        finally:
            os.close(handle)
    except OSError as error:
        raise InputError(f"cannot append to {target}: {error}") from None


def append_row(path: str | os.PathLike[str], row: Row) -> None:
    """Append one row, as `append_rows` does."""
    append_rows(path, [row])


def read_rows(path: str | os.PathLike[str]) -> list[Row]:
    """All rows of a file, in order; no rows for a file that does not exist.

    Raises:
        InputError: a line is not a row; names file and line.
    """
    target = Path(path)
    if not target.exists():
        return []
    rows = []
    for number, line in enumerate(target.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                rows.append(Row.from_json(line))
            except InputError as error:
                raise InputError(f"{target}:{number}: {error}") from None
    return rows


def latest_run(rows: Sequence[Row]) -> list[Row]:
    """The rows of the run that was appended last."""
    return [row for row in rows if row.run == rows[-1].run] if rows else []
