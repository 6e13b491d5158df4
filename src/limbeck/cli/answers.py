"""Answers as JSONL, CSV or a table: on standard output, or in a file that is whole or absent."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from limbeck.data import Row
from limbeck.errors import InputError
from limbeck.whole_files import check_replaceable, whole_file

_SHOWN_CHARACTERS = 60


class Sheet(Protocol):
    """Where answers go."""

    def write(self, row: Row, answer: Any) -> None:
        """Take the answer to one row."""

    def flush(self) -> None:
        """Show what was written so far."""


@contextmanager
def open_sheet(
    path: Path | None, format: str | None, task: str, keep: Sequence[str]
) -> Iterator[Sheet]:
    """A sheet of the format; None: a table on a terminal, else JSONL.

    With a path, a file beside it is written, and takes the name only when all has gone well.

    Raises:
        InputError: the format cannot hold answers of the task, or the file cannot be written.
    """
    if path is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        chosen = format or ("table" if sys.stdout.isatty() else "jsonl")
        yield _sheet(sys.stdout, chosen, task, keep)
        sys.stdout.flush()
        return
    with _whole_file(path) as file:
        sheet = _sheet(file, format or ("csv" if path.suffix == ".csv" else "jsonl"), task, keep)
        yield sheet


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[str]]:
    check_replaceable(path)
    with ExitStack() as opened:
        try:
            file = opened.enter_context(whole_file(path, "w"))
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
        yield file


def _sheet(file: IO[str], format: str, task: str, keep: Sequence[str]) -> Sheet:
    if format == "jsonl":
        return _Jsonl(file, task)
    if task in ("feature-extraction", "sentence-embedding"):
        raise InputError(f"{task} gives vectors, which need --format jsonl")
    return _Csv(file, task, keep) if format == "csv" else _Table(file, task)


def _plain(answer: Any) -> Any:
    """numpy values of an answer as Python's own."""
    return answer.tolist() if hasattr(answer, "tolist") else answer


_NAMES = {
    "text-classification": "labels",
    "token-classification": "entities",
    "question-answering": "answers",
    "feature-extraction": "features",
    "sentence-embedding": "embedding",
}
_COLUMNS = {
    "text-classification": ("label", "score", "decision"),
    "token-classification": ("entity", "score", "index", "word", "start", "end"),
    "question-answering": ("answer", "score", "start", "end"),
}


class _Jsonl:
    """One object a text: {"line", kept columns, the answer}."""

    def __init__(self, file: IO[str], task: str) -> None:
        self._file, self._name = file, _NAMES[task]

    def write(self, row: Row, answer: Any) -> None:
        value = answer if isinstance(answer, dict) else {self._name: _plain(answer)}
        record = {"line": row.line, **row.extra, **value}
        self._file.write(json.dumps(record, ensure_ascii=False, default=_json_value) + "\n")

    def flush(self) -> None:
        self._file.flush()


def _json_value(value: Any) -> Any:
    """numpy scalars as numbers; dates and decimals of kept columns as text."""
    return value.item() if hasattr(value, "item") else str(value)


class _Csv:
    """One line a text, or one an entity or label where there are several."""

    def __init__(self, file: IO[str], task: str, keep: Sequence[str]) -> None:
        self._file, self._keep, self._task = file, tuple(keep), task
        self._writer = csv.writer(file, lineterminator="\n")
        self._header: tuple[str, ...] | None = None

    def write(self, row: Row, answer: Any) -> None:
        parts: list[dict[str, Any]] = [answer] if isinstance(answer, dict) else list(answer)
        if self._header is None and parts:
            known = _COLUMNS[self._task]
            names = dict.fromkeys(name for name in (*known, *parts[0]) if name in parts[0])
            self._header = tuple(names)
            self._writer.writerow(("line", *self._keep, *self._header))
        for part in parts:
            assert self._header is not None
            kept = [row.extra.get(name) for name in self._keep]
            self._writer.writerow([row.line, *kept, *(part.get(name) for name in self._header)])

    def flush(self) -> None:
        self._file.flush()


class _Table:
    """For the eye: a line a text, its beginning behind the answer."""

    def __init__(self, file: IO[str], task: str) -> None:
        self._file, self._task = file, task

    def write(self, row: Row, answer: Any) -> None:
        parts: list[dict[str, Any]] = [answer] if isinstance(answer, dict) else list(answer)
        said = "  ".join(self._part(part) for part in parts) or "-"
        shown = " ".join(row.text.split())
        if len(shown) > _SHOWN_CHARACTERS:
            shown = shown[: _SHOWN_CHARACTERS - 1] + "…"
        self._file.write(f"{row.line:>5}  {said}  {shown}\n")

    def _part(self, part: dict[str, Any]) -> str:
        if "answer" in part:
            return f"{part['answer'] or '(none)'} [{float(part['score']):.4f}]"
        name = part.get("label") or part.get("entity_group") or part.get("entity")
        said = f"{name} {float(part['score']):.4f}"
        if "word" in part:
            said = f"{part['word']} [{said}]"
        if "decision" in part:
            said = ("! " if part["decision"] else "  ") + said
        return said

    def flush(self) -> None:
        self._file.flush()
