"""A circuit breaker: a model that fails is left alone for a while, then tried with few requests.

Closed: all go through, and outcomes are counted over a sliding window. Open: none do. Half-open,
after open_s: as many as there are probes; all good closes it, one bad opens it again. Pure: told
the time, in seconds of a clock that does not run backwards.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, NewType

from limbeck.serve.settings import BreakerSettings

State = Literal["closed", "open", "half_open"]
# ok: answered, or refused for what the client sent; error: ours or the model's; slow: answered, but
# over slow_share of the deadline.
Outcome = Literal["ok", "error", "slow"]
# Which state of the breaker let a request through: what was begun before says nothing about now.
Permit = NewType("Permit", int)

# The window moves on in so many steps, so that it takes the same memory at any rate of requests.
SLICES: Final = 10


@dataclass(slots=True)
class _Slice:
    number: int
    total: int = 0
    errors: int = 0
    slow: int = 0


class Breaker:
    """Of one model. Each `allow` that gives a permit is followed by one `record` or `release`."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._state: State = "closed"
        self._permit = Permit(1)
        self._now_s = float("-inf")
        self._slices: deque[_Slice] = deque()
        self._opened_s = 0.0
        self._probes = 0  # of this half-open: on their way or answered well
        self._good = 0
        self.opened = 0  # how often, since the start

    @property
    def state(self) -> State:
        """As the last `allow` or `record` left it: an open one becomes half-open when asked."""
        return self._state

    def allow(self, now: float) -> Permit | None:
        """A permit to ask the model, or None; then `retry_after_s` says when to ask again."""
        now = self._at(now)
        if self._state == "open" and now >= self._opened_s + self._settings.open_s:
            self._become("half_open")
        if self._state == "open":
            return None
        if self._state == "half_open":
            if self._probes >= self._settings.probes:
                return None
            self._probes += 1
        return self._permit

    def record(self, now: float, outcome: Outcome, permit: Permit) -> None:
        """How a request ended."""
        now = self._at(now)
        if permit != self._permit or not self._settings.enabled:
            return
        if self._state == "half_open":
            if outcome != "ok":
                self._open(now)
                return
            self._good += 1
            if self._good >= self._settings.probes:
                self._become("closed")
            return
        if self._is_bad(self._count(now, outcome)):
            self._open(now)

    def release(self, permit: Permit) -> None:
        """A request ended without telling anything about the model: cancelled, refused later, or
        not computed at all. Its probe is free for another.
        """
        if permit == self._permit and self._state == "half_open":
            self._probes -= 1

    def retry_after_s(self, now: float) -> float:
        """How long to wait before asking again; 0 while closed."""
        if self._state == "closed":
            return 0.0
        if self._state == "half_open":  # until the probes are back; nobody knows when
            return self._settings.open_s
        return max(0.0, self._opened_s + self._settings.open_s - self._at(now))

    def _at(self, now: float) -> float:
        self._now_s = max(self._now_s, now)
        return self._now_s

    def _open(self, now: float) -> None:
        self._opened_s = now
        self.opened += 1
        self._become("open")

    def _become(self, state: State) -> None:
        self._state = state
        self._permit = Permit(self._permit + 1)
        self._probes = self._good = 0
        self._slices.clear()

    def _count(self, now: float, outcome: Outcome) -> _Slice:
        """Add an outcome, and give the sum of the window."""
        number = int(now * SLICES // self._settings.window_s)
        while self._slices and self._slices[0].number <= number - SLICES:
            self._slices.popleft()
        if not self._slices or self._slices[-1].number != number:
            self._slices.append(_Slice(number))
        last = self._slices[-1]
        last.total += 1
        last.errors += outcome == "error"
        last.slow += outcome == "slow"
        return _Slice(
            number,
            sum(one.total for one in self._slices),
            sum(one.errors for one in self._slices),
            sum(one.slow for one in self._slices),
        )

    def _is_bad(self, window: _Slice) -> bool:
        settings = self._settings
        return window.total >= settings.min_requests and (
            window.errors >= settings.error_rate * window.total
            or window.slow >= settings.slow_rate * window.total
        )
