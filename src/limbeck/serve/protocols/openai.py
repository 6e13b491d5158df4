"""OpenAI's embeddings, as its clients ask for them.

Vectors are as the model gives them; OpenAI's have length 1, and so have those of a model that
normalises. `dimensions` can only be what the model has: cutting vectors that were not trained for
it loses more than it says. The list of models (GET /v1/models) is in the protocol `own`.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from limbeck.serve.json_body import dump, parse
from limbeck.serve.protocols import describing as d
from limbeck.serve.protocols import fields
from limbeck.serve.protocols.asking import ask
from limbeck.serve.protocols.base import Call, Context, Reply, Route
from limbeck.serve.protocols.refusing import refusal
from limbeck.serve.refused import Reason, RefusedError
from limbeck.serve.settings import NAME_PATTERN, LimitSettings

PROTOCOL = "openai"
_PATH = "/v1/embeddings"
_FIELDS = ("model", "input", "encoding_format", "dimensions", "user", "timeout_ms", "priority")

# "type" and "code" of errors, as far as OpenAI has words for them.
_WORDS: dict[Reason, tuple[str, str | None]] = {
    "unauthorized": ("invalid_request_error", "invalid_api_key"),
    "forbidden": ("invalid_request_error", "model_not_allowed"),
    "not_found": ("invalid_request_error", "model_not_found"),
    "rate_limited": ("tokens", "rate_limit_exceeded"),
    "overloaded": ("requests", "overloaded"),
    "failed": ("server_error", None),
    "unavailable": ("server_error", "unavailable"),
    "deadline": ("server_error", "timeout"),
}
_OF_THE_REQUEST = ("invalid_request_error", None)


class _ParameterError(RefusedError):
    """A refusal that names the field of the body which it is about."""

    def __init__(self, refused: RefusedError, parameter: str) -> None:
        super().__init__(refused.reason, refused.message, retry_after_s=refused.retry_after_s)
        self.parameter = parameter


def error(refused: RefusedError) -> Reply:
    """A refusal in the words of the protocol."""
    kind, code = _WORDS.get(refused.reason, _OF_THE_REQUEST)
    parameter = refused.parameter if isinstance(refused, _ParameterError) else None
    if parameter is None and code in ("model_not_found", "model_not_allowed"):
        parameter = "model"
    body = {"message": refused.message, "type": kind, "param": parameter, "code": code}
    return refusal(refused, {"error": body})


def routes(context: Context) -> list[Route]:
    """The one operation."""
    return [
        Route(
            protocol=PROTOCOL,
            method="POST",
            path=_PATH,
            handle=_Protocol(context).embeddings,
            error=error,
            operation=_operation(context.settings.limits),
        )
    ]


class _Protocol:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def embeddings(self, call: Call) -> Reply:
        limits = self._context.settings.limits
        body = fields.an_object(
            parse(call.body, depth=limits.json_depth),
            "the body",
            known=_FIELDS,
            required=("model", "input"),
        )
        with _About("model"):
            name, version = _model(body["model"])
        with _About("input"):
            texts = _texts(body["input"])
        with _About("encoding_format"):
            encode = _encoding(body.get("encoding_format"))
        with _About("user"):
            if body.get("user") is not None:
                fields.a_string(body["user"], "user")
        with _About("dimensions"):
            dimensions = body.get("dimensions")
            if dimensions is not None:
                fields.an_integer(dimensions, "dimensions", lowest=1)
        with _About("timeout_ms"):
            timeout_s = fields.timeout_s(call, body.get("timeout_ms"), limits=limits)
        with _About("priority"):
            priority = fields.priority(body.get("priority"))
        if dimensions is not None:
            await self._check_dimensions(call, name, version, dimensions)

        answer = await ask(
            self._context,
            call,
            texts,
            model=name,
            version=version,
            task="sentence-embedding",
            timeout_s=timeout_s,
            priority=priority,
        )
        data = [
            {"object": "embedding", "index": index, "embedding": encode(row)}
            for index, row in enumerate(answer.rows)
        ]
        usage = {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens}
        return Reply(
            body=dump({"object": "list", "data": data, "model": body["model"], "usage": usage})
        )

    async def _check_dimensions(
        self, call: Call, name: str, version: str | None, dimensions: int
    ) -> None:
        """Raises RefusedError (bad_request) for another width than the model has."""
        # Asked here too, so that no key loads a model that it may not use.
        call.tenant.check(name)
        spec = (await self._context.service.hosted(name, version)).spec
        width = spec.encoder.hidden * len(spec.task.pooling)
        if spec.task.task == "sentence-embedding" and dimensions != width:
            with _About("dimensions"):
                raise RefusedError(
                    "bad_request",
                    f"vectors of model {name!r} have {width} dimensions, found "
                    f"{fields.shown(dimensions)}; leave it out, and cut them yourself if the "
                    "model is trained for that",
                )


class _About:
    """Refusals from within name the field that they are about."""

    def __init__(self, parameter: str) -> None:
        self._parameter = parameter

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, refused: BaseException | None, trace: object) -> None:
        if isinstance(refused, RefusedError):
            raise _ParameterError(refused, self._parameter) from None


def _model(value: object) -> tuple[str, str | None]:
    """Name and version of "name" or "name/version"."""
    name, slash, version = fields.a_string(value, "model").partition("/")
    fields.a_name(name, "model")
    return name, fields.a_name(version, "version") if slash else None


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise RefusedError(
            "bad_request",
            f"input must be a string or an array of strings, found {fields.kind(value)}",
        )
    if not value:
        raise RefusedError("bad_request", "input is empty; give at least one text")
    for index, text in enumerate(value):
        if isinstance(text, int | list) and not isinstance(text, bool):
            raise RefusedError(
                "bad_request",
                "input holds token ids, which mean nothing to this model's tokenizer; send texts "
                "(for langchain: check_embedding_ctx_length=False)",
            )
        if not isinstance(text, str):
            raise RefusedError(
                "bad_request", f"input[{index}] must be a string, found {fields.kind(text)}"
            )
    return value


def _encoding(value: object) -> Any:
    """What makes a vector [C] float32 into a value of JSON."""
    if value in (None, "float"):
        return _float
    if value == "base64":
        return _base64
    raise RefusedError(
        "bad_request", f"encoding_format must be 'float' or 'base64', found {fields.shown(value)}"
    )


def _float(vector: Any) -> Any:
    return np.ascontiguousarray(vector, dtype=np.float32)


def _base64(vector: Any) -> str:
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode("ascii")


_NULL: d.Schema = {"type": "null"}
_ERROR = d.an_object(
    {
        "error": d.an_object(
            {
                "message": d.STRING,
                "type": d.STRING,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            required=["message", "type", "param", "code"],
        )
    },
    required=["error"],
)
_ANSWER = d.an_object(
    {
        "object": {"type": "string", "const": "list"},
        "data": d.listed(
            d.an_object(
                {
                    "object": {"type": "string", "const": "embedding"},
                    "index": d.INTEGER,
                    "embedding": {
                        "description": "Numbers, or base64 of little-endian float32",
                        "anyOf": [d.VECTOR, {"type": "string", "contentEncoding": "base64"}],
                    },
                },
                required=["object", "index", "embedding"],
            )
        ),
        "model": d.STRING,
        "usage": d.an_object(
            {"prompt_tokens": d.INTEGER, "total_tokens": d.INTEGER},
            required=["prompt_tokens", "total_tokens"],
        ),
    },
    required=["object", "data", "model", "usage"],
)


def _operation(limits: LimitSettings) -> d.Schema:
    name = NAME_PATTERN.removeprefix("^").removesuffix("$")
    request = d.an_object(
        {
            "model": {
                "type": "string",
                "description": "A name, or name/version",
                "pattern": f"^{name}(/{name})?$",
            },
            "input": {
                "anyOf": [d.TEXT, {"type": "array", "items": d.TEXT, "minItems": 1}],
            },
            "encoding_format": {"type": ["string", "null"], "enum": ["float", "base64", None]},
            "dimensions": {
                "type": ["integer", "null"],
                "minimum": 1,
                "description": "Only the number that the model has",
            },
            "user": {"type": ["string", "null"], "description": "Taken, and not looked at"},
            "timeout_ms": {"anyOf": [d.timeout_ms(limits), _NULL]},
            "priority": {"anyOf": [d.PRIORITY, _NULL]},
        },
        required=["model", "input"],
    )
    return d.operation(
        protocol=PROTOCOL,
        identity="openai_embeddings",
        summary="Vectors of texts",
        description="As OpenAI's clients ask for them; timeout_ms and priority are ours.",
        parameters=[d.TIMEOUT],
        request=request,
        requests={"texts": {"model": "minilm", "input": ["a quiet room", "call me"]}},
        answer=_ANSWER,
        answers={
            "texts": {
                "object": "list",
                "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
                "model": "minilm",
                "usage": {"prompt_tokens": 5, "total_tokens": 5},
            }
        },
        error=_ERROR,
        errors={
            404: {
                "error": {
                    "message": "there is no model 'text-embedding-3-small'",
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": "model_not_found",
                }
            }
        },
    )
