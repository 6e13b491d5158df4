"""The admin port: what is loaded, loading, letting go, and reading the configuration again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from limbeck.errors import LimbeckError
from limbeck.serve.http.words import plain
from limbeck.serve.json_body import dump
from limbeck.serve.protocols.base import Call, Reply, Route
from limbeck.serve.refused import RefusedError
from limbeck.serve.service import Service

_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"reason": {"type": "string"}, "message": {"type": "string"}},
            "required": ["reason", "message"],
        }
    },
    "required": ["error"],
}
_MODEL = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "state": {"enum": ["unloaded", "loading", "ready", "failed"]},
    },
    "required": ["name", "version", "state"],
}
_MODELS = {
    "type": "object",
    "properties": {"models": {"type": "array", "items": _MODEL}},
    "required": ["models"],
}
_VERSION = {
    "name": "version",
    "in": "query",
    "required": False,
    "description": "Without it, the one that answers where none is named.",
    "schema": {"type": "string"},
}


def routes(service: Service, reload: Callable[[], Awaitable[None]]) -> list[Route]:
    """reload: reads the configuration again and takes over what it says of models."""

    def models() -> Reply:
        return Reply(body=dump({"models": service.index()}))

    async def index(call: Call) -> Reply:
        return models()

    async def load(call: Call) -> Reply:
        await service.load(call.path["name"], call.query.get("version"))
        return models()

    async def unload(call: Call) -> Reply:
        await service.unload(call.path["name"], call.query.get("version"))
        return models()

    async def again(call: Call) -> Reply:
        try:
            await reload()
        except LimbeckError as error:
            raise RefusedError(
                "unprocessable", f"reload failed, all stays as it was: {error}"
            ) from None
        return models()

    return [
        _route("GET", "/admin/models", index, "All versions of all models"),
        _route("POST", "/admin/models/{name}/load", load, "Load, or load anew", version=True),
        _route("POST", "/admin/models/{name}/unload", unload, "Let go of a model", version=True),
        _route("POST", "/admin/reload", again, "Read the configuration and changed models again"),
    ]


def _route(method: Any, path: str, handle: Any, summary: str, *, version: bool = False) -> Route:
    responses: dict[str, Any] = {
        "200": _described("All models as they are now", _MODELS),
        "401": _described("No key", _ERROR),
        "403": _described("The key may not do this", _ERROR),
    }
    if method == "POST":
        responses |= {
            "404": _described("No such model", _ERROR),
            "422": _described("The configuration cannot be used; all stays as it was", _ERROR),
            "503": _described("It cannot be loaded; the old one stays", _ERROR),
        }
    return Route(
        protocol="admin",
        method=method,
        path=path,
        handle=handle,
        error=plain,
        operation={
            "summary": summary,
            "responses": responses,
            **({"parameters": [_VERSION]} if version else {}),
        },
        scope="admin",
    )


def _described(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
