"""What heads of requests and responses say about a request: its id, its trace, its time."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping

from limbeck.serve import tracing
from limbeck.serve.request import Timing

REQUEST_ID = "x-request-id"
TRACEPARENT = "traceparent"

# Nothing that could end a line of a log or of a head, or need quoting in either.
_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_random = random.SystemRandom()


def request_id(headers: Mapping[str, str]) -> str:
    """The client's own id where it can be used, else a new one."""
    given = headers.get(REQUEST_ID)
    if given is not None and _ID.fullmatch(given):
        return given
    return f"{_random.getrandbits(128):032x}"


def traceparent(headers: Mapping[str, str]) -> str | None:
    """The W3C trace context of a request; None where there is none, or it is malformed."""
    context = tracing.parse(headers)
    return None if context is None else context.traceparent


def timing_headers(timing: Timing) -> list[tuple[str, str]]:
    """Where the time went, in milliseconds, for browsers and for logs."""
    parts = (
        ("Tokenize", timing.tokenize_s),
        ("Queue", timing.queue_s),
        ("Inference", timing.inference_s),
        ("Total", timing.total_s),
    )
    shown = [(name, f"{seconds * 1000:.3f}") for name, seconds in parts]
    split = ", ".join(f"{name.lower()};dur={value}" for name, value in shown)
    return [("server-timing", split)] + [(f"x-limbeck-{n.lower()}-ms", v) for n, v in shown]


def retry_after(seconds: float) -> str:
    """The header takes whole seconds; 0 would be an invitation to knock at once."""
    return str(max(1, math.ceil(seconds)))
