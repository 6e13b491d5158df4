"""limbeck's own protocol: any task by the model's name, answers as `limbeck.pipeline` gives them.

POST /v1/models/{name}[/versions/{version}]/predict, POST /v1/predict for the default model, and
GET /v1/models[/{name}[/versions/{version}]], which OpenAI's clients read too.
"""

from __future__ import annotations

import time
from typing import Any, Final

from limbeck.serve import json_body
from limbeck.serve.protocols import describing as d
from limbeck.serve.protocols import fields, inputs
from limbeck.serve.protocols.asking import ask
from limbeck.serve.protocols.asking import hosted as hosted_by
from limbeck.serve.protocols.base import Call, Context, Reply, Route
from limbeck.serve.protocols.refusing import CODED_ERROR, coded

PROTOCOL: Final = "own"
_FIELDS = ("inputs", "parameters", "timeout_ms", "priority")


def routes(context: Context) -> list[Route]:
    """The operations of this protocol."""
    own = _Own(context)
    predict = _predict_operation(context)

    def route(method: Any, path: str, handle: Any, operation: dict[str, Any]) -> Route:
        return Route(
            protocol=PROTOCOL,
            method=method,
            path=path,
            handle=handle,
            error=coded,
            operation=operation,
        )

    one, versioned = "/v1/models/{name}", "/v1/models/{name}/versions/{version}"
    return [
        route("POST", "/v1/predict", own.predict, predict("predictDefault", [])),
        route("POST", f"{one}/predict", own.predict, predict("predict", [d.MODEL])),
        route(
            "POST",
            f"{versioned}/predict",
            own.predict,
            predict("predictVersion", [d.MODEL, d.VERSION]),
        ),
        route("GET", "/v1/models", own.models, _models_operation()),
        route("GET", one, own.model, _model_operation("model", [d.MODEL])),
        route("GET", versioned, own.model, _model_operation("modelVersion", [d.MODEL, d.VERSION])),
    ]


class _Own:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._limits = context.settings.limits
        # OpenAI's clients want to know when there was a model: since the server offers it.
        self._created = int(time.time())

    async def predict(self, call: Call) -> Reply:
        body = fields.an_object(
            json_body.parse(call.body, depth=self._limits.json_depth),
            "the body",
            known=_FIELDS,
            required=("inputs",),
        )
        name, version = _named(call)
        rows, single = inputs.rows(body["inputs"])
        options = fields.parameters(body.get("parameters"))
        timeout_s = fields.timeout_s(call, body.get("timeout_ms"), limits=self._limits)
        priority = fields.priority(body.get("priority"))
        if not rows:
            return await self._nothing(call, name, version)
        answer = await ask(
            self._context,
            call,
            rows,
            model=name,
            version=version,
            options=options,
            timeout_s=timeout_s,
            priority=priority,
        )
        return _reply(
            {
                "model": answer.hosted.name,
                "version": answer.hosted.version,
                "outputs": answer.rows[0] if single else answer.rows,
                "usage": {"tokens": answer.tokens},
            }
        )

    async def _nothing(self, call: Call, name: str | None, version: str | None) -> Reply:
        """The answer to an empty list: an empty list, of a model that there is."""
        hosted = await hosted_by(self._context, call, name, version)
        return _reply(
            {
                "model": hosted.name,
                "version": hosted.version,
                "outputs": [],
                "usage": {"tokens": 0},
            }
        )

    async def models(self, call: Call) -> Reply:
        index = self._context.service.index()
        names = [
            name
            for name in dict.fromkeys(one["name"] for one in index)
            if call.tenant.may_use(name)
        ]
        default = self._context.service.models.default_model
        return _reply(
            {
                "object": "list",
                "data": [
                    _listed(name, index) | {"created": self._created, "default": name == default}
                    for name in names
                ],
            }
        )

    async def model(self, call: Call) -> Reply:
        name, version = _named(call)
        hosted = await hosted_by(self._context, call, name, version)
        spec = hosted.spec
        threshold = spec.task.threshold
        return _reply(
            {
                **_listed(hosted.name, self._context.service.index()),
                "created": self._created,
                "version": hosted.version,
                "task": hosted.pipeline.task,
                "labels": list(spec.task.labels),
                "threshold": None
                if threshold is None
                else {"label": threshold.label, "value": threshold.value},
                "max_tokens": min(spec.task.max_tokens, spec.encoder.max_tokens),
                "precision": spec.quant.precision,
                "architecture": spec.encoder.architecture,
                "digest": hosted.digest,
            }
        )


def _reply(value: Any) -> Reply:
    return Reply(body=json_body.dump(value))


def _named(call: Call) -> tuple[str | None, str | None]:
    name, version = call.path.get("name"), call.path.get("version")
    return (
        None if name is None else fields.a_name(name, "model"),
        None if version is None else fields.a_name(version, "version"),
    )


def _listed(name: str, index: list[dict[str, Any]]) -> dict[str, Any]:
    versions = [one for one in index if one["name"] == name]
    return {
        "id": name,
        "object": "model",
        "owned_by": "limbeck",
        "versions": [one["version"] for one in versions],
        "default_version": next((one["version"] for one in versions if one["default"]), None),
    }


