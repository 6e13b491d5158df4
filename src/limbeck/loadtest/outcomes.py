"""What became of each request, in arrays: 25 bytes a request, however long the run."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


class Outcome(IntEnum):
    """One of these for every request. The first was never sent, the second cut off by the end of
    an interrupted run; the others add up to what was sent in a run that ended by itself."""

    UNSENT = 0
    UNFINISHED = 1
    IN_TIME = 2
    LATE = 3
    REFUSED = 4  # 429, 503
    TIMED_OUT = 5  # 504, or our own patience
    ERROR = 6


# The kinds that are always there; kinds of errors come behind them as they are met.
KINDS: tuple[tuple[str, Outcome], ...] = (
    ("not sent", Outcome.UNSENT),
    ("unfinished", Outcome.UNFINISHED),
    ("in time", Outcome.IN_TIME),
    ("late", Outcome.LATE),
    ("status 429", Outcome.REFUSED),
    ("status 503", Outcome.REFUSED),
    ("status 504", Outcome.TIMED_OUT),
    ("no answer within the client's patience", Outcome.TIMED_OUT),
)
UNSENT, UNFINISHED, IN_TIME, LATE, REFUSED_429, REFUSED_503, STATUS_504, NO_ANSWER = range(8)
_MOST_KINDS = 250
_MOST_PHASES = 12


@dataclass(frozen=True, kw_only=True)
class Samples:
    """One entry a request, in order of schedule.

    scheduled_s: f64, from the start of the run. latency_ms: from the schedule to the last byte of
    the answer, whatever its status; NaN without an answer. lateness_ms: from the schedule to the
    moment when the generator turned to it. kind: place in `kinds`. which: place in the target's
    requests. phases: what the server said in Server-Timing, ms, NaN where it said nothing.
    """

    scheduled_s: npt.NDArray[np.float64]
    latency_ms: F32
    lateness_ms: F32
    kind: U8
    which: npt.NDArray[np.int32]
    kinds: tuple[str, ...]
    phases: dict[str, F32] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    retry_after: int = 0
    metrics: tuple[tuple[float, bytes], ...] = ()

    @property
    def outcome(self) -> U8:
        """`Outcome` of each request."""
        table = np.full(256, Outcome.ERROR, np.uint8)
        table[: len(KINDS)] = [outcome for _, outcome in KINDS]
        return table[self.kind]


class Recorder:
    """Fills the arrays while a run goes on. Numbers are those of this process's requests."""

    def __init__(self, count: int) -> None:
        self.latency_ms = _nans(count)
        self.lateness_ms = _nans(count)
        self.kind = bytearray(count)
        self.kinds = [name for name, _ in KINDS]
        self.phases: dict[bytes, array[float]] = {}
        self.examples: dict[str, str] = {}
        self.retry_after = 0
        self.metrics: list[tuple[float, bytes]] = []
        self._places = {name: place for place, name in enumerate(self.kinds)}
        self._count = count

    def place(self, name: str) -> int:
        """The number of a kind; met for the first time it gets the next one."""
        found = self._places.get(name)
        if found is None:
            if len(self.kinds) >= _MOST_KINDS:
                return self.place("other errors")
            found = self._places[name] = len(self.kinds)
            self.kinds.append(name)
        return found

    def example(self, name: str, text: str) -> None:
        """Keep the first example of a kind: what the server said."""
        self.examples.setdefault(name, text[:300])

    def timing(self, number: int, header: bytes) -> None:
        """Take the durations of a Server-Timing header: `tokenize;dur=0.1, inference;dur=3`."""
        for entry in header.split(b","):
            name, _, rest = entry.partition(b";")
            where = rest.find(b"dur=")
            if where < 0:
                continue
            try:
                duration = float(rest[where + 4 :].partition(b";")[0].strip(b' "'))
            except ValueError:
                continue
            values = self.phases.get(name)
            if values is None:
                if len(self.phases) >= _MOST_PHASES:
                    continue
                values = self.phases[name] = _nans(self._count)
            values[number] = duration

    def samples(
        self, scheduled_s: npt.NDArray[np.float64], which: npt.NDArray[np.int32]
    ) -> Samples:
        """What was recorded."""
        phases: dict[str, F32] = {}
        for name, values in self.phases.items():
            clean = name.strip().decode("latin-1")
            phases[clean] = np.frombuffer(values, np.float32)
        return Samples(
            scheduled_s=scheduled_s,
            latency_ms=np.frombuffer(self.latency_ms, np.float32),
            lateness_ms=np.frombuffer(self.lateness_ms, np.float32),
            kind=np.frombuffer(bytes(self.kind), np.uint8),
            which=which,
            kinds=tuple(self.kinds),
            phases=phases,
            examples=dict(self.examples),
            retry_after=self.retry_after,
            metrics=tuple(self.metrics),
        )


def _nans(count: int) -> array[float]:
    return array("f", np.full(count, np.nan, np.float32).tobytes())


def merge(parts: list[Samples]) -> Samples:
    """The samples of several processes as one, in order of schedule."""
    if len(parts) == 1:
        return parts[0]
    kinds = list(KINDS_NAMES)
    codes = []
    for part in parts:
        for name in part.kinds:
            if name not in kinds:
                kinds.append(name)
        table = np.array([kinds.index(name) for name in part.kinds], np.uint8)
        codes.append(table[part.kind])
    scheduled = np.concatenate([part.scheduled_s for part in parts])
    order = np.argsort(scheduled, kind="stable")
    names = {name: None for part in parts for name in part.phases}
    phases = {
        name: np.concatenate(
            [part.phases.get(name, np.full(part.kind.size, np.nan, np.float32)) for part in parts]
        )[order]
        for name in names
    }
    examples: dict[str, str] = {}
    for part in parts:
        examples = {**part.examples, **examples}
    return Samples(
        scheduled_s=scheduled[order],
        latency_ms=np.concatenate([part.latency_ms for part in parts])[order],
        lateness_ms=np.concatenate([part.lateness_ms for part in parts])[order],
        kind=np.concatenate(codes)[order],
        which=np.concatenate([part.which for part in parts])[order],
        kinds=tuple(kinds),
        phases=phases,
        examples=examples,
        retry_after=sum(part.retry_after for part in parts),
        metrics=tuple(sorted(entry for part in parts for entry in part.metrics)),
    )


KINDS_NAMES = tuple(name for name, _ in KINDS)
