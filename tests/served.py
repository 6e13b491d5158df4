"""A service on models of the tests' own making, for the length of a block."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from limbeck.runtimes import Model
from limbeck.serve.request import Request
from limbeck.serve.service import Service
from limbeck.serve.settings import ModelSettings, Settings


def settings_of(*names: str, **sections: Any) -> Settings:
    """Settings with models of these names, "name" or "name/version"."""
    models = []
    for name in names:
        name, _, version = name.partition("/")
        models.append(
            {"name": name, "version": version or "1", "path": name, "deadline_ms": 20_000}
        )
    return Settings.model_validate({"models": models, **sections})


def _on_any_machine(settings: Settings) -> Settings:
    """One worker unless they say how many, not one for each thread that there happens to be."""
    server = settings.server.model_copy(update={"instances": settings.server.instances or 1})
    return settings.model_copy(update={"server": server})


@asynccontextmanager
async def serving(
    models: Mapping[str, Callable[[], Model]], settings: Settings | None = None, **sections: Any
) -> AsyncIterator[Service]:
    """A started service. models: by the path in the settings, which is by default the name."""

    def load(model: ModelSettings) -> Model:
        return models[model.path]()

    asked = _on_any_machine(settings or settings_of(*models, **sections))
    service = Service(asked, loading=load)
    try:
        await service.start()
        yield service
    finally:
        await service.close()


def asking(*inputs: Any, **fields: Any) -> Request:
    return Request(inputs=inputs, arrived_s=time.monotonic(), **fields)
