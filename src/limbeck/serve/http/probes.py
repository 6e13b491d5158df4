"""/health/live, /health/ready, /health/startup: for whoever decides about traffic and restarts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from limbeck.serve.http.words import plain
from limbeck.serve.json_body import dump
from limbeck.serve.protocols.base import Call, Reply, Route

_REASONS = {
    "type": "object",
    "properties": {
        "status": {"type": "string"},
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["status"],
}


def routes(*, started: Callable[[], bool], not_ready: Callable[[], Sequence[str]]) -> list[Route]:
    """Live says only that the event loop turns; ready, that requests are welcome, or why not;
    startup, that all models that are loaded at start were.
    """

    async def live(call: Call) -> Reply:
        return Reply(body=dump({"status": "live"}))

    async def ready(call: Call) -> Reply:
        reasons = list(not_ready())
        if not started() and not reasons:
            reasons = ["models are being loaded"]
        if reasons:
            return Reply(body=dump({"status": "not ready", "reasons": reasons}), status=503)
        return Reply(body=dump({"status": "ready"}))

    async def startup(call: Call) -> Reply:
        if started():
            return Reply(body=dump({"status": "started"}))
        return Reply(body=dump({"status": "starting"}), status=503)

    return [
        _route("/health/live", live, "Whether the process answers"),
        _route("/health/ready", ready, "Whether requests are welcome", "Not now; reasons say why"),
        _route("/health/startup", startup, "Whether it has started", "Not yet"),
    ]


def _route(path: str, handle: Any, summary: str, otherwise: str | None = None) -> Route:
    content = {"application/json": {"schema": _REASONS}}
    responses: dict[str, Any] = {"200": {"description": "Yes", "content": content}}
    if otherwise is not None:
        responses["503"] = {"description": otherwise, "content": content}
    return Route(
        protocol="probe",
        method="GET",
        path=path,
        handle=handle,
        error=plain,
        operation={"summary": summary, "tags": ["health"], "responses": responses},
        scope="open",
    )
