"""How every request ended, told once to whoever counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from limbeck.serve.refused import Reason

# gone: the client left before it was answered.
Outcome = Literal["answered", "gone"] | Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One request that has ended.

    protocol, route: of its route; "" where it had none. status: None where nothing was sent.
    seconds: from the head of the request to the end. tenant, client: who asked. noted: see `Call`.
    """

    protocol: str
    route: str
    method: str
    outcome: Outcome
    status: int | None
    seconds: float
    request_id: str
    tenant: str
    client: str
    request_bytes: int
    response_bytes: int
    headers: Mapping[str, str]
    noted: Mapping[str, Any]


class Watcher(Protocol):
    """Counts, logs or traces requests."""

    def began(self) -> None:
        """The head of a request was read; `ended` will follow, once."""

    def ended(self, ended: Ended, /) -> None:
        """Called in the event loop, once for every request; must not raise or block."""
