"""What the HTTP layer tells of a request, for tests of who watches."""

from __future__ import annotations

from typing import Any

from limbeck.serve.http.watching import Ended
from limbeck.serve.request import Timing

TIMING = Timing(tokenize_s=0.001, queue_s=0.02, inference_s=0.3, total_s=0.35)


def ended(**changes: Any) -> Ended:
    """An answered request, but for changes."""
    values: dict[str, Any] = {
        "protocol": "own",
        "route": "/v1/models/{name}/predict",
        "method": "POST",
        "outcome": "answered",
        "status": 200,
        "seconds": 0.36,
        "request_id": "id-1",
        "tenant": "shop",
        "client": "127.0.0.1",
        "request_bytes": 10,
        "response_bytes": 20,
        "headers": {},
        "noted": {
            "model": "a",
            "version": "1",
            "rows": 2,
            "tokens": 30,
            "cached": 1,
            "timing": TIMING,
        },
    }
    return Ended(**(values | changes))
