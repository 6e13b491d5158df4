"""Refusals as JSON: {"error": {"code", "message"}}, in the words that most of our protocols use."""

from __future__ import annotations

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


def refusal(error: RefusedError, body: Any) -> Reply:
    """A refusal with its status; `http` adds Retry-After."""
    return Reply(body=json_body.dump(body), status=error.status)
