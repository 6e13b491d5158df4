"""Tagged sentences from any format that holds them: CoNLL columns, or rows with two lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from limbeck.data.readers.conll import Sentence, read_conll
from limbeck.data.readers.hub import is_hub_name, read_hub
from limbeck.data.readers.json_lines import read_json_lines
from limbeck.data.readers.parquet import read_parquet
from limbeck.data.readers.read import format_of, open_text
from limbeck.data.readers.row import BadRows, Columns, Raw, check_file
from limbeck.errors import InputError

_CONLL_ENDINGS = (".conll", ".conllu", ".txt", ".bio", ".iob", ".iob2")


def read_tagged(
    path: str | Path,
    *,
    word_column: str = "tokens",
    tag_column: str = "tags",
    report: Callable[[str], None] | None = None,
) -> Iterator[Sentence]:
    """Sentences of a CoNLL file (.conll, .txt, .bio ...), or of JSONL or Parquet rows that hold a
    list of words and a list of tags; or of a data set of the hub (hub:OWNER/NAME:SPLIT).

    Args:
        word_column, tag_column: of rows; CoNLL columns are the first and the last.
        report: told of each bad sentence, which is left out; None: bad ones are an error.

    Raises:
        InputError: the file cannot be read, or has no such columns.
        MissingExtraError: Parquet without pyarrow.
    """
    if is_hub_name(path):
        wanted = Columns(text=word_column, keep=(tag_column,))
        return _from_hub(str(path), wanted, BadRows(str(path), report))
    path = Path(path)
    if path.name.lower().removesuffix(".gz").endswith(_CONLL_ENDINGS):
        return read_conll(path, report=report)
    check_file(path)
    return _rows(path, word_column, tag_column, BadRows(str(path), report))


def _rows(path: Path, word_column: str, tag_column: str, bad: BadRows) -> Iterator[Sentence]:
    wanted = Columns(text=word_column, keep=(tag_column,))
    kind = format_of(path)
    if kind == "parquet":
        yield from _sentences(read_parquet(path, wanted)[1], word_column, tag_column, bad)
    elif kind == "jsonl":
        with open_text(path) as file:
            raws = read_json_lines(file, str(path), wanted)[1]
            yield from _sentences(raws, word_column, tag_column, bad)
    else:
        raise InputError(f"{path}: tagged sentences come as CoNLL columns, JSONL or Parquet")
    bad.close()


def _from_hub(name: str, wanted: Columns, bad: BadRows) -> Iterator[Sentence]:
    assert wanted.text is not None
    yield from _sentences(read_hub(name, wanted)[1], wanted.text, wanted.keep[0], bad)
    bad.close()


def _sentences(
    raws: Iterator[Raw], word_column: str, tag_column: str, bad: BadRows
) -> Iterator[Sentence]:
    for raw in raws:
        try:
            if raw.values is None:
                raise InputError(raw.problem)
            words, tags = (_strings(raw.values.get(it), it) for it in (word_column, tag_column))
            if len(words) != len(tags):
                raise InputError(f"{len(words)} words but {len(tags)} tags")
        except InputError as error:
            bad.add(raw.line, str(error))
            continue
        yield Sentence(words=words, tags=tags, line=raw.line)


def _strings(value: Any, column: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{column!r} must be a list with at least one entry")
    if not all(isinstance(one, str) and one for one in value):
        raise InputError(f"{column!r} must hold texts alone, none of them empty")
    return tuple(value)
