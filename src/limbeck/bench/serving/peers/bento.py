"""BentoML: its adaptive batching in front of a model in each of its workers."""

from __future__ import annotations

import os
import sys
from typing import Any

import bentoml

from limbeck.bench.serving.peers.settings import VARIABLE, Settings
from limbeck.bench.serving.peers.texts import OnnxTexts

if VARIABLE in os.environ:
    SETTINGS = Settings.from_environment()
    # BentoML refuses batches of one.
    BATCHING: dict[str, Any] = {}
    if SETTINGS.batch > 1:
        BATCHING = {
            "batchable": True,
            "max_batch_size": SETTINGS.batch,
            "max_latency_ms": int(SETTINGS.wait_ms),
        }

    @bentoml.service(name="texts", workers=SETTINGS.workers, traffic={"timeout": 30})
    class Texts:
        """`wait_ms` is the longest latency that BentoML lets a batch reach, as it counts it."""

        def __init__(self) -> None:
            self.model = OnnxTexts(SETTINGS)

        @bentoml.api(route="/classify", **BATCHING)  # type: ignore[untyped-decorator]
        def classify(self, text: list[str]) -> list[list[float]]:
            return self.model.classify(text)


if __name__ == "__main__":
    assert __spec__ is not None
    settings = Settings.from_arguments()
    command = [sys.executable, "-m", "bentoml", "serve", f"{__spec__.name}:Texts"]
    command += ["--host", "127.0.0.1", "--port", str(settings.port)]
    os.execv(sys.executable, command)
