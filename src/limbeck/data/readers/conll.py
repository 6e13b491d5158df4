"""CoNLL columns: a word and its tag a line, an empty line between sentences."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from limbeck.data.readers.read import open_text
from limbeck.data.readers.row import BadRows, check_file
from limbeck.errors import InputError

_DOCUMENT = "-DOCSTART-"  # a line that begins a document and is no word
# A word that was written as one and stands again below in its parts, or one that was left out.
NO_TOKEN = re.compile(r"\d+[-.]\d+")


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """Words with a tag each. line: where the sentence begins in the file, from 1."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int = 0


def read_conll(
    path: str | Path,
    *,
    word_column: int = 0,
    tag_column: int = -1,
    numbered: bool = False,
    report: Callable[[str], None] | None = None,
) -> Iterator[Sentence]:
    """The sentences of a file in CoNLL columns, streamed; `.gz` is unpacked.

    Columns are parted by a tab where a line has one, else by spaces. Lines that begin with "# " in
    front of a sentence are comments (CoNLL-U); "-DOCSTART-" lines are left out.

    Args:
        word_column, tag_column: counted from 0, or from the end with -1.
        numbered: the first column is the token's number, as in CoNLL-U: all lines that begin with
            "#" are comments, and multiword ranges (1-2) and empty nodes (1.1) are left out.
        report: told of each bad sentence, which is left out; None: an InputError names them behind
            the good ones.

    Raises:
        InputError: no such file, it breaks off, or bad sentences and no `report`.
    """
    path = Path(path)
    check_file(path)
    bad = BadRows(str(path), report)
    good = 0
    line = 0
    try:
        with open_text(path) as file:
            for begin, lines in _blocks(file):
                line = begin
                try:
                    sentence = _sentence(lines, begin, word_column, tag_column, numbered)
                except _BadLineError as error:
                    bad.add(error.line, str(error))
                    continue
                if sentence is not None:
                    good += 1
                    yield sentence
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} breaks off after line {line}: {error}") from None
    bad.close()
    if not good and not bad.count:
        raise InputError(f"{path} has no sentences")


class _BadLineError(Exception):
    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def _blocks(file: TextIO) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """Runs of lines that are not empty, each with its number."""
    block: list[tuple[int, str]] = []
    for number, line in enumerate(file, start=1):
        text = line.rstrip("\r\n")
        if text.strip():
            block.append((number, text))
        elif block:
            yield block[0][0], block
            block = []
    if block:
        yield block[0][0], block


def _sentence(
    lines: list[tuple[int, str]], begin: int, word_column: int, tag_column: int, numbered: bool
) -> Sentence | None:
    words: list[str] = []
    tags: list[str] = []
    for number, text in lines:
        if text.startswith(_DOCUMENT) or (not words and text.startswith("# ")):
            continue
        if numbered and text.startswith("#"):
            continue
        fields = text.split("\t") if "\t" in text else text.split()
        if numbered and NO_TOKEN.fullmatch(fields[0].strip()):
            continue
        needed = max(index + 1 if index >= 0 else -index for index in (word_column, tag_column))
        if len(fields) < max(2, needed):
            raise _BadLineError(
                number, f"{len(fields)} columns; a word and its tag need {max(2, needed)}"
            )
        word, tag = fields[word_column].strip(), fields[tag_column].strip()
        if not word or not tag:
            raise _BadLineError(number, f"the {'tag' if word else 'word'} is empty")
        try:
            word.encode()
        except UnicodeEncodeError:
            raise _BadLineError(number, "not UTF-8; save the file as UTF-8") from None
        words.append(word)
        tags.append(tag)
    return Sentence(words=tuple(words), tags=tuple(tags), line=begin) if words else None
