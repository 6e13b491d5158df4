"""What whoever runs the server asks of it and tells it, on a port of its own.

Models come and go by name; files are looked at anew; the scheduler says what it holds. Beside these
stands the repository of the Open Inference Protocol, on the same port.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from limbeck.errors import InputError
from limbeck.serve import json_body
from limbeck.serve.models.loader import explain
from limbeck.serve.protocols import describing as d
from limbeck.serve.protocols import fields
from limbeck.serve.protocols.base import Call, Context, Reply, Route
from limbeck.serve.protocols.refusing import CODED_ERROR, coded
from limbeck.serve.refused import Reason, RefusedError

PROTOCOL: Final = "admin"
_log = logging.getLogger("limbeck.serve.admin")
_Handle = Callable[[Call], Awaitable[Reply]]


def routes(context: Context) -> list[Route]:
    """For the admin's port."""
    protocol = _Protocol(context)
    named = ("/admin/models/{name}", "/admin/models/{name}/versions/{version}")
    table: list[tuple[str, str, _Handle]] = [
        ("GET", "/admin/models", protocol.models),
        *(("POST", f"{path}/load", protocol.load) for path in named),
        *(("POST", f"{path}/unload", protocol.unload) for path in named),
        ("POST", "/admin/reload", protocol.reload),
        ("GET", "/admin/scheduler", protocol.scheduler),
        ("POST", "/admin/cache/clear", protocol.clear),
    ]
    operations = _operations()
    return [
        Route(
            protocol=PROTOCOL,
            method="GET" if method == "GET" else "POST",
            path=path,
            handle=handle,
            error=coded,
            operation=operations[method, path],
            scope="admin",
        )
        for method, path, handle in table
    ]


class _Protocol:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._service = context.service
        self._reload = context.reload or context.service.reload

    async def models(self, call: Call) -> Reply:
        return _reply({"models": self._service.index()})

    async def load(self, call: Call) -> Reply:
        self._no_body(call)
        hosted = await self._service.load(*_place(call))
        return _reply(self._model(hosted.name, hosted.version))

    async def unload(self, call: Call) -> Reply:
        self._no_body(call)
        name, version = self._service.models.slot(*_place(call))
        await self._service.unload(name, version)
        return _reply(self._model(name, version))

    async def reload(self, call: Call) -> Reply:
        self._no_body(call)
        try:
            await self._reload()
        except Exception as error:
            _log.warning("reload failed, all stays as it was", exc_info=error)
            raise RefusedError(
                # What is wrong with the configuration will be wrong the next time too.
                "unprocessable" if isinstance(error, InputError) else "unavailable",
                f"nothing was reloaded, all stays as it was: {explain(error)}",
            ) from None
        return _reply({"models": self._service.index()})

    async def scheduler(self, call: Call) -> Reply:
        costs = []
        for hosted in self._service.models.loaded():
            base, token, squared = hosted.cost.coefficients
            costs.append(
                {
                    "name": hosted.name,
                    "version": hosted.version,
                    "in_flight": hosted.in_flight,
                    "c0_s": base,
                    "c1_s": token,
                    "c2_s": squared,
                    "factor": hosted.cost.factor,
                    "batches": hosted.cost.batches,
                }
            )
        return _reply(
            {
                "draining": self._service.draining,
                "queue": self._service.dispatcher.look(),
                "costs": costs,
            }
        )

    async def clear(self, call: Call) -> Reply:
        self._no_body(call)
        cache = self._service.cache
        before = cache.stats
        cache.shrink(0)
        cache.restore()
        return _reply(
            {"entries": before.entries, "size_bytes": before.size_bytes}
            | {"cache": dataclasses.asdict(cache.stats)}
        )

    def _model(self, name: str, version: str) -> dict[str, Any]:
        [found] = [
            one
            for one in self._service.index()
            if one["name"] == name and one["version"] == version
        ]
        return found

    def _no_body(self, call: Call) -> None:
        """Raises RefusedError (bad_request) for a body that says anything: it would be ignored."""
        if call.body:
            depth = self._context.settings.limits.json_depth
            fields.an_object(json_body.parse(call.body, depth=depth), "the body", known=())


