"""Admission written out: one loop over all that waits, in order, without any structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A job that waits, or wants to: class, key in it, and what is predicted for it."""

    place: int
    key: tuple[float, int]
    work_s: float
    service_s: float
    mates_s: float

    @property
    def deadline(self) -> float:
        return self.key[0]


def pour(free_in_s: Sequence[float], work_s: float) -> float:
    """Level of work poured over workers, by bisection on: sum of max(level - free, 0) = work."""
    low, high = min(free_in_s), max(free_in_s) + work_s
    for _ in range(100):
        level = (low + high) / 2
        if sum(max(level - free, 0.0) for free in free_in_s) < work_s:
            low = level
        else:
            high = level
    return high


def verdict(
    now: float,
    new: Waiting,
    waiting: Sequence[Waiting],
    free_in_s: Sequence[float],
    lanes_s: float,
    near: float = 1e-7,
) -> bool | None:
    """Whether a job is let in by its load; None: too near the border for floating point.

    lanes_s: fixed parts of batches of other lanes.
    """
    workers = len(free_in_s)
    ahead = lanes_s + sum(
        other.work_s for other in waiting if (other.place, other.key) < (new.place, new.key)
    )
    needs = new.service_s + (new.mates_s if waiting else 0.0)
    slack = new.deadline - now - pour(free_in_s, ahead) - needs
    if abs(slack) < near:
        return None
    if slack < 0:
        return False
    before = lanes_s + sum(other.work_s for other in waiting if other.place < new.place)
    mine = sorted(
        (other for other in waiting if other.place == new.place), key=lambda other: other.key
    )
    total = before + sum(other.work_s for other in mine) + new.work_s
    busy = workers * pour(free_in_s, total) - total
    done = before
    for other in mine:
        if other.key > new.key:
            begin = (busy + done) / workers
            slack = workers * (other.deadline - now - begin - other.service_s - other.mates_s)
            if abs(slack) < near or abs(slack - new.work_s) < near:
                return None
            if 0 <= slack < new.work_s:
                return False
        done += other.work_s
    return True
