"""Whether a job that comes now can be answered in time, and what that would do to the others.

Work is a fluid here: what waits is poured over the workers, which become free one after the other
(`level_s`). A job begins when the level has risen over the work ahead of it, and needs its own
service from there; what it adds to the level is `work_of`, which counts the fixed part of a batch
by the share that the job has in one. Where others wait too, it also needs room for mates: if all
that waits were let in just in time, each batch would have to end at once for the sake of its first
job, and most of the workers' time would go into fixed parts.
"""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.serve.scheduler.cost import CostModel
from limbeck.serve.scheduler.job import SchedulerConfig
from limbeck.serve.scheduler.order import Entry

# Where much waits, a batch should be so many times as long as its fixed part.
_EFFICIENT = 4.0


def work_of(
    cost: CostModel, config: SchedulerConfig, tokens: int, squares: int, rows: int
) -> float:
    """Predicted seconds of a worker that the rows add where much waits.

    Their own part, and their share of the fixed part of the batches that they fill.
    """
    own = cost.q1 * tokens + cost.q2 * squares
    fixed = cost.q0
    open_s = config.max_batch_s - fixed
    share = max(tokens / config.max_batch_tokens, rows / config.max_batch_rows)
    # A row runs even where the fixed part alone is longer than a batch should be: one row a batch.
    share = min(max(share, own / open_s), rows) if open_s > 0 else rows
    return own + fixed * share


def service_s(
    cost: CostModel,
    config: SchedulerConfig,
    tokens: int,
    squares: int,
    rows: int,
    workers: int,
    work_s: float,
) -> float:
    """Predicted seconds from now to the end of the rows, if nothing else waited or ran.

    work_s: of the rows, by `work_of`.
    """
    alone = cost.q0 + cost.q1 * tokens + cost.q2 * squares
    if rows == 1 or (
        alone <= config.max_batch_s
        and tokens <= config.max_batch_tokens
        and rows <= config.max_batch_rows
    ):
        return alone
    shared = cost.q0 + work_s / workers
    return max(shared, min(alone, config.max_batch_s))


def weigh(entry: Entry, config: SchedulerConfig, workers: int) -> None:
    """Write what an entry's waiting rows need, by the cost model as it is now."""
    rows = entry.rows - entry.next_row
    cost, tokens, squares = entry.cost, entry.tokens, entry.squares
    entry.work_s = work_of(cost, config, tokens, squares, rows)
    entry.service_s = service_s(cost, config, tokens, squares, rows, workers, entry.work_s)
    entry.mates_s = max(min(config.max_batch_s, _EFFICIENT * cost.q0) - entry.service_s, 0.0)
    # In time while level(work ahead) + service + mates <= deadline, with level = (busy + ahead) /
    # workers.
    begin_by = entry.job.deadline - entry.service_s - entry.mates_s
    entry.room_s = workers * begin_by + entry.work_s


def level_s(free_in_s: Sequence[float], work_s: float) -> float:
    """Seconds until work_s is done if it is poured over workers that are free in so many seconds.

    free_in_s: ascending.
    """
    total = work_s
    level = 0.0
    for count, free in enumerate(free_in_s, 1):
        total += free
        level = total / count
        if count == len(free_in_s) or level <= free_in_s[count]:
            break
    return level
