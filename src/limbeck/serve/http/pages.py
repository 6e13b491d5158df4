"""/docs, /redoc and /openapi.json, of a FastAPI application that is made when one of them is first
asked for: importing it takes longer than all else that a start needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from limbeck.serve.http.body import Receive

_STATIC: Final = "/docs/static"
PATHS: Final = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})


class Pages:
    """An ASGI application. The pages bring their scripts along: no content network is asked."""

    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        self._document = document
        self._app: Any = None
        self._making = asyncio.Lock()

    def takes(self, path: str) -> bool:
        """Whether the path is one of its own."""
        return path in PATHS or path.startswith(f"{_STATIC}/")

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Any) -> None:
        async with self._making:
            if self._app is None:
                # In a thread, so that requests are answered meanwhile.
                self._app = await asyncio.to_thread(self._made)
        await self._app(scope, receive, send)

    def _made(self) -> Any:
        from fastapi_offline import FastAPIOffline

        app = FastAPIOffline(title="limbeck", static_url=_STATIC)
        document = self._document()
        app.openapi = lambda: document  # type: ignore[method-assign]
        return app
