"""The one internal request that all protocols speak, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from limbeck.serve.refused import RefusedError
from limbeck.spec import Task

if TYPE_CHECKING:
    from limbeck.serve.models import Hosted

# Classes of priority, served in this order; ageing keeps the last from starving.
PRIORITIES: Final = {"high": 0, "normal": 1, "low": 2, "background": 3}

_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Who asks. name: of the key; "" where no keys are configured.

    scopes: what the key may do. models: which models, None for all. tokens_per_s, burst_tokens: its
    share, None for no limit.
    """

    name: str = ""
    scopes: frozenset[str] = frozenset({"predict"})
    models: frozenset[str] | None = None
    tokens_per_s: float | None = None
    burst_tokens: float | None = None

    def may_use(self, model: str) -> bool:
        """Whether the key is for a model of that name."""
        return self.models is None or model in self.models

    def check(self, model: str) -> None:
        """Raises RefusedError (forbidden) where the key is not for a model of that name."""
        if not self.may_use(model):
            raise RefusedError("forbidden", f"this key may not use model {model!r}")


ANYBODY: Final = Tenant()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked.

    inputs: as the pipeline of the model's task takes them one by one: str, {"text", "text_pair"} or
        {"question", "context"}.
    arrived_s: time.monotonic() when the request's head was read; the deadline counts from there.
    model, version: None for the default.
    task: refuse (unprocessable) a model that is made for another; None: any.
    options: of the task's pipeline.
    timeout_s: None for the model's own. priority: a value of PRIORITIES, None for the model's own.
    client: the address that asks, whose share is used up where there are no keys.
    use_cache: whether stored answers will do.
    noted: filled with "model", "version", "rows", "tokens", "cached" and "timing", as far as the
        request gets, for logs and metrics; also where it is refused. With "inputs" too where the
        settings want texts in the log.
    """

    inputs: tuple[Any, ...]
    arrived_s: float
    model: str | None = None
    version: str | None = None
    task: Task | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: _NO_OPTIONS)
    timeout_s: float | None = None
    priority: int | None = None
    tenant: Tenant = ANYBODY
    client: str = ""
    use_cache: bool = True
    noted: dict[str, Any] | None = None


@dataclass(slots=True, kw_only=True)
class Timing:
    """Where the time of a request went, in seconds. total counts from `Request.arrived_s`.

    started: whether the engine has begun with it.
    """

    tokenize_s: float = 0.0
    queue_s: float = 0.0
    inference_s: float = 0.0
    total_s: float = 0.0
    started: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """rows: an answer for each input, as the pipeline gives it for one (text-classification: a
    dictionary, or a list of them with top_k; sentence-embedding: [C] float32).

    hosted: the model that answered, which can be the fallback of the one asked for. tokens: of all
    inputs, as computed or once computed. cached: how many rows came from the cache.
    """

    rows: list[Any]
    hosted: Hosted
    tokens: int
    cached: int
    timing: Timing


def characters_of(value: object) -> int:
    """Characters of an input's texts; what is no text is found out by the pipeline."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(characters_of, value.values()))
    return 0
