"""The OpenAPI document, put together from what every route says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from limbeck import __version__
from limbeck.serve.protocols.base import Route

VERSION: Final = "3.1.0"
_PLACE = re.compile(r"\{([a-z_]+)\}")
_SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"header": []}]

_ABOUT = """\
Every answer has the header `X-Request-Id`; answers of a model tell where their time went in
`Server-Timing` and `X-Limbeck-*-Ms`. Refusals with 429 and 503 say in `Retry-After` when to come
back, where that helps. A deadline can be given to every protocol with the header
`X-Request-Timeout-Ms`.
"""


def document(routes: Iterable[Route], *, keys: bool, url: str = "/") -> dict[str, Any]:
    """The document of some routes. keys: whether API keys are asked for.

    A route's operation may bring schemas along under "x-components"; they come together in
    components.schemas, and the same name must not stand for two things.
    """
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for route in routes:
        operation = dict(route.operation)
        for name, schema in dict(operation.pop("x-components", {})).items():
            if schemas.setdefault(name, schema) != schema:
                raise AssertionError(f"two routes have different schemas {name!r}")
        operation.setdefault("operationId", _identifier(route))
        operation.setdefault("tags", [route.protocol])
        operation.setdefault("responses", {"200": {"description": "Done"}})
        _name_places(operation, route.path)
        if keys and route.scope != "open":
            operation["security"] = _SECURITY
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    components: dict[str, Any] = {"schemas": schemas}
    if keys:
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    return {
        "openapi": VERSION,
        "info": {"title": "limbeck", "version": __version__, "description": _ABOUT},
        "servers": [{"url": url}],
        "paths": paths,
        "components": components,
    }


def _identifier(route: Route) -> str:
    words = re.findall(r"[A-Za-z0-9]+", route.path)
    return "_".join([route.protocol, route.method.lower(), *words])


def _name_places(operation: dict[str, Any], path: str) -> None:
    """Placeholders that the operation does not describe are texts."""
    given = [dict(one) for one in operation.get("parameters", ())]
    known = {one.get("name") for one in given if one.get("in") == "path"}
    given += [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PLACE.findall(path)
        if name not in known
    ]
    if given:
        operation["parameters"] = given
