"""The Open Inference Protocol in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from limbeck.serve.protocols.operation import (
    ALWAYS,
    NAME,
    OF_A_BODY,
    OF_A_MODEL,
    OF_AN_ANSWER,
    Schema,
    an_object,
    operation,
)
from limbeck.serve.request import PRIORITIES

_TAG = "Open Inference Protocol v2"
_TEXT: Schema = {"type": "string"}
_SIZE: Schema = {"type": "integer", "minimum": 0}
_ERROR = an_object({"error": _TEXT}, required=["error"])
_DATATYPE: Schema = {"type": "string", "enum": ["BYTES", "FP32", "INT64", "BOOL"]}
_DESCRIBED = an_object(
    {
        "name": _TEXT,
        "datatype": _DATATYPE,
        "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
    },
    required=["name", "datatype", "shape"],
)
_SERVER = an_object(
    {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}},
    required=["name", "version", "extensions"],
)
_METADATA = an_object(
    {
        "name": NAME,
        "versions": {"type": "array", "items": NAME},
        "platform": _TEXT,
        "inputs": {"type": "array", "items": _DESCRIBED},
        "outputs": {"type": "array", "items": _DESCRIBED},
    },
    required=["name", "versions", "platform", "inputs", "outputs"],
)
_INPUT: Schema = {
    **an_object(
        {
            "name": {"type": "string", "enum": ["text", "text_pair", "question", "context"]},
            "shape": {
                "type": "array",
                "description": "[B] or [B, 1]",
                "prefixItems": [{"type": "integer", "minimum": 1}, {"const": 1}],
                "items": False,
                "minItems": 1,
            },
            "datatype": {"const": "BYTES"},
            "parameters": an_object({"binary_data_size": _SIZE, "content_type": {"const": "str"}}),
            "data": {
                "type": "array",
                "description": "Flat, or nested as the shape says.",
                "minItems": 1,
                "items": {
                    "anyOf": [
                        _TEXT,
                        {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 1},
                    ]
                },
            },
        },
        required=["name", "shape", "datatype"],
    )
}
_REQUEST = an_object(
    {
        "id": _TEXT,
        "parameters": {
            "type": ["object", "null"],
            "description": "Beside these, options of the model's pipeline.",
            "properties": {
                "priority": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": 1 + max(PRIORITIES.values()),
                    "description": "1 is the highest; 0 the model's own.",
                },
                "timeout": {
                    "type": "number",
                    "minimum": 0,
                    "description": "In microseconds; 0 the model's own.",
                },
                "binary_data_output": {"type": "boolean"},
            },
        },
        "inputs": {"type": "array", "items": _INPUT, "minItems": 1},
        "outputs": {
            "type": "array",
            "items": an_object(
                {"name": _TEXT, "parameters": an_object({"binary_data": {"type": "boolean"}})},
                required=["name"],
            ),
        },
    },
    required=["inputs"],
)
_OUTPUT = an_object(
    {
        "name": _TEXT,
        "datatype": _DATATYPE,
        "shape": {"type": "array", "items": _SIZE},
        "data": {"type": "array", "items": {"type": ["number", "string", "boolean"]}},
        "parameters": an_object({"binary_data_size": _SIZE}),
    },
    required=["name", "datatype", "shape"],
)
_ANSWER = an_object(
    {
        "id": _TEXT,
        "model_name": NAME,
        "model_version": NAME,
        "outputs": {"type": "array", "items": _OUTPUT},
    },
    required=["model_name", "model_version", "outputs"],
)
_INDEX: Schema = {
    "type": "array",
    "items": an_object(
        {
            "name": NAME,
            "version": NAME,
            "state": {"type": "string", "enum": ["READY", "LOADING", "UNAVAILABLE"]},
            "reason": _TEXT,
        },
        required=["name", "version", "state", "reason"],
    ),
}
_NOTHING = an_object({})


def _yes(said: str, **more: Schema) -> Schema:
    return an_object({said: {"const": True}, **more}, required=[said, *more])


def _entries() -> dict[tuple[str, str], Schema]:
    """The entry of each method and path."""
    found: dict[tuple[str, str], Schema] = {}

    def add(method: str, path: str, identity: str, summary: str, **more: Any) -> None:
        found[method, path] = operation(
            identity=f"oip_{identity}",
            tag=_TAG,
            summary=summary,
            path=path,
            error=_ERROR,
            **more,
        )

    add("GET", "/v2", "server", "The server and what it speaks", answer=_SERVER, errors=ALWAYS)
    add(
        "GET",
        "/v2/health/live",
        "live",
        "Whether the server runs",
        answer=_yes("live"),
        errors=ALWAYS,
    )
    add(
        "GET",
        "/v2/health/ready",
        "ready",
        "Whether the models that it needs are loaded",
        answer=_yes("ready"),
        errors=ALWAYS,
    )
    for path, suffix in (
        ("/v2/models/{name}", ""),
        ("/v2/models/{name}/versions/{version}", "_version"),
    ):
        add(
            "GET",
            path,
            f"metadata{suffix}",
            "Inputs and outputs of a model",
            answer=_METADATA,
            errors=(*ALWAYS, *OF_A_MODEL),
        )
        add(
            "GET",
            f"{path}/ready",
            f"model_ready{suffix}",
            "Whether a model is loaded",
            answer=_yes("ready", name=NAME),
            errors=(*ALWAYS, *OF_A_MODEL),
        )
        add(
            "POST",
            f"{path}/infer",
            f"infer{suffix}",
            "Texts through a model",
            description="The binary tensor extension is spoken both ways: the header "
            "Inference-Header-Content-Length says where the JSON ends.",
            answer=_ANSWER,
            body=_REQUEST,
            binary=True,
            errors=(*ALWAYS, *OF_A_BODY, *OF_AN_ANSWER),
        )
    add(
        "POST",
        "/v2/repository/index",
        "repository_index",
        "All models and their states",
        answer=_INDEX,
        body=an_object({"ready": {"type": "boolean"}}),
        body_required=False,
        errors=(*ALWAYS, *OF_A_BODY),
    )
    for verb, parameters in (
        ("load", _NOTHING),
        ("unload", an_object({"unload_dependents": {"type": "boolean"}})),
    ):
        add(
            "POST",
            f"/v2/repository/models/{{name}}/{verb}",
            f"repository_{verb}",
            f"{verb.capitalize()} the default version of a model",
            answer=_NOTHING,
            body=an_object({"parameters": parameters}),
            body_required=False,
            errors=(*ALWAYS, *OF_A_BODY, *OF_A_MODEL),
        )
    return found


OPERATIONS = _entries()
