"""The access log: a line for each request, of what it was and how it went, not of what it said."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from limbeck.serve.logs import Logs
from limbeck.serve.request import Timing
from limbeck.serve.tracing import trace_id

if TYPE_CHECKING:
    from limbeck.serve.http.watching import Ended

_LEVELS: Final = {
    "failed": logging.ERROR,
    "deadline": logging.WARNING,
    "overloaded": logging.WARNING,
    "unavailable": logging.WARNING,
}
# Longer ones are no ids of ours, and a log is no place to put a novel.
_MAX_CHARACTERS: Final = 200


class AccessLog:
    """Watches requests and writes them down."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._texts = logs.settings.texts

    def began(self) -> None:
        """Nothing to write yet."""

    def ended(self, ended: Ended) -> None:
        """One line."""
        level = _LEVELS.get(ended.outcome, logging.INFO)
        if not self._logs.settings.access or level < self._logs.level:
            return
        noted = ended.noted
        fields: dict[str, Any] = {
            "request_id": ended.request_id[:_MAX_CHARACTERS],
            "trace_id": noted.get("trace_id") or trace_id(ended.headers),
            "protocol": ended.protocol,
            "method": ended.method[:20],
            "route": ended.route,
            "status": ended.status,
            "outcome": ended.outcome,
            "total_ms": round(ended.seconds * 1000, 3),
        }
        for name in ("model", "version"):
            if name in noted:
                fields[name] = str(noted[name])[:_MAX_CHARACTERS]
        timing = noted.get("timing")
        if isinstance(timing, Timing):
            fields["tokenize_ms"] = round(timing.tokenize_s * 1000, 3)
            fields["queue_ms"] = round(timing.queue_s * 1000, 3)
            fields["inference_ms"] = round(timing.inference_s * 1000, 3)
        for name in ("rows", "tokens", "cached"):
            if name in noted:
                fields[name] = noted[name]
        fields["tenant"] = ended.tenant
        fields["client"] = ended.client
        fields["request_bytes"] = ended.request_bytes
        fields["response_bytes"] = ended.response_bytes
        if self._texts and "inputs" in noted:
            fields["inputs"] = noted["inputs"]
        self._logs.write(level, "limbeck.access", "request", fields)
