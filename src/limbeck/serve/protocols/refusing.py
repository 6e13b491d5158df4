"""Refusals as JSON: {"error": {"code", "message"}}, in the words that most of our protocols use."""

from __future__ import annotations

import math
from typing import Any

from limbeck.serve import json_body
from limbeck.serve.protocols.base import Reply
from limbeck.serve.refused import STATUS, RefusedError

CODED_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string", "enum": list(STATUS)},
                "message": {"type": "string"},
            },
            "required": ["code", "message"],
            "additionalProperties": False,
        }
    },
    "required": ["error"],
    "additionalProperties": False,
}


def coded(error: RefusedError) -> Reply:
    """{"error": {"code": the reason, "message"}}."""
    return refusal(error, {"error": {"code": error.reason, "message": error.message}})


def refusal(error: RefusedError, body: Any, *, status: int | None = None) -> Reply:
    """A refusal with its status, and with Retry-After where trying again is worth it."""
    headers: tuple[tuple[str, str], ...] = ()
    if error.retry_after_s is not None:
        # Whole seconds; 0 would mean at once, which is what got it refused.
        headers = (("retry-after", str(max(1, math.ceil(error.retry_after_s)))),)
    return Reply(body=json_body.dump(body), status=status or error.status, headers=headers)