def _place(call: Call) -> tuple[str, str | None]:
    name = fields.a_name(call.path["name"], "model")
    version = call.path.get("version")
    return name, None if version is None else fields.a_name(version, "version")


def _reply(value: Any) -> Reply:
    return Reply(body=json_body.dump(value))


_OPTIONAL_COUNT: d.Schema = {"type": ["integer", "null"], "minimum": 0}
_MODEL = d.an_object(
    {
        "name": d.STRING,
        "version": d.STRING,
        "default": {"type": "boolean"},
        "state": {"type": "string", "enum": ["unloaded", "loading", "ready", "failed"]},
        "reason": {**d.STRING, "description": "Why it failed to load"},
        "path": d.STRING,
        "digest": {"type": ["string", "null"]},
        "size_bytes": _OPTIONAL_COUNT,
        "in_flight": {**d.INTEGER, "description": "Requests on their way through it"},
        "generation": {**_OPTIONAL_COUNT, "description": "Tells its loadings apart"},
    },
    required=["name", "version", "default", "state", "reason", "in_flight"],
    # What a server counts beside these may grow.
    additionalProperties=True,
)
_MODELS = d.an_object({"models": d.listed(_MODEL)}, required=["models"])
_COST = d.an_object(
    {
        "name": d.STRING,
        "version": d.STRING,
        "in_flight": d.INTEGER,
        "c0_s": {"type": "number", "description": "Seconds of a batch"},
        "c1_s": {"type": "number", "description": "Seconds of a token"},
        "c2_s": {"type": "number", "description": "Seconds of a token's squared length"},
        "factor": {"type": "number", "description": "From the mean to the high quantile"},
        "batches": d.INTEGER,
    },
    required=["name", "version", "in_flight", "c0_s", "c1_s", "c2_s", "factor", "batches"],
)
_SCHEDULER = d.an_object(
    {
        "draining": {"type": "boolean"},
        "queue": {"type": "object", "additionalProperties": {"type": "number"}},
        "costs": d.listed(_COST),
    },
    required=["draining", "queue", "costs"],
)
_CLEARED = d.an_object(
    {
        "entries": {**d.INTEGER, "description": "Answers that were let go"},
        "size_bytes": d.INTEGER,
        "cache": {"type": "object"},
    },
    required=["entries", "size_bytes", "cache"],
)
_READING: tuple[Reason, ...] = ("bad_request", "unauthorized", "forbidden", "failed")


def _operations() -> dict[tuple[str, str], dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}

    def add(
        method: str,
        path: str,
        identity: str,
        summary: str,
        answer: d.Schema,
        *more: Reason,
        description: str = "",
    ) -> None:
        found[method, path] = d.operation(
            protocol=PROTOCOL,
            identity=f"admin_{identity}",
            summary=summary,
            description=description,
            parameters=d.places(path),
            answer=answer,
            error=CODED_ERROR,
            reasons=(*(_READING if method == "GET" else d.WRITING), *more),
        )

    add("GET", "/admin/models", "models", "Every version of every model", _MODELS)
    for path, suffix in (
        ("/admin/models/{name}", ""),
        ("/admin/models/{name}/versions/{version}", "_version"),
    ):
        add(
            "POST",
            f"{path}/load",
            f"load{suffix}",
            "Load a model, or load it anew",
            _MODEL,
            "not_found",
            "unavailable",
            description="What is loaded answers until the new one is warm; it stays where the new "
            "one cannot be loaded.",
        )
        add(
            "POST",
            f"{path}/unload",
            f"unload{suffix}",
            "Let go of a model",
            _MODEL,
            "not_found",
            description="Requests on their way are still answered by it. The next request for it "
            "loads it again.",
        )
    add(
        "POST",
        "/admin/reload",
        "reload",
        "Read the configuration of models and their files again",
        _MODELS,
        "unprocessable",
        "unavailable",
        description="All or nothing, as with SIGHUP: where one cannot be loaded, all stay.",
    )
    add("GET", "/admin/scheduler", "scheduler", "What waits, and what batches cost", _SCHEDULER)
    add("POST", "/admin/cache/clear", "cache_clear", "Forget stored answers", _CLEARED)
    return found
