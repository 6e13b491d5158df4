"""How much is pruned when: a cubic ramp, a cool-down, and a lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from limbeck.errors import TrainingError

Phase = Literal["before", "ramp", "cooldown", "locked"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Shares of the run, 0 .. 1: the ramp goes from `start` to `end`; until `lock` blocks may still
    change places; then the mask stays. A mask is chosen anew every `every` steps."""

    start: float = 0.0
    end: float = 0.5
    lock: float = 0.6
    every: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= self.lock <= 1:
            raise TrainingError(
                "pruning needs 0 <= start <= end <= lock <= 1 as shares of the training, found "
                f"start {self.start!r}, end {self.end!r}, lock {self.lock!r}"
            )
        if self.every < 1:
            raise TrainingError(f"every must be at least 1 step, found {self.every!r}")

    def phase(self, share: float) -> Phase:
        """Where a run is that has done this share."""
        if share < self.start:
            return "before"
        if share >= self.lock:
            return "locked"
        return "ramp" if share < self.end else "cooldown"

    def sparsity(self, share: float, first: float, last: float) -> float:
        """Zhu and Gupta 2017 (arXiv 1710.01878), equation 1:
        s_t = s_f + (s_i - s_f) * (1 - (t - t_0) / (n * dt))**3."""
        if share < self.start:
            return first
        if share >= self.end:
            return last
        left = 1.0 - (share - self.start) / (self.end - self.start)
        return last + (first - last) * left**3
