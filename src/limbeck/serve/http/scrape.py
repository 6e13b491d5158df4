"""GET /metrics: what Prometheus reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from limbeck.serve.http.words import plain
from limbeck.serve.protocols.base import Call, Reply, Route


def route(scrape: Callable[[str], Awaitable[tuple[bytes, str]]]) -> Route:
    """scrape: the value of the header `accept` -> the text, and its content type."""

    async def handle(call: Call) -> Reply:
        body, content_type = await scrape(call.headers.get("accept", ""))
        return Reply(body=body, content_type=content_type)

    return Route(
        protocol="probe",
        method="GET",
        path="/metrics",
        handle=handle,
        error=plain,
        operation={
            "summary": "Metrics for Prometheus",
            "tags": ["health"],
            "responses": {
                "200": {
                    "description": "In Prometheus' text format, or OpenMetrics where asked for",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                }
            },
        },
        scope="open",
    )
