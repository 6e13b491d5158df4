"""Labelled or unlabelled texts from CSV, JSONL, Parquet or plain lines, one row at a time;
questions from SQuAD files, tagged sentences from CoNLL files.

In: a path (or an open stream) and column names. Out: `Row`, `Question` and `Sentence` values in
file order. Neighbours: each format has a file here; the forge, bench and cli read through these.
"""

from limbeck.data.readers.conll import Sentence, read_conll
from limbeck.data.readers.read import FORMATS, Format, format_of, read_rows, read_stream
from limbeck.data.readers.row import BadRows, LeftOut, Row
from limbeck.data.readers.squad import Answer, Question, read_squad
from limbeck.data.readers.tagged import read_tagged
from limbeck.data.readers.times import Timed, read_times

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
