"""A rest that watches the machine: who else is busy while nobody is being measured?"""

from __future__ import annotations

import time
from pathlib import Path

_STAT = Path("/proc/stat")
# Columns of the "cpu" line of /proc/stat (proc_stat(5)): idle and iowait are not work.
_IDLE = (3, 4)
# guest and guest_nice are counted within user and nice already.
_COLUMNS = 8


def cpu_times(text: str) -> tuple[int, int]:
    """(busy, all) CPU time since boot, over all processors, in clock ticks."""
    values = [int(value) for value in text.split("\n", 1)[0].split()[1 : 1 + _COLUMNS]]
    idle = sum(values[column] for column in _IDLE)
    return sum(values) - idle, sum(values)


class Rest:
    """Sleeps, and adds up how busy the processors were meanwhile.

    The first 20 ms of a rest are left out: threads of the contestant before still spin then.
    """

    SETTLE_S = 0.02

    def __init__(self, stat: Path = _STAT) -> None:
        self._stat = stat
        self._busy = 0
        self._all = 0

    def __call__(self, seconds: float) -> None:
        settle = min(self.SETTLE_S, seconds)
        time.sleep(settle)
        busy, everything = cpu_times(self._stat.read_text(encoding="ascii"))
        time.sleep(seconds - settle)
        busy_after, everything_after = cpu_times(self._stat.read_text(encoding="ascii"))
        self._busy += busy_after - busy
        self._all += everything_after - everything

    @property
    def others_busy(self) -> float:
        """Share of the machine that others used during the rests, 0 .. 1."""
        return self._busy / self._all if self._all else 0.0
