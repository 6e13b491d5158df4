"""The decision protocol as OpenAPI describes it."""

from __future__ import annotations

from typing import Any, Final

from limbeck.serve.protocols import describing as d
from limbeck.serve.protocols.refusing import CODED_ERROR
from limbeck.serve.settings import Settings

PROTOCOL: Final = "decision"

_TEXT_OR_NULL: d.Schema = {"type": ["string", "null"]}
_EXPLAIN: Final = {
    "name": "explain",
    "in": "query",
    "required": False,
    "description": "As the field of the same name",
    "schema": {"type": "string", "enum": ["true", "false"]},
}
_ANSWER: Final = {
    "modelCode": d.STRING,
    "modelVersion": d.STRING,
    "refreshVersion": d.STRING,
    "probabilityScore": {
        "type": "string",
        "description": "Probability of the positive label, in three significant digits",
    },
    "modelSegment": d.STRING,
    "topContributor": {
        "type": "string",
        "description": "The attribute with the highest score, of those that reach their thresholds "
        "if any does",
    },
    "scoreDetails": d.an_object({"label": d.STRING}, required=["label"]),
}
_EXPLAINED: Final = {
    "spans": d.listed(
        d.an_object(
            {
                "attribute": d.STRING,
                "start": d.INTEGER,
                "end": d.INTEGER,
                "scoreDrop": {
                    "type": "number",
                    "description": "By how much the score drops without these characters",
                },
            },
            required=["attribute", "start", "end", "scoreDrop"],
        )
    ),
    "explanation": d.an_object(
        {
            "method": d.STRING,
            "approximationError": {
                "type": "number",
                "description": "How far the drops together are from what the whole text makes of "
                "an empty one",
            },
        },
        required=["method", "approximationError"],
    ),
}


def operation(identity: str, settings: Settings, id_pattern: str) -> dict[str, Any]:
    """The operation under one path."""
    rules = settings.decision
    if rules.attributes:
        attributes: d.Schema = {
            "type": "object",
            "properties": {name: _TEXT_OR_NULL for name in rules.attributes},
            "description": "Others are not read",
        }
    else:
        attributes = {"type": "object", "additionalProperties": _TEXT_OR_NULL, "minProperties": 1}
    name = next(iter(rules.attributes), "listingDescription")
    request = d.an_object(
        {
            "transactionContext": d.an_object(
                {
                    "transactionId": {
                        "type": "string",
                        "pattern": id_pattern,
                        "description": "Asking again with the same id gives the same answer; with "
                        "other attributes it is refused (409)",
                    },
                    "attributes": attributes,
                },
                required=["transactionId", "attributes"],
            ),
            "explain": {
                "type": ["boolean", "null"],
                "description": "Also say which sentences of topContributor made the score",
            },
            "timeout_ms": {"anyOf": [d.timeout_ms(settings.limits), {"type": "null"}]},
            "priority": {"anyOf": [d.PRIORITY, {"type": "null"}]},
        },
        required=["transactionContext"],
    )
    return d.operation(
        protocol=PROTOCOL,
        identity=identity,
        summary="Decide on a transaction",
        description="Attributes are read whole, in windows; a null one counts as absent.",
        parameters=[_EXPLAIN, d.TIMEOUT],
        request=request,
        requests={
            "listing": {
                "transactionContext": {
                    "transactionId": "8d0f3f52-6a6c-4f6e-9f0e-0b7d3f6f2c11",
                    "attributes": {name: "A quiet room with a view of the river."},
                }
            }
        },
        answer=d.an_object(_ANSWER | _EXPLAINED, required=list(_ANSWER)),
        answers={
            "listing": {
                "modelCode": rules.model_code,
                "modelVersion": rules.model_version,
                "refreshVersion": rules.refresh_version,
                "probabilityScore": "1.02e-10",
                "modelSegment": rules.segment,
                "topContributor": name,
                "scoreDetails": {"label": rules.negative_label},
            }
        },
        error=CODED_ERROR,
        errors={
            409: {
                "error": {
                    "code": "conflict",
                    "message": "this transaction id has been used for other content; ids are for "
                    "one transaction each",
                }
            }
        },
        reasons=(*d.PREDICTING, "conflict"),
    )
