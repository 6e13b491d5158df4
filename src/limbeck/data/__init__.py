"""Rows of text from files, and listing descriptions from a generator.

In: CSV, JSONL, Parquet, SQuAD or CoNLL files, or a seed. Out: `Row`, `Question`, `Sentence` and
`Example` values, one at a time.
Neighbours: the forge trains on them, the cli streams them; nothing here imports another room.
"""

from limbeck.data.readers import (
    FORMATS,
    Answer,
    BadRows,
    Format,
    LeftOut,
    Question,
    Row,
    Sentence,
    Timed,
    format_of,
    read_conll,
    read_rows,
    read_squad,
    read_stream,
    read_tagged,
    read_times,
)

__all__ = [
    "FORMATS",
    "Answer",
    "BadRows",
    "Format",
    "LeftOut",
    "Question",
    "Row",
    "Sentence",
    "Timed",
    "format_of",
    "read_conll",
    "read_rows",
    "read_squad",
    "read_stream",
    "read_tagged",
    "read_times",
]
