"""Labelled or unlabelled texts from CSV, JSONL, Parquet or plain lines, one row at a time.

In: a path (or an open stream) and column names. Out: `Row` values in file order, bounded memory.
Neighbours: each format has a file here; the forge, bench and cli read through `read_rows`.
"""

from limbeck.data.readers.read import FORMATS, Format, format_of, read_rows, read_stream
from limbeck.data.readers.row import BadRows, Row

__all__ = ["FORMATS", "BadRows", "Format", "Row", "format_of", "read_rows", "read_stream"]
