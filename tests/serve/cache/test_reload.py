"""Prepared answers when a server reloads: read anew, and left out where they are of no model."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import limbeck
from limbeck.errors import ArtifactError
from limbeck.serve.cache import Keys
from limbeck.serve.cache.writing import writing
from limbeck.serve.service import Service
from limbeck.serve.settings import Settings
from served import asking

TEXTS = ["the boat is old", "the cat is small"]


def write(path: Path, model: Path, texts: list[str]) -> None:
    pipe = limbeck.pipeline("sentence-embedding", str(model))
    keys = Keys(pipe)
    key_of = keys.under()
    vectors = pipe(texts)
    with writing(path, keys, vectors.shape[1]) as file:
        file.add([key_of(text) for text in texts], list(vectors), [5] * len(texts))


@pytest.fixture
def models(zoo: Any) -> tuple[Path, Path]:
    return zoo("bert", "feature-extraction"), zoo("distilbert", "feature-extraction")


def settings_of(model: Path, path: Path) -> Settings:
    return Settings.model_validate(
        {
            "models": [{"name": "m", "path": str(model), "task": "sentence-embedding"}],
            "cache": {"preload": [str(path)], "size_bytes": 0},
            "server": {"threads": 1},
        }
    )


async def prepared_hits(service: Service) -> int:
    before = service.cache.stats.prepared_hits
    for text in TEXTS:
        answer = await service.answer(asking(text))
        assert np.isfinite(answer.rows[0]).all()
    return service.cache.stats.prepared_hits - before


def test_a_reload_reads_the_file_anew(
    models: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, other = models
    path = tmp_path / "prepared.vectors"
    write(path, model, TEXTS[:1])

    async def body() -> None:
        service = Service(settings_of(model, path))
        try:
            await service.start()
            assert await prepared_hits(service) == 1
            write(path, model, TEXTS)
            await service.reload()
            assert await prepared_hits(service) == 2
            (tmp_path / "damaged").write_bytes(b"damaged")
            (tmp_path / "damaged").replace(path)
            with pytest.raises(ArtifactError):
                await service.reload()
            assert await prepared_hits(service) == 2
            path.unlink()
            write(path, model, TEXTS)
            with caplog.at_level(logging.WARNING):
                await service.reload(settings_of(other, path))
            assert "is of no use here" in caplog.text
            assert await prepared_hits(service) == 0
        finally:
            await service.close()

    asyncio.run(body())
