"""Rows of text from files, and listing descriptions from a generator.

In: CSV, JSONL or Parquet files, or a seed. Out: `Row` and `Example` values, one at a time.
Neighbours: the forge trains on them, the cli streams them; nothing here imports another room.
"""

from limbeck.data.readers import FORMATS, Format, Row, format_of, read_rows, read_stream

__all__ = ["FORMATS", "Format", "Row", "format_of", "read_rows", "read_stream"]
