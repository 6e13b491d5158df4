"""FastAPI and ONNX Runtime, one text a request."""

from __future__ import annotations

from typing import Any

from limbeck.bench.serving.peers import threadpool
from limbeck.bench.serving.peers.settings import Settings
from limbeck.bench.serving.peers.texts import OnnxTexts


def make_app() -> Any:
    """What uvicorn calls in each worker."""
    settings = Settings.from_environment()
    model = OnnxTexts(settings)
    return threadpool.make_app(settings, lambda text: model.classify([text])[0])


if __name__ == "__main__":
    assert __spec__ is not None
    threadpool.serve(Settings.from_arguments(), __spec__.name)
