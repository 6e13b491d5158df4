"""What is asked of limbeck's server alone, and what it shall keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from limbeck import measure


@dataclass(frozen=True, kw_only=True)
class Bound:
    """what: the name of the row. text: the bound, for people. kept: whether a row keeps it."""

    what: str
    text: str
    kept: Callable[[measure.Row], bool]


REFUSALS = Bound(
    what="server time of a refusal at 3 times the largest rate",
    text="p50 1 ms, p99 5 ms",
    kept=lambda row: row.value <= 1 and row.p99 is not None and row.p99 <= 5,
)
GOODPUT = Bound(
    what="goodput at 3 times the largest rate, of its peak",
    text="at least 90 %",
    kept=lambda row: row.value >= 90,
)
HITS = Bound(
    what="answers from the cache",
    text="more than 3000/s",
    kept=lambda row: row.value > 3000,
)
OF_THE_ENGINE = Bound(
    what="largest rate in time, of the engine without a server",
    text="at least 80 %",
    kept=lambda row: row.value >= 80,
)
START = Bound(what="start to ready", text="less than 1.5 s", kept=lambda row: row.value < 1.5)

BOUNDS = {each.what: each for each in (REFUSALS, GOODPUT, HITS, OF_THE_ENGINE, START)}
