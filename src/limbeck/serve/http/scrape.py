"""/metrics, for Prometheus."""

from __future__ import annotations

from limbeck.serve.http.words import plain
from limbeck.serve.metrics import Metrics
from limbeck.serve.protocols.base import Call, Reply, Route


def routes(metrics: Metrics) -> list[Route]:
    """Needs no key: what it tells is no secret to whoever may reach the port."""

    async def scrape(call: Call) -> Reply:
        body, content_type = await metrics.scrape(call.headers.get("accept", ""))
        return Reply(body=body, content_type=content_type)

    return [
        Route(
            protocol="metrics",
            method="GET",
            path="/metrics",
            handle=scrape,
            error=plain,
            operation={
                "summary": "What this process has counted",
                "tags": ["metrics"],
                "responses": {
                    "200": {
                        "description": "In the text format of Prometheus, or of OpenMetrics",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    }
                },
            },
            scope="open",
        )
    ]
