"""The classic protocol: POST /classify {"text", "max_length"?} -> {"predictions": [[p0, p1, ...]]}.

Probabilities are the softmax of the default model's logits, [B, L], in the order of its labels.
"""

from __future__ import annotations

from typing import Any, Final

from limbeck.serve import json_body
from limbeck.serve.protocols import describing as d
from limbeck.serve.protocols import fields
from limbeck.serve.protocols.asking import ask
from limbeck.serve.protocols.base import Call, Context, Reply, Route
from limbeck.serve.protocols.refusing import CODED_ERROR, coded
from limbeck.serve.refused import RefusedError

PROTOCOL: Final = "classic"


def routes(context: Context) -> list[Route]:
    """The operations of this protocol."""

    async def classify(call: Call) -> Reply:
        limits = context.settings.limits
        body = fields.an_object(
            json_body.parse(call.body, depth=limits.json_depth),
            "the body",
            known=("text", "max_length"),
            required=("text",),
        )
        texts = _texts(body["text"])
        options: dict[str, Any] = {"top_k": None, "function_to_apply": "softmax"}
        if body.get("max_length") is not None:
            options["max_length"] = fields.an_integer(body["max_length"], "max_length", lowest=1)
        timeout_s = fields.timeout_s(call, None, limits=limits)
        if not texts:
            return Reply(body=json_body.dump({"predictions": []}))
        answer = await ask(
            context, call, texts, task="text-classification", options=options, timeout_s=timeout_s
        )
        labels = answer.hosted.spec.task.labels
        return Reply(
            body=json_body.dump({"predictions": [in_label_order(r, labels) for r in answer.rows]})
        )

    return [
        Route(
            protocol=PROTOCOL,
            method="POST",
            path="/classify",
            handle=classify,
            error=coded,
            operation=_operation(),
        )
    ]


def in_label_order(ranked: list[dict[str, Any]], labels: tuple[str, ...]) -> list[float]:
    """Scores of all labels, best first -> in the order of the model's labels.

    Raises:
        RefusedError: unprocessable; two labels share a name, so that which is which cannot be told.
    """
    if len(set(labels)) != len(labels):
        raise RefusedError("unprocessable", "two labels of this model share a name")
    scores = {row["label"]: row["score"] for row in ranked}
    return [scores[label] for label in labels]


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise RefusedError(
            "bad_request", f"text must be a string or an array of them, found {fields.kind(value)}"
        )
    return [fields.a_string(one, f"text[{at}]") for at, one in enumerate(value)]


def _operation() -> dict[str, Any]:
    return d.operation(
        protocol=PROTOCOL,
        identity="classify",
        summary="Probabilities of the default model's labels",
        description="Softmax over the labels, [B][L], in the order of the model's labels.",
        parameters=[d.TIMEOUT],
        request=d.an_object(
            {
                "text": {"anyOf": [d.TEXT, d.listed(d.TEXT)]},
                "max_length": {
                    "type": ["integer", "null"],
                    "minimum": 1,
                    "description": "where texts are cut, in tokens, special ones included",
                },
            },
            required=["text"],
        ),
        requests={"texts": {"text": ["a quiet room", "call me"], "max_length": 128}},
        answer=d.an_object({"predictions": d.listed(d.VECTOR)}, required=["predictions"]),
        answers={"texts": {"predictions": [[0.75, 0.25], [0.5, 0.5]]}},
        error=CODED_ERROR,
        errors={400: {"error": {"code": "bad_request", "message": "the body lacks 'text'"}}},
    )
