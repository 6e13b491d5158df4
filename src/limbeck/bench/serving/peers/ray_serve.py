"""Ray Serve: replicas with `serve.batch`, behind its own HTTP proxy."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from limbeck.bench.serving.peers.settings import Settings
from limbeck.bench.serving.peers.texts import OnnxTexts


def make_deployment(settings: Settings) -> Any:
    """An application of as many replicas as there are workers.

    Logical CPUs are what Ray places replicas by; it enforces nothing.
    """

    @serve.deployment(
        num_replicas=settings.workers,
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0},
    )
    class Texts:
        def __init__(self) -> None:
            self.model = OnnxTexts(settings)

        @serve.batch(  # type: ignore[untyped-decorator]
            max_batch_size=settings.batch, batch_wait_timeout_s=settings.wait_ms / 1e3
        )
        async def classify(self, texts: list[str]) -> list[list[float]]:
            return self.model.classify(texts)

        async def __call__(self, request: Request) -> dict[str, list[list[float]]]:
            body = await request.json()
            return {"predictions": [await self.classify(body["text"])]}

    return Texts.bind()  # type: ignore[attr-defined]


def main() -> None:
    """Serve until a signal."""
    settings = Settings.from_arguments()
    # Ray keeps sockets in its directory, and their paths may have 107 signs only.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as directory:
        ray.init(
            num_cpus=len(os.sched_getaffinity(0)),
            include_dashboard=False,
            _temp_dir=directory,
            object_store_memory=100 * 2**20,
            log_to_driver=False,
        )
        serve.start(http_options={"host": "127.0.0.1", "port": settings.port})
        serve.run(make_deployment(settings), route_prefix="/classify")
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
