"""One loaded version of one model."""

from __future__ import annotations

from typing import Any

from limbeck.pipeline import Pipeline
from limbeck.runtimes import Output
from limbeck.serve.breaker import Breaker
from limbeck.serve.cache import Keys
from limbeck.serve.scheduler import CostModel
from limbeck.serve.settings import ModelSettings
from limbeck.spec import ModelSpec


class Hosted:
    """A model that answers. What is loaded anew becomes another `Hosted`; this one lives as long as
    requests are on their way through it.

    generation: tells loadings of the same name and version apart. output: what its task asks of the
    model. precision: that it computes in. cost: what batches take; alone: with the threads of all
    instances, None where there is one. keys: of rows in the cache.
    in_flight: requests on their way. used_s: when it was asked last.
    """

    def __init__(
        self,
        pipeline: Pipeline[Any],
        settings: ModelSettings,
        *,
        generation: int,
        size_bytes: int,
        cost: CostModel,
        alone: CostModel | None = None,
        breaker: Breaker,
        output: Output,
        precision: str,
    ) -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.generation = generation
        self.size_bytes = size_bytes
        self.cost = cost
        self.alone = alone
        self.breaker = breaker
        self.output = output
        self.precision = precision
        self.digest: str = pipeline.model.digest
        self.keys = Keys(pipeline, runtime=settings.runtime, device=settings.device)
        self.in_flight = 0
        self.used_s = 0.0

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def version(self) -> str:
        return self.settings.version

    @property
    def spec(self) -> ModelSpec:
        return self.pipeline.model.spec
