"""One loaded version of one model."""

from __future__ import annotations

from typing import Any

from limbeck.pipeline import Pipeline
from limbeck.serve.settings import ModelSettings
from limbeck.spec import ModelSpec


class Hosted:
    """A model that answers. What is loaded anew becomes another `Hosted`; this one lives as long as
    requests are on their way through it.

    generation: tells loadings of the same name and version apart.
    """

    def __init__(
        self, pipeline: Pipeline[Any], settings: ModelSettings, *, generation: int, size_bytes: int
    ) -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.generation = generation
        self.size_bytes = size_bytes
        self.digest: str = pipeline.model.digest
        self.in_flight = 0

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def version(self) -> str:
        return self.settings.version

    @property
    def spec(self) -> ModelSpec:
        return self.pipeline.model.spec
