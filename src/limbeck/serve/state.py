"""How the service stands, in the words of its metrics."""

from __future__ import annotations

from limbeck.serve.metrics import CacheState, ModelState, ServiceState
from limbeck.serve.service import Service


def state_of(service: Service) -> ServiceState:
    """Asked at each scrape, in the event loop."""
    waiting = service.dispatcher.look()
    settings = service.settings
    return ServiceState(
        ready=not service.not_ready(),
        draining=service.leaving,
        workers=service.dispatcher.workers,
        busy_s=service.dispatcher.busy_s(),
        queue_tokens=int(waiting["queued_tokens"]),
        queue_requests=int(waiting["queued_jobs"]),
        queue_limit_tokens=settings.queue.max_tokens,
        predicted_wait_s=waiting["wait_s"],
        oldest_wait_s=waiting["oldest_wait_s"],
        cache=_cache(service),
        models=_models(service),
    )


def _cache(service: Service) -> CacheState:
    stats = service.cache.stats
    return CacheState(
        size_bytes=stats.size_bytes,
        limit_bytes=stats.bound_bytes,
        entries=stats.entries,
        # Whoever waited for another's row was spared computing it, too.
        hits=stats.hits + stats.prepared_hits + stats.joined,
        misses=stats.misses,
        evictions=stats.evictions,
    )


def _models(service: Service) -> tuple[ModelState, ...]:
    loaded = {(hosted.name, hosted.version): hosted for hosted in service.models.loaded()}
    found = []
    for entry in service.index():
        name, version = entry["name"], entry["version"]
        hosted = loaded.get((name, version))
        if hosted is None:
            found.append(ModelState(name=name, version=version, loaded=False))
            continue
        settings = hosted.settings
        found.append(
            ModelState(
                name=name,
                version=version,
                loaded=True,
                digest=hosted.digest,
                precision=hosted.precision,
                runtime=settings.runtime,
                size_bytes=hosted.size_bytes,
                in_flight=hosted.in_flight,
                deadline_s=settings.deadline_ms / 1000,
                breaker=hosted.breaker.state if service.settings.breaker.enabled else None,
            )
        )
    return tuple(found)