def _predict_operation(context: Context) -> Any:
    row = {"anyOf": [d.TEXT, d.PAIR, d.QUESTION]}
    request = d.an_object(
        {
            "inputs": {
                "description": "One input or a list of them: texts, pairs of texts, or questions "
                "with contexts, as the model's task takes them",
                "anyOf": [d.TEXT, d.PAIR, d.QUESTION, d.listed(row)],
            },
            "parameters": {
                "anyOf": [
                    d.options_schema(),
                    {"type": "null"},
                ]
            },
            "timeout_ms": {"anyOf": [d.timeout_ms(context.settings.limits), {"type": "null"}]},
            "priority": {"anyOf": [d.PRIORITY, {"type": "null"}]},
        },
        required=["inputs"],
    )
    output = {
        "anyOf": [
            d.LABEL_SCORE,
            d.listed(d.LABEL_SCORE),
            d.listed(d.ENTITY),
            d.SPAN,
            d.listed(d.SPAN),
            d.VECTOR,
            d.listed(d.listed(d.VECTOR)),
        ]
    }
    answer = d.an_object(
        {
            "model": {"type": "string", "description": "The one that answered"},
            "version": d.STRING,
            "outputs": {
                "description": "An answer for each input in its order; where inputs was no list, "
                "the one answer",
                "anyOf": [*output["anyOf"], d.listed(output)],
            },
            "usage": d.an_object({"tokens": d.INTEGER}, required=["tokens"]),
        },
        required=["model", "version", "outputs", "usage"],
    )
    usage = {"usage": {"tokens": 18}}

    def predict(identity: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
        return d.operation(
            protocol=PROTOCOL,
            identity=identity,
            summary="Answers of a model",
            description="Inputs, options and answers are those of `limbeck.pipeline` for the "
            "model's task. An empty list of inputs gets an empty list of outputs.",
            parameters=[*parameters, d.TIMEOUT],
            request=request,
            requests={
                "texts": {
                    "inputs": ["a quiet room", "call me at +1 202 555 0175"],
                    "parameters": {"top_k": 2},
                    "timeout_ms": 250,
                    "priority": "high",
                },
                "question": {"inputs": {"question": "Who waits?", "context": "Anna waits here."}},
            },
            answer=answer,
            answers={
                "texts": {
                    "model": "demo",
                    "version": "1",
                    "outputs": [
                        [{"label": "clean", "score": 0.99}, {"label": "leak", "score": 0.01}],
                        [{"label": "leak", "score": 0.98}, {"label": "clean", "score": 0.02}],
                    ],
                    **usage,
                },
                "question": {
                    "model": "squad",
                    "version": "1",
                    "outputs": {"score": 0.97, "start": 0, "end": 4, "answer": "Anna"},
                    **usage,
                },
            },
            error=CODED_ERROR,
            errors={
                400: {
                    "error": {
                        "code": "bad_request",
                        "message": "the body has no field 'input'; did you mean 'inputs'? known: "
                        "'inputs', 'parameters', 'priority', 'timeout_ms'",
                    }
                }
            },
        )

    return predict


_LISTED: dict[str, d.Schema] = {
    "id": {"type": "string", "description": "The name"},
    "object": {"type": "string", "const": "model"},
    "created": {**d.INTEGER, "description": "Since when the server offers it, in Unix time"},
    "owned_by": d.STRING,
    "versions": d.listed(d.STRING),
    "default_version": {"type": ["string", "null"]},
}


def _models_operation() -> dict[str, Any]:
    return d.operation(
        protocol=PROTOCOL,
        identity="models",
        summary="Models that this key may use",
        description="Loads nothing. OpenAI's clients read this list too.",
        answer=d.an_object(
            {
                "object": {"type": "string", "const": "list"},
                "data": d.listed(
                    d.an_object(
                        _LISTED | {"default": {"type": "boolean"}}, required=[*_LISTED, "default"]
                    )
                ),
            },
            required=["object", "data"],
        ),
        error=CODED_ERROR,
        reasons=d.READING,
    )


def _model_operation(identity: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    properties = _LISTED | {
        "version": d.STRING,
        "task": d.STRING,
        "labels": d.listed(d.STRING),
        "threshold": {
            "anyOf": [
                d.an_object({"label": d.STRING, "value": d.NUMBER}, required=["label", "value"]),
                {"type": "null"},
            ]
        },
        "max_tokens": {**d.INTEGER, "description": "where texts are cut, or windows end"},
        "precision": d.STRING,
        "architecture": d.STRING,
        "digest": d.STRING,
    }
    return d.operation(
        protocol=PROTOCOL,
        identity=identity,
        summary="A model",
        description="Loads the model where that has not happened yet.",
        parameters=parameters,
        answer=d.an_object(properties, required=list(properties)),
        error=CODED_ERROR,
        reasons=(*d.READING, "unavailable"),
    )
