"""Entries of the OpenAPI document: what all operations have in common, said once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.serve.settings import NAME_PATTERN

Schema = Mapping[str, Any]
JSON = "application/json"
BYTES = "application/octet-stream"

NAME: Schema = {"type": "string", "pattern": NAME_PATTERN}

_ERRORS = {
    400: "What was sent cannot be understood, or makes no sense.",
    401: "No key, or none that is known.",
    403: "The key may not do this.",
    404: "No such model or version.",
    408: "The body did not come in time.",
    413: "More bytes, rows, characters or tokens than a request may have.",
    415: "A content type that is not taken here.",
    422: "Understood, but the model or its task cannot do it.",
    429: "The client's share is used up, or it would not be answered in time.",
    500: "The server or the model failed.",
    503: "Not ready, or out of service for now.",
    504: "Accepted, but not answered in time.",
}
ALWAYS = (400, 401, 403, 429, 500, 503)
OF_A_BODY = (408, 413, 415)
OF_A_MODEL = (404,)
OF_AN_ANSWER = (404, 422, 504)


def an_object(
    properties: Mapping[str, Schema], *, required: Sequence[str] = (), more: bool = False
) -> Schema:
    """The schema of an object; more: whether it may have other fields."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": more,
    }
    if required:
        schema["required"] = list(required)
    return schema


def in_path(path: str) -> list[Schema]:
    """The parameters for the placeholders of a path."""
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": NAME} for name in names]


def operation(
    *,
    identity: str,
    tag: str,
    summary: str,
    path: str,
    answer: Schema,
    error: Schema,
    errors: Sequence[int],
    body: Schema | None = None,
    body_required: bool = True,
    description: str = "",
    binary: bool = False,
) -> Schema:
    """The entry of one operation.

    Args:
        identity: its operationId. answer, error, body: schemas of JSON. errors: statuses beside
            200. binary: bytes may stand in place of JSON, in the request and in the answer.
    """
    found: dict[str, Any] = {
        "operationId": identity,
        "tags": [tag],
        "summary": summary,
        "responses": {
            "200": {"description": "The answer.", "content": _content(answer, binary)},
            **{
                str(status): {
                    "description": _ERRORS[status],
                    "content": {JSON: {"schema": error}},
                }
                for status in sorted(set(errors))
            },
        },
    }
    if description:
        found["description"] = description
    parameters = in_path(path)
    if parameters:
        found["parameters"] = parameters
    if body is not None:
        found["requestBody"] = {"required": body_required, "content": _content(body, binary)}
    return found


def _content(schema: Schema, binary: bool) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": schema}}
    if binary:
        content[BYTES] = {"schema": {"type": "string", "format": "binary"}}
    return content
