"""Requests as the HTTP layer sees them, counted as metrics name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from limbeck.serve.metrics import Metrics, Outcome
from limbeck.serve.request import Timing

if TYPE_CHECKING:
    from limbeck.serve.http.watching import Ended

_NAMES = {"answered": "ok", "gone": "cancelled"}


class Counting:
    """Watches requests and counts them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def began(self) -> None:
        """The head of a request was read."""
        self._metrics.received()

    def ended(self, ended: Ended) -> None:
        """It has ended, in one of the ways that there are."""
        noted = ended.noted
        timing = noted.get("timing")
        if not isinstance(timing, Timing) or ended.outcome != "answered":
            # How long a refusal took is seen from outside; the service may not have been asked.
            timing = Timing(total_s=ended.seconds) if ended.outcome != "answered" else None
        self._metrics.request(
            protocol=ended.protocol,
            outcome=cast(Outcome, _NAMES.get(ended.outcome, ended.outcome)),
            model=noted.get("model"),
            version=noted.get("version"),
            timing=timing,
            tokens=noted.get("tokens", 0),
            rows=noted.get("rows", 0),
            cached=noted.get("cached", 0),
        )
