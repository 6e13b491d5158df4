"""Timings that can be believed, and the rows that keep them.

In: things to call, in turns. Out: medians with spread, paired ratios, and JSON lines that say on
which machine, at which commit. Neighbours: bench and the demo; nobody writes a second stopwatch.
"""

from __future__ import annotations

from limbeck.measure.machine import Machine, commit, machine, versions
from limbeck.measure.rest import Rest
from limbeck.measure.rows import Row, append_row, append_rows, latest_run, new_run, read_rows
from limbeck.measure.timing import (
    Block,
    Ratio,
    Timing,
    interleave,
    interleave_blocks,
    is_as_fast,
    percentile,
    ratio,
)

__all__ = [
    "Block",
    "Machine",
    "Ratio",
    "Rest",
    "Row",
    "Timing",
    "append_row",
    "append_rows",
    "commit",
    "interleave",
    "interleave_blocks",
    "is_as_fast",
    "latest_run",
    "machine",
    "new_run",
    "percentile",
    "ratio",
    "read_rows",
    "versions",
]
