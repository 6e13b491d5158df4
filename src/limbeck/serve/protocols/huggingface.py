"""Hugging Face's inference shapes: POST {"inputs", "parameters", "options"} -> the task's answer.

The model's task says what comes back, in the shapes that huggingface_hub's InferenceClient reads:
text-classification [[{label, score}, ...]], best first; token-classification entities;
question-answering {score, start, end, answer}; feature-extraction nested lists; sentence vectors;
and {"source_sentence", "sentences"} their cosine similarities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from limbeck.serve import json_body
from limbeck.serve.protocols import describing as d
from limbeck.serve.protocols import fields, inputs
from limbeck.serve.protocols.asking import ask, hosted
from limbeck.serve.protocols.base import Call, Context, Reply, Route
from limbeck.serve.protocols.refusing import refusal
from limbeck.serve.refused import RefusedError
from limbeck.spec import Task
from limbeck.tasks import normalize

PROTOCOL: Final = "huggingface"
# Their names of tasks, and the models of ours that can do them.
_TASKS: Final[dict[str, tuple[Task, ...]]] = {
    "text-classification": ("text-classification",),
    "sentiment-analysis": ("text-classification",),
    "token-classification": ("token-classification",),
    "ner": ("token-classification",),
    "question-answering": ("question-answering",),
    "feature-extraction": ("feature-extraction", "sentence-embedding"),
    "sentence-similarity": ("sentence-embedding",),
}
# What transformers' answers to a call without options do not have, but the hosted API's do.
_DEFAULTS: Final[dict[Task, dict[str, Any]]] = {
    "text-classification": {"top_k": None},
    "token-classification": {"aggregation_strategy": "simple"},
}
# Names that text-embeddings-inference and the hosted API use; for feature extraction their client
# writes parameters beside inputs.
_EMBEDDING_NAMES: Final = {"normalize": "normalize_embeddings", "truncate": "truncation"}
_SIMILARITY: Final = {"source_sentence", "sentences"}


def routes(context: Context) -> list[Route]:
    """The operations of this protocol."""
    protocol = _HuggingFace(context)
    task = d.in_path("task", "Task", {"type": "string", "enum": list(_TASKS)})
    paths: list[tuple[str, str, list[dict[str, Any]]]] = [
        ("/", "infer", []),
        ("/models/{name}", "inferModel", [d.MODEL]),
        ("/models/{name}/pipeline/{task}", "inferModelTask", [d.MODEL, task]),
        ("/pipeline/{task}/{name}", "inferTaskModel", [task, d.MODEL]),
    ]
    return [
        Route(
            protocol=PROTOCOL,
            method="POST",
            path=path,
            handle=protocol.infer,
            error=error,
            operation=_operation(identity, parameters),
        )
        for path, identity, parameters in paths
    ]


def error(refused: RefusedError) -> Reply:
    """{"error": message}, and "estimated_time" in seconds where a model is not ready."""
    body: dict[str, Any] = {"error": refused.message}
    if refused.reason == "unavailable" and refused.retry_after_s is not None:
        body["estimated_time"] = refused.retry_after_s
    return refusal(refused, body)


class _HuggingFace:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._limits = context.settings.limits

    async def infer(self, call: Call) -> Reply:
        body = fields.an_object(
            json_body.parse(call.body, depth=self._limits.json_depth),
            "the body",
            known=("inputs", "parameters", "options", *_EMBEDDING_NAMES),
            required=("inputs",),
        )
        name, asked = call.path.get("name"), call.path.get("task")
        if name is not None:
            fields.a_name(name, "model")
        if asked is not None and asked not in _TASKS:
            raise RefusedError(
                "not_found",
                f"there is no task {fields.shown(asked)}; {fields.nearest(asked, _TASKS)}",
            )
        parameters = fields.parameters(body.get("parameters"))
        beside = {key: body[key] for key in _EMBEDDING_NAMES if body.get(key) is not None}
        use_cache = _options(body.get("options"), fields.use_cache(call))
        timeout_s = fields.timeout_s(call, None, limits=self._limits)
        similarity = isinstance(body["inputs"], dict) and set(body["inputs"]) == _SIMILARITY
        rows, single = _rows(body["inputs"])
        model = await hosted(self._context, call, name)
        task = model.pipeline.task
        for wanted in (asked, "sentence-similarity" if similarity else None):
            if wanted is not None and task not in _TASKS[wanted]:
                raise RefusedError(
                    "unprocessable", f"this model is made for {task}, and cannot do {wanted}"
                )
        options = _named_as_ours(parameters, beside, task)
        if not rows or (similarity and len(rows) == 1):
            return Reply(body=b"[]")
        answer = await ask(
            self._context,
            call,
            rows,
            model=name,
            task=task,
            options={
                key: value
                for key, value in _DEFAULTS.get(task, {}).items()
                if key not in model.settings.options
            }
            | options,
            timeout_s=timeout_s,
            use_cache=use_cache,
        )
        if similarity:
            return Reply(body=json_body.dump(similarities(answer.rows)))
        found = answer.rows
        if task == "text-classification":
            # Alone among the tasks, one text gets a list of one list.
            found = [[one] if isinstance(one, dict) else one for one in found]
        elif single:
            found = found[0]
        return Reply(body=json_body.dump(found))


def similarities(vectors: list[Any]) -> list[float]:
    """Cosines [N - 1] of the first vector with each other one; 0 where a vector is 0."""
    units = normalize(np.stack(vectors).astype(np.float32))
    cosines: list[float] = (units[1:] @ units[0]).tolist()
    return cosines


def _options(value: object, use_cache: bool) -> bool:
    """Whether stored answers will do. `wait_for_model` changes nothing: who asks always waits."""
    if value is None:
        return use_cache
    options = fields.an_object(value, "options", known=("use_cache", "wait_for_model"))
    for name, one in options.items():
        fields.a_boolean(one, f"options.{name}")
    return use_cache and bool(options.get("use_cache", True))


def _named_as_ours(
    parameters: Mapping[str, Any], beside: Mapping[str, Any], task: Task
) -> dict[str, Any]:
    """Options under our names; those that are null are not given, except for top_k."""
    for name in beside:
        if name in parameters:
            raise RefusedError("bad_request", f"{name!r} is given twice, and in parameters")
    options = {
        name: value
        for name, value in {**parameters, **beside}.items()
        if value is not None or name == "top_k"
    }
    if task in ("feature-extraction", "sentence-embedding"):
        for theirs, ours in _EMBEDDING_NAMES.items():
            if theirs in options:
                if ours in options:
                    raise RefusedError("bad_request", f"{theirs!r} and {ours!r} are the same")
                options[ours] = options.pop(theirs)
    return options


def _rows(value: object) -> tuple[list[Any], bool]:
    """The rows, and whether they came as one without a list."""
    if isinstance(value, dict) and set(value) == _SIMILARITY:
        source = fields.a_string(value["source_sentence"], "inputs.source_sentence")
        others = fields.a_list(value["sentences"], "inputs.sentences")
        return [
            source,
            *(fields.a_string(one, f"inputs.sentences[{at}]") for at, one in enumerate(others)),
        ], False
    return inputs.rows(value)


_ERROR: d.Schema = d.an_object(
    {"error": d.STRING, "estimated_time": {**d.NUMBER, "description": "seconds, with 503"}},
    required=["error"],
)
_REQUEST: d.Schema = d.an_object(
    {
        "inputs": {
            "anyOf": [
                d.TEXT,
                d.PAIR,
                d.QUESTION,
                d.an_object(
                    {"source_sentence": d.TEXT, "sentences": d.listed(d.TEXT)},
                    required=["source_sentence", "sentences"],
                ),
                d.listed({"anyOf": [d.TEXT, d.PAIR, d.QUESTION]}),
            ]
        },
        "parameters": {
            "type": ["object", "null"],
            "properties": d.options_schema()["properties"]
            | {"normalize": {"type": "boolean"}, "truncate": {"type": "boolean"}},
        },
        "options": {
            "anyOf": [
                d.an_object(
                    {"use_cache": {"type": "boolean"}, "wait_for_model": {"type": "boolean"}}
                ),
                {"type": "null"},
            ]
        },
        "normalize": {"description": "as in parameters"},
        "truncate": {"description": "as in parameters"},
    },
    required=["inputs"],
)
_ANSWER: d.Schema = {
    "anyOf": [
        d.SPAN,
        d.listed(
            {
                "anyOf": [
                    d.listed(d.LABEL_SCORE),
                    d.ENTITY,
                    d.listed(d.ENTITY),
                    d.SPAN,
                    d.listed(d.SPAN),
                    d.SCORE,
                    d.VECTOR,
                    d.listed(d.VECTOR),
                    d.listed(d.listed(d.VECTOR)),
                ]
            }
        ),
    ]
}


def _operation(identity: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return d.operation(
        protocol=PROTOCOL,
        identity=identity,
        summary="Answers in Hugging Face's shapes",
        description="The model's task says what inputs are taken and what comes back, as from the "
        "hosted inference API: all labels best first, entities with aggregation 'simple', the "
        "answer to a question, vectors, cosine similarities.",
        parameters=[*parameters, d.TIMEOUT],
        request=_REQUEST,
        requests={
            "text": {"inputs": "a quiet room", "parameters": {"top_k": 2}},
            "question": {"inputs": {"question": "Who waits?", "context": "Anna waits here."}},
            "similarity": {
                "inputs": {"source_sentence": "a room", "sentences": ["a chamber", "a train"]}
            },
        },
        answer=_ANSWER,
        answers={
            "text": [[{"label": "clean", "score": 0.99}, {"label": "leak", "score": 0.01}]],
            "question": {"score": 0.97, "start": 0, "end": 4, "answer": "Anna"},
            "similarity": [0.75, 0.125],
        },
        error=_ERROR,
        errors={422: {"error": "text 0 has 900 tokens, and the model has positions for 512"}},
    )
