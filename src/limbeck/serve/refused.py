"""Why a request gets no answer, once for all protocols; each has its own way to say it."""

from __future__ import annotations

from typing import Literal

from limbeck.errors import LimbeckError

Reason = Literal[
    "bad_request",  # what was sent cannot be understood, or makes no sense
    "unauthorized",  # no key, or none that is known
    "forbidden",  # the key may not do this
    "not_found",  # no such route, model or version
    "method_not_allowed",
    "slow_client",  # the body did not come in time
    "conflict",  # the same transaction id with another body
    "too_large",  # body, rows, characters or tokens beyond a limit
    "unsupported_media",
    "unprocessable",  # understood, but the model or its task cannot do it
    "rate_limited",  # this client's share is used up
    "overloaded",  # would not be answered in time: try again later or elsewhere
    "failed",  # our fault, or the model's: such as scores that are no numbers
    "unavailable",  # not ready, draining, out of memory, breaker open
    "deadline",  # accepted, but not answered in time
]

STATUS: dict[Reason, int] = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "slow_client": 408,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media": 415,
    "unprocessable": 422,
    "rate_limited": 429,
    "overloaded": 429,
    "failed": 500,
    "unavailable": 503,
    "deadline": 504,
}


class RefusedError(LimbeckError):
    """Raised anywhere on the way of a request; the protocol makes the response of it.

    retry_after_s: when it is worth trying again; None where it is not.
    """

    def __init__(self, reason: Reason, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.reason]
