"""FastAPI around a pipeline of transformers in fp32, one text a request: what people write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limbeck.bench.serving.peers import threadpool
from limbeck.bench.serving.peers.settings import Settings


def make_app() -> Any:
    """What uvicorn calls in each worker."""
    import torch
    import transformers

    settings = Settings.from_environment()
    torch.set_num_threads(settings.threads)
    pipeline: Any = transformers.pipeline(
        "text-classification", model=str(Path(settings.model)), device="cpu", top_k=None
    )
    order: dict[str, int] = pipeline.model.config.label2id

    def probabilities(text: str) -> list[float]:
        with torch.inference_mode():
            (found,) = pipeline([text], truncation=True, max_length=settings.max_tokens)
        return [each["score"] for each in sorted(found, key=lambda each: order[each["label"]])]

    return threadpool.make_app(settings, probabilities)


if __name__ == "__main__":
    assert __spec__ is not None
    threadpool.serve(Settings.from_arguments(), __spec__.name)
