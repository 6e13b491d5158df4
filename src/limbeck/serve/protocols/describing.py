"""OpenAPI 3.1 operations, complete and in place: fields, answers, refusals, examples."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, Union, get_args, get_origin

from limbeck.pipeline import PIPELINES
from limbeck.serve.refused import STATUS, Reason
from limbeck.serve.request import PRIORITIES
from limbeck.serve.settings import NAME_PATTERN, LimitSettings

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer", "minimum": 0}
SCORE: Schema = {"type": "number", "description": "float32"}
TEXT: Schema = {"type": "string"}
PAIR: Schema = {
    "type": "object",
    "properties": {"text": STRING, "text_pair": STRING},
    "required": ["text"],
    "additionalProperties": False,
}
QUESTION: Schema = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "minLength": 1},
        "context": {"type": "string", "minLength": 1},
    },
    "required": ["question", "context"],
    "additionalProperties": False,
}
LABEL_SCORE: Schema = {
    "type": "object",
    "properties": {
        "label": STRING,
        "score": SCORE,
        "decision": {"type": "boolean", "description": "with parameters.decide"},
        "start": {**INTEGER, "description": "with parameters.return_window"},
        "end": INTEGER,
    },
    "required": ["label", "score"],
    "additionalProperties": False,
}
ENTITY: Schema = {
    "type": "object",
    "properties": {
        "entity_group": STRING,
        "entity": {**STRING, "description": "instead of entity_group, without aggregation"},
        "score": SCORE,
        "index": INTEGER,
        "word": {"type": ["string", "null"]},
        "start": {"type": ["integer", "null"]},
        "end": {"type": ["integer", "null"]},
    },
    "required": ["score", "word", "start", "end"],
}
SPAN: Schema = {
    "type": "object",
    "properties": {
        "score": NUMBER,
        "start": INTEGER,
        "end": INTEGER,
        "answer": STRING,
    },
    "required": ["score", "start", "end", "answer"],
    "additionalProperties": False,
}
VECTOR: Schema = {"type": "array", "items": SCORE}

# Ways in which every operation that computes can refuse.
PREDICTING: tuple[Reason, ...] = (
    "bad_request",
    "unauthorized",
    "forbidden",
    "not_found",
    "slow_client",
    "too_large",
    "unsupported_media",
    "unprocessable",
    "rate_limited",
    "failed",
    "unavailable",
    "deadline",
)
READING: tuple[Reason, ...] = ("bad_request", "unauthorized", "forbidden", "not_found", "failed")

# Of operations that take a body and none of a model's answers.
WRITING: tuple[Reason, ...] = (
    "bad_request",
    "unauthorized",
    "forbidden",
    "failed",
    "slow_client",
    "too_large",
    "unsupported_media",
)

_MEANING = {
    400: "What was sent cannot be understood",
    401: "No key, or none that is known",
    403: "The key may not do this",
    404: "No such model or version",
    408: "The body did not come in time",
    409: "The same transaction id with other content",
    413: "Beyond a limit of the server",
    415: "The body is not declared to be JSON",
    422: "Understood, but the model or its task cannot do it",
    429: "Would not be answered in time, or a share is used up; Retry-After: when to try again",
    500: "The server's or the model's fault",
    503: "Not ready, draining, or the model cannot be had now; Retry-After: when to try again",
    504: "Accepted, but not answered before the deadline",
}
_RETRY = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}, "description": "seconds"}}


def listed(items: Schema) -> Schema:
    """An array of it."""
    return {"type": "array", "items": items}


def places(path: str) -> list[Schema]:
    """The parameters whose names stand in braces in a path."""
    return [place for place in (MODEL, VERSION) if f"{{{place['name']}}}" in path]


def an_object(
    properties: Mapping[str, Schema], *, required: Sequence[str] = (), **more: Any
) -> Schema:
    """An object without other fields."""
    schema: Schema = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    if required:
        schema["required"] = list(required)
    return schema | more


def timeout_ms(limits: LimitSettings) -> Schema:
    return {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": limits.max_timeout_ms,
        "description": "How long the client waits, from the head of the request; the header "
        "X-Request-Timeout-Ms says the same, and this field wins. 0 has passed on arrival (504).",
    }


PRIORITY: Schema = {
    "description": "Class of priority, by name or number",
    "anyOf": [
        {"type": "string", "enum": list(PRIORITIES)},
        {"type": "integer", "minimum": 0, "maximum": max(PRIORITIES.values())},
    ],
}


def options_schema() -> Schema:
    """All options of all tasks; which of them fit is the model's task to say (422)."""
    found: dict[str, list[Schema]] = {}
    for kind in (pipeline.options_type for pipeline in PIPELINES.values()):
        hints = typing.get_type_hints(kind)
        for one in fields(kind):
            schemas = found.setdefault(one.name, [])
            schemas += [s for s in _alternatives(hints[one.name]) if s not in schemas]
    properties = {
        name: schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        for name, schemas in sorted(found.items())
    }
    return an_object(
        properties, description="Options of the model's task, as limbeck.pipeline takes them"
    )


_PLAIN: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    type(None): {"type": "null"},
}


def _alternatives(hint: Any) -> list[Schema]:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return [schema for part in get_args(hint) for schema in _alternatives(part)]
    if origin is Literal:
        return [{"type": "string", "enum": list(get_args(hint))}]
    if hint in _PLAIN:
        return [_PLAIN[hint]]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return [{"type": "object"}]
    [items] = get_args(hint)
    return [listed(_PLAIN[items])]


def in_path(name: str, description: str, schema: Schema | None = None) -> dict[str, Any]:
    """A placeholder of the path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema or {"type": "string", "pattern": NAME_PATTERN},
    }


MODEL = in_path("name", "Name of a model")
VERSION = in_path("version", "Version of the model; without it, the default one")
TIMEOUT = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "description": "How long the client waits, in milliseconds from the head of the request",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}


def operation(
    *,
    protocol: str,
    identity: str,
    summary: str,
    description: str = "",
    parameters: Sequence[Mapping[str, Any]] = (),
    request: Schema | None = None,
    requests: Mapping[str, Any] | None = None,
    answer: Schema,
    answers: Mapping[str, Any] | None = None,
    error: Schema,
    errors: Mapping[int, Any] | None = None,
    reasons: Sequence[Reason] = PREDICTING,
) -> dict[str, Any]:
    """One operation.

    Args:
        identity: its operationId, unique in the document.
        requests, answers: examples by name. errors: an example of a refusal by status.
        reasons: why it may refuse.
    """

    def body(schema: Schema, examples: Mapping[str, Any] | None) -> dict[str, Any]:
        content: dict[str, Any] = {"schema": schema}
        if examples:
            content["examples"] = {name: {"value": value} for name, value in examples.items()}
        return {"application/json": content}

    responses: dict[str, Any] = {
        "200": {"description": "Answered", "content": body(answer, answers)}
    }
    for status in sorted({STATUS[reason] for reason in reasons}):
        example = (errors or {}).get(status)
        response = {
            "description": _MEANING[status],
            "content": body(error, None if example is None else {"refused": example}),
        }
        if status in (429, 503):
            response["headers"] = _RETRY
        responses[str(status)] = response
    described: dict[str, Any] = {
        "tags": [protocol],
        "operationId": identity,
        "summary": summary,
        "responses": responses,
    }
    if description:
        described["description"] = description
    if parameters:
        described["parameters"] = [dict(one) for one in parameters]
    if request is not None:
        described["requestBody"] = {"required": True, "content": body(request, requests)}
    return described
