"""Refusals where no protocol is known: an unknown path, a head that came too slowly."""

from __future__ import annotations

from limbeck.serve.json_body import dump
from limbeck.serve.protocols.base import Reply
from limbeck.serve.refused import RefusedError


def plain(refused: RefusedError) -> Reply:
    """{"error": {"code", "message"}}"""
    error = {"code": refused.reason, "message": refused.message}
    return Reply(body=dump({"error": error}), status=refused.status)
