"""Waiting jobs of one class, earliest deadline first, with the sums that admission asks for.

Blocks of some dozens of entries: finding, putting in and taking out cost a bisection and a short
shift; a sum over all that is ahead costs one addition a block. `reference.py` of the tests has the
same answers written out as one loop.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterator

from limbeck.serve.scheduler.cost import CostModel
from limbeck.serve.scheduler.job import Job

Key = tuple[float, int]

# Entries a block holds before it is split in two.
_BLOCK = 96


class Entry:
    """A job that has rows waiting or in flight.

    place: its class, which ageing lowers; key: its order in it. next_row: the first row that waits;
    tokens and squares: sums over the rows that wait. out: rows in flight. probe: runs even if it
    seems too late. gone: nobody wants its rows any more. Predicted by `admission.weigh`: work_s,
    the share of a worker's time that the waiting rows take; service_s, seconds until they are
    through once begun; mates_s, what their batch may take beyond that; room_s, all of these and
    the deadline, as `DeadlineOrder.broken_by` wants them.
    """

    __slots__ = (
        "cost",
        "gone",
        "job",
        "key",
        "mates_s",
        "next_row",
        "out",
        "place",
        "probe",
        "room_s",
        "rows",
        "service_s",
        "squares",
        "submitted",
        "tokens",
        "work_s",
    )

    def __init__(self, job: Job, place: int, cost: CostModel, submitted: float) -> None:
        self.job = job
        self.key: Key = (job.deadline, job.number)
        self.place = place
        self.cost = cost
        self.submitted = submitted
        self.next_row = 0
        self.rows = len(job.lengths)
        if self.rows == 1:
            (length,) = job.lengths
            self.tokens, self.squares = length, length * length
        else:
            self.tokens = sum(job.lengths)
            self.squares = sum(length * length for length in job.lengths)
        self.work_s = 0.0
        self.service_s = 0.0
        self.mates_s = 0.0
        self.room_s = 0.0
        self.out = 0
        self.gone = False
        self.probe = False

    def __lt__(self, other: Entry) -> bool:
        return self.key < other.key


class DeadlineOrder:
    """Entries sorted by key; each entry's work_s and room_s are read when it is put in.

    An entry whose work_s or room_s is to change is taken out before and put in again after.
    """

    __slots__ = ("_blocks", "_lasts", "_rooms", "_sums")

    def __init__(self) -> None:
        self._blocks: list[list[Entry]] = []
        self._lasts: list[Key] = []
        self._sums: list[float] = []
        # min over a block's entries of room_s - (work up to and with the entry, from the block's
        # beginning); NaN: to be computed when asked for.
        self._rooms: list[float] = []

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def __iter__(self) -> Iterator[Entry]:
        for block in self._blocks:
            yield from block

    @property
    def first(self) -> Entry:
        """The most urgent entry."""
        return self._blocks[0][0]

    @property
    def work_s(self) -> float:
        """Predicted seconds of one worker for all entries."""
        return sum(self._sums)

    def put(self, entry: Entry) -> None:
        """Put an entry in its place."""
        blocks = self._blocks
        if not blocks:
            blocks.append([entry])
            self._lasts.append(entry.key)
            self._sums.append(entry.work_s)
            self._rooms.append(entry.room_s - entry.work_s)
            return
        at = bisect_left(self._lasts, entry.key)
        if at == len(blocks):
            at -= 1
            blocks[at].append(entry)
            self._lasts[at] = entry.key
            self._sums[at] += entry.work_s
            room = self._rooms[at]
            if room == room:  # not NaN
                self._rooms[at] = min(room, entry.room_s - self._sums[at])
        else:
            insort(blocks[at], entry)
            self._sums[at] += entry.work_s
            self._rooms[at] = math.nan
        if len(blocks[at]) > _BLOCK:
            self._split(at)

    def take(self, entry: Entry) -> None:
        """Take an entry out; it must be in."""
        at = bisect_left(self._lasts, entry.key)
        block = self._blocks[at]
        index = 0 if block[0] is entry else bisect_left(block, entry)
        assert block[index] is entry
        del block[index]
        if not block:
            del self._blocks[at], self._lasts[at], self._sums[at], self._rooms[at]
            return
        self._lasts[at] = block[-1].key
        self._sums[at] -= entry.work_s
        self._rooms[at] = math.nan
        # Subtraction alone would let rounding errors pile up.
        if len(block) <= 4:
            self._sums[at] = sum(e.work_s for e in block)

    def ahead_s(self, key: Key) -> float:
        """Predicted work of the entries before the key."""
        at = bisect_left(self._lasts, key)
        total = sum(self._sums[:at])
        if at < len(self._blocks):
            for entry in self._blocks[at]:
                if entry.key >= key:
                    break
                total += entry.work_s
        return total

    def broken_by(self, key: Key, work_s: float, level_s: float) -> float | None:
        """The first entry behind key that work_s more ahead of it would push over its deadline.

        An entry keeps its deadline while (work up to and with it) <= room_s - level_s. Those that
        are over it already count no more.

        Returns: the seconds of work that are too much, or None.
        """
        at = bisect_left(self._lasts, key)
        if at == len(self._blocks):
            return None
        ahead = sum(self._sums[:at])
        for index in range(at, len(self._blocks)):
            block = self._blocks[index]
            room = self._rooms[index]
            if room != room:
                room = self._rooms[index] = _room(block)
            if room - ahead - level_s < work_s:
                done = ahead
                for entry in block:
                    done += entry.work_s
                    slack = entry.room_s - done - level_s
                    if 0 <= slack < work_s and entry.key > key:
                        return work_s - slack
            ahead += self._sums[index]
        return None

    def _split(self, at: int) -> None:
        block = self._blocks[at]
        half = len(block) // 2
        left, right = block[:half], block[half:]
        self._blocks[at : at + 1] = [left, right]
        self._lasts[at : at + 1] = [left[-1].key, right[-1].key]
        self._sums[at : at + 1] = [sum(e.work_s for e in left), sum(e.work_s for e in right)]
        self._rooms[at : at + 1] = [math.nan, math.nan]


def _room(block: list[Entry]) -> float:
    done, room = 0.0, math.inf
    for entry in block:
        done += entry.work_s
        left = entry.room_s - done
        if left < room:
            room = left
    return room
