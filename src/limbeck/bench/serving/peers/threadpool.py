"""A FastAPI application around a function: plain `def` routes, which FastAPI runs in threads.

Annotations are evaluated as they stand here: FastAPI reads them from a class made in a function.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from limbeck.bench.serving.peers.settings import Settings


def make_app(settings: Settings, probabilities: Callable[[str], list[float]]) -> Any:
    """An application that answers POST /classify {"text": str}."""
    import anyio.to_thread
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Request(BaseModel):
        text: str

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if settings.slots:
            anyio.to_thread.current_default_thread_limiter().total_tokens = settings.slots
        yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/classify")
    def classify(request: Request) -> dict[str, list[list[float]]]:
        return {"predictions": [probabilities(request.text)]}

    return app


def serve(settings: Settings, module: str) -> None:
    """Run `module`'s `make_app` in uvicorn, in as many processes as there are workers."""
    import uvicorn

    uvicorn.run(
        f"{module}:make_app",
        factory=True,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        log_level="warning",
    )
