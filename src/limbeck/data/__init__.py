"""Rows of text from files, and listing descriptions from a generator.

In: CSV, JSONL or Parquet files, or a seed. Out: `Row` and `Example` values, one at a time.
Neighbours: text and tasks below pipeline take the texts; the forge trains on them; the cli streams.
"""
