"""How things stand at the moment of a scrape; whoever knows it fills it in when asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Breaker = Literal["closed", "half_open", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    """Of the cache of answers. hits, misses, evictions: in rows, since the start."""

    size_bytes: int
    limit_bytes: int
    entries: int
    hits: int
    misses: int
    evictions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """Of one version of one model, the loading that answers now; one entry each.

    loaded: false for one that is loaded at its first request, or let go. breaker: None where it has
    none. deadline_s: where a request names none.
    """

    name: str
    version: str
    loaded: bool
    digest: str = ""
    precision: str = ""
    runtime: str = ""
    size_bytes: int = 0
    in_flight: int = 0
    deadline_s: float | None = None
    breaker: Breaker | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """queue_tokens, queue_requests: waiting. busy_s: what all workers together have spent computing
    since the start, with the batches that are on their way. predicted_wait_s: of what came now and
    went to the end of the queue. oldest_wait_s: of what has waited longest.
    """

    ready: bool
    draining: bool = False
    workers: int = 1
    busy_s: float = 0.0
    queue_tokens: int = 0
    queue_requests: int = 0
    queue_limit_tokens: int = 0
    predicted_wait_s: float = 0.0
    oldest_wait_s: float = 0.0
    cache: CacheState | None = None
    models: tuple[ModelState, ...] = ()
