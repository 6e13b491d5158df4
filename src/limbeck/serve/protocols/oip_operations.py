"""The Open Inference Protocol in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from limbeck.serve.protocols import describing as d
from limbeck.serve.refused import Reason
from limbeck.serve.request import PRIORITIES
from limbeck.serve.settings import NAME_PATTERN, LimitSettings

_BYTES = "application/octet-stream"
_NAME: d.Schema = {"type": "string", "pattern": NAME_PATTERN}
_ERROR = d.an_object({"error": d.STRING}, required=["error"])
_EXAMPLE = {400: {"error": "the model has no input 'txt'; did you mean 'text'? known: 'text'"}}
_DATATYPE: d.Schema = {"type": "string", "enum": ["BYTES", "FP32", "INT64", "BOOL"]}
_DESCRIBED = d.an_object(
    {
        "name": d.STRING,
        "datatype": _DATATYPE,
        "shape": d.listed({"type": "integer", "minimum": -1}),
    },
    required=["name", "datatype", "shape"],
)
_SERVER = d.an_object(
    {"name": d.STRING, "version": d.STRING, "extensions": d.listed(d.STRING)},
    required=["name", "version", "extensions"],
)
_METADATA = d.an_object(
    {
        "name": _NAME,
        "versions": d.listed(_NAME),
        "platform": d.STRING,
        "inputs": d.listed(_DESCRIBED),
        "outputs": d.listed(_DESCRIBED),
    },
    required=["name", "versions", "platform", "inputs", "outputs"],
)
_INPUT = d.an_object(
    {
        "name": {"type": "string", "enum": ["text", "text_pair", "question", "context"]},
        "shape": {
            "type": "array",
            "description": "[B] or [B, 1]",
            "prefixItems": [{"type": "integer", "minimum": 1}, {"type": "integer", "const": 1}],
            "minItems": 1,
            "maxItems": 2,
        },
        "datatype": {"type": "string", "const": "BYTES"},
        "parameters": d.an_object(
            {"binary_data_size": d.INTEGER, "content_type": {"type": "string", "const": "str"}}
        ),
        "data": {
            "description": "Flat, or nested as the shape says; none with binary_data_size",
            "minItems": 1,
            "anyOf": [
                d.listed(d.TEXT),
                d.listed({"type": "array", "items": d.TEXT, "minItems": 1, "maxItems": 1}),
            ],
        },
    },
    required=["name", "shape", "datatype"],
)


def _request(limits: LimitSettings) -> d.Schema:
    parameters = d.options_schema()
    parameters["description"] = "Options of the model's task, and of this protocol"
    parameters["properties"] |= {
        "priority": {
            "type": "integer",
            "minimum": 0,
            "maximum": 1 + max(PRIORITIES.values()),
            "description": "1 is the highest; 0: the model's own",
        },
        "timeout": {
            "type": "number",
            "minimum": 0,
            "maximum": limits.max_timeout_ms * 1000,
            "description": "Microseconds, from the head of the request; 0: the model's own",
        },
        "binary_data_output": {
            "type": "boolean",
            "description": "Whether outputs that do not say so themselves go behind the JSON",
        },
    }
    return d.an_object(
        {
            "id": {"type": "string", "description": "Comes back with the answer"},
            "parameters": parameters,
            "inputs": {"type": "array", "items": _INPUT, "minItems": 1},
            "outputs": {
                "description": "All where none is named",
                **d.listed(
                    d.an_object(
                        {
                            "name": d.STRING,
                            "parameters": d.an_object({"binary_data": {"type": "boolean"}}),
                        },
                        required=["name"],
                    )
                ),
            },
        },
        required=["inputs"],
    )


_OUTPUT = d.an_object(
    {
        "name": d.STRING,
        "datatype": _DATATYPE,
        "shape": d.listed(d.INTEGER),
        "data": {
            "description": "Flat, the last axis first",
            **d.listed({"type": ["number", "string", "boolean"]}),
        },
        "parameters": d.an_object({"binary_data_size": d.INTEGER}),
    },
    required=["name", "datatype", "shape"],
)
_ANSWER = d.an_object(
    {
        "id": d.STRING,
        "model_name": {**_NAME, "description": "The one that answered"},
        "model_version": _NAME,
        "outputs": d.listed(_OUTPUT),
    },
    required=["model_name", "model_version", "outputs"],
)
_REQUEST_EXAMPLE = {
    "id": "42",
    "parameters": {"timeout": 250000, "priority": 1},
    "inputs": [
        {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a quiet room", "call me"]}
    ],
    "outputs": [{"name": "scores"}],
}
_ANSWER_EXAMPLE = {
    "id": "42",
    "model_name": "demo",
    "model_version": "1",
    "outputs": [
        {"name": "scores", "datatype": "FP32", "shape": [2, 2], "data": [0.75, 0.25, 0.5, 0.5]}
    ],
}
_INDEX = d.listed(
    d.an_object(
        {
            "name": _NAME,
            "version": _NAME,
            "state": {"type": "string", "enum": ["READY", "LOADING", "UNAVAILABLE"]},
            "reason": d.STRING,
        },
        required=["name", "version", "state", "reason"],
    )
)
_NOTHING = d.an_object({})
_OPEN: tuple[Reason, ...] = ("bad_request", "failed")


def _yes(said: str, **more: d.Schema) -> d.Schema:
    return d.an_object({said: {"type": "boolean", "const": True}, **more}, required=[said, *more])


def operations(limits: LimitSettings) -> dict[tuple[str, str], d.Schema]:
    """The entry of each method and path."""
    found: dict[tuple[str, str], d.Schema] = {}
    request = _request(limits)

    def add(method: str, path: str, identity: str, summary: str, **more: Any) -> None:
        found[method, path] = d.operation(
            protocol="oip",
            identity=f"oip_{identity}",
            summary=summary,
            parameters=[*d.places(path), *more.pop("parameters", ())],
            error=_ERROR,
            errors=_EXAMPLE if identity.startswith("infer") else None,
            **more,
        )

    add("GET", "/v2", "server", "What the server is and speaks", answer=_SERVER, reasons=_OPEN)
    add(
        "GET",
        "/v2/health/live",
        "live",
        "Whether the server runs",
        answer=_yes("live"),
        reasons=_OPEN,
    )
    add(
        "GET",
        "/v2/health/ready",
        "ready",
        "Whether requests are welcome",
        answer=_yes("ready"),
        reasons=(*_OPEN, "unavailable"),
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
            description="Loads the model where that has not happened yet.",
            answer=_METADATA,
            reasons=(*d.READING, "unavailable"),
        )
        add(
            "GET",
            f"{path}/ready",
            f"model_ready{suffix}",
            "Whether a model is loaded",
            answer=_yes("ready", name=_NAME),
            reasons=(*d.READING, "unavailable"),
        )
        add(
            "POST",
            f"{path}/infer",
            f"infer{suffix}",
            "Texts through a model",
            description="The binary tensor extension is spoken both ways: the header "
            "Inference-Header-Content-Length says where the JSON ends.",
            parameters=[d.TIMEOUT],
            request=request,
            requests={"texts": _REQUEST_EXAMPLE},
            answer=_ANSWER,
            answers={"texts": _ANSWER_EXAMPLE},
        )
        # Described for clients; no schema can say what the bytes behind the JSON must be.
        entry = found["POST", f"{path}/infer"]
        binary = {_BYTES: {"schema": {"type": "string", "format": "binary"}}}
        entry["responses"]["200"]["content"] |= binary
    add(
        "POST",
        "/v2/repository/index",
        "repository_index",
        "All models and their states",
        request=d.an_object({"ready": {"type": "boolean"}}),
        answer=_INDEX,
        reasons=d.WRITING,
    )
    for verb, parameters in (
        ("load", _NOTHING),
        ("unload", d.an_object({"unload_dependents": {"type": "boolean"}})),
    ):
        add(
            "POST",
            f"/v2/repository/models/{{name}}/{verb}",
            f"repository_{verb}",
            f"{verb.capitalize()} the default version of a model",
            request=d.an_object({"parameters": parameters | {"type": ["object", "null"]}}),
            answer=_NOTHING,
            reasons=(*d.WRITING, "not_found", "unavailable"),
        )
    for (_, path), entry in found.items():
        if path.startswith("/v2/repository"):
            entry["requestBody"]["required"] = False
    return found
