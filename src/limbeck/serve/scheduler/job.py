"""What goes through the scheduler: jobs in, batches out, refusals at the door.

Times are seconds on the caller's monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

Reason = Literal["queue_full", "too_late", "passed", "never", "draining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One round of one request: rows (sequences) that can share batches with others of their lane.

    number: unique among the jobs that the scheduler holds.
    lane: what may share a batch, such as (model version, output).
    lengths: tokens of each row, special tokens included.
    deadline: s, by which the answer must be there.
    priority: class; 0 is served first, those beyond the last class count as the last.
    tenant: whose share of the queue it takes.

    Raises:
        ValueError: no rows, a row without tokens, a deadline that is no finite number, a priority
            below 0.
    """

    number: int
    lane: Hashable
    lengths: tuple[int, ...]
    deadline: float
    priority: int = 0
    tenant: str = ""

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1:
            raise ValueError("a job needs at least one row, and each row at least one token")
        if not math.isfinite(self.deadline):
            raise ValueError(f"deadline must be a finite number of seconds, not {self.deadline}")
        if self.priority < 0:
            raise ValueError(f"priority must be 0 or more, not {self.priority}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a job was not let in.

    reason: "queue_full" (the bound in tokens, or the tenant's share of it), "too_late" (by
        prediction it would miss its deadline, or make an accepted one miss its own), "passed" (its
        deadline is over already), "never" (it alone exceeds the bound), "draining".
    retry_after_s: predicted time until it would fit; None where waiting does not help.
    """

    reason: Reason
    retry_after_s: float | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The rows of one job that a batch takes: rows.start .. rows.stop - 1 of its lengths."""

    number: int
    rows: range


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """What one worker runs at once.

    tokens: of all rows. squares: sum of squared row lengths. predicted_s: high quantile of the
    time it takes. started: s. earliest: the earliest deadline among its jobs. alone: with the
    threads of all workers, of which no other runs anything.
    """

    number: int
    lane: Hashable
    parts: tuple[Part, ...]
    tokens: int
    squares: int
    predicted_s: float
    started: float
    earliest: float
    alone: bool = False

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(len(part.rows) for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """Bounds and habits of a scheduler.

    queue_tokens: tokens that may wait; batches that run do not count.
    max_batch_tokens, max_batch_rows: a row that is longer than the bound runs alone.
    max_batch_s: predicted time of a batch that takes more than one row: how long an urgent job
        that comes later may be kept waiting.
    classes: number of priority classes.
    ageing_s: who has waited so long rises by one class, so that a job of class p stands after
        p * ageing_s among those of class 0, by its deadline.
    reserved: share of queue_tokens which only class 0 may fill.
    tenant_share: largest share of queue_tokens that one tenant may hold.
    probe_s: a job whose predicted time alone exceeds what its deadline leaves is let in all the
        same if its cost model has seen no batch for so long: a wrong prediction that refuses
        everything would never be corrected.
    scan: jobs that are looked at to fill one batch.

    Raises:
        ValueError: a bound that is not positive, or a share outside its range.
    """

    queue_tokens: int = 262_144
    max_batch_tokens: int = 16_384
    max_batch_rows: int = 256
    max_batch_s: float = 0.05
    classes: int = 4
    ageing_s: float = 1.0
    reserved: float = 0.1
    tenant_share: float = 1.0
    probe_s: float = 1.0
    scan: int = 256

    def __post_init__(self) -> None:
        for name in ("queue_tokens", "max_batch_tokens", "max_batch_rows", "classes", "scan"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("max_batch_s", "ageing_s", "probe_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0 s, not {getattr(self, name)}")
        if not 0 <= self.reserved < 1:
            raise ValueError(f"reserved must be in [0, 1), not {self.reserved}")
        if not 0 < self.tenant_share <= 1:
            raise ValueError(f"tenant_share must be in (0, 1], not {self.tenant_share}")
