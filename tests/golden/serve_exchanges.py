"""Requests of each protocol and their answers, kept in serve/PROTOCOL.json.

The models are the tests' own (`fake_model`), whose logits follow from token ids by plain rules, so
that the answers hold on every machine; scores are compared in five digits. To write the answers
again, and to look at what has changed:

    PYTHONPATH=tests .venv/bin/python tests/golden/serve_exchanges.py
    git diff tests/golden/serve
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exchange import exchanging
from fake_model import TAGS, FakeModel
from limbeck.spec import Threshold
from served import settings_of

DIRECTORY = Path(__file__).resolve().parent / "serve"
PROTOCOLS = ("own", "classic", "huggingface", "decision")
DIGITS = 5

LEAK = Threshold(label="leak", value=0.5, false_alarm_rate=0.01)
DECISION = {
    "model_code": "DistilBertNLPSupplyListingDescHA",
    "refresh_version": "v20211220",
    "segment": "SUPPLY",
}


class QuestionModel(FakeModel):
    """Two logits a token, as its labels ask for."""

    def forward(self, *args: Any, **named: Any) -> Any:
        return super().forward(*args, **named)[:, 1:]


MODELS: dict[str, Callable[[], Any]] = {
    "labels": lambda: FakeModel(threshold=LEAK),
    "tags": lambda: FakeModel("token-classification", labels=TAGS),
    "questions": lambda: QuestionModel(
        "question-answering", labels=("start", "end"), max_tokens=32, positions=32
    ),
    "vectors": lambda: FakeModel("feature-extraction"),
    "sentences": lambda: FakeModel("sentence-embedding", pooling=("mean",), normalize=True),
}
BELL, HARBOUR = "the bell", "a quiet harbour, and the key is under the mat"
ASKED = {"question": "the bell", "context": HARBOUR}


def _decision(identity: str, more: dict[str, Any] | None = None, **attributes: Any) -> Any:
    context = {"transactionId": identity, "attributes": attributes}
    return {"transactionContext": context, **(more or {})}


# name of the case, path, body; GET where the body is None.
CASES: dict[str, list[tuple[str, str, Any]]] = {
    "own": [
        ("a text", "/v1/predict", {"inputs": BELL}),
        ("texts", "/v1/models/labels/predict", {"inputs": [BELL, HARBOUR]}),
        (
            "all labels and a decision",
            "/v1/models/labels/versions/1/predict",
            {
                "inputs": [{"text": BELL, "text_pair": HARBOUR}],
                "parameters": {"top_k": None, "decide": True},
                "timeout_ms": 60000,
                "priority": "high",
            },
        ),
        (
            "in windows",
            "/v1/models/labels/predict",
            {
                "inputs": HARBOUR * 3,
                "parameters": {"window": True, "return_window": True},
                "priority": 3,
            },
        ),
        (
            "entities",
            "/v1/models/tags/predict",
            {"inputs": BELL, "parameters": {"aggregation_strategy": "simple"}},
        ),
        ("a question", "/v1/models/questions/predict", {"inputs": ASKED}),
        (
            "questions",
            "/v1/models/questions/predict",
            {"inputs": [ASKED], "parameters": {"top_k": 2}},
        ),
        ("hidden states", "/v1/models/vectors/predict", {"inputs": ["bell"]}),
        ("a vector", "/v1/models/sentences/predict", {"inputs": BELL}),
        ("nothing", "/v1/models/labels/predict", {"inputs": []}),
        ("models", "/v1/models", None),
        ("a model", "/v1/models/labels", None),
        ("an unknown field", "/v1/predict", {"input": BELL}),
        ("an unknown option", "/v1/predict", {"inputs": BELL, "parameters": {"topk": 1}}),
        ("an unknown model", "/v1/models/nobody/predict", {"inputs": BELL}),
        ("an unknown version", "/v1/models/labels/versions/7/predict", {"inputs": BELL}),
        ("a wrong row", "/v1/predict", {"inputs": [BELL, 5]}),
        ("too late", "/v1/predict", {"inputs": BELL, "timeout_ms": 0}),
    ],
    "classic": [
        ("a text", "/classify", {"text": BELL}),
        ("texts that are cut", "/classify", {"text": [BELL, HARBOUR], "max_length": 8}),
        ("no text", "/classify", {"text": []}),
        ("a wrong text", "/classify", {"text": [BELL, None]}),
        ("more tokens than there are", "/classify", {"text": BELL, "max_length": 99}),
    ],
    "huggingface": [
        ("a text", "/", {"inputs": BELL}),
        (
            "texts",
            "/models/labels",
            {
                "inputs": [BELL, HARBOUR],
                "parameters": {"top_k": 1},
                "options": {"use_cache": False},
            },
        ),
        ("entities", "/models/tags", {"inputs": BELL}),
        ("entities of texts", "/pipeline/token-classification/tags", {"inputs": [BELL, "a"]}),
        ("a question", "/models/questions", {"inputs": ASKED}),
        ("hidden states", "/models/vectors/pipeline/feature-extraction", {"inputs": "bell"}),
        ("vectors", "/models/sentences", {"inputs": [BELL, HARBOUR]}),
        (
            "similarities",
            "/models/sentences",
            {"inputs": {"source_sentence": BELL, "sentences": [HARBOUR, BELL]}},
        ),
        ("an unknown option", "/", {"inputs": BELL, "parameters": {"topk": 1}}),
        ("another task", "/models/tags/pipeline/question-answering", {"inputs": BELL}),
        ("no inputs", "/", {"input": BELL}),
    ],
    "decision": [
        ("negative", "/decision", _decision("t-1", listingDescription=HARBOUR)),
        (
            "the highest of several",
            "/v1/decision",
            _decision("t-2", title=BELL, listingDescription=HARBOUR, rules=None),
        ),
        (
            "explained",
            "/decision",
            _decision("t-3", {"explain": True}, rules="Ring the bell. The key is under the mat."),
        ),
        ("asked again", "/decision", _decision("t-1", listingDescription=HARBOUR)),
        ("the same id for another", "/decision", _decision("t-1", listingDescription=BELL)),
        ("no attribute", "/decision", _decision("t-4", listingDescription=None)),
        ("an attribute that is no text", "/decision", _decision("t-5", price=12)),
        ("no id", "/decision", {"transactionContext": {"attributes": {"a": "b"}}}),
    ],
}


async def _answers(protocol: str) -> list[dict[str, Any]]:
    module = importlib.import_module(f"limbeck.serve.protocols.{protocol}")
    settings = settings_of(
        *MODELS, decision=DECISION | {"attributes": {}}, limits={"json_depth": 8}
    )
    found = []
    async with exchanging([module], MODELS, settings=settings) as exchange:
        for name, path, body in CASES[protocol]:
            said = await (exchange.get(path) if body is None else exchange.post(path, body))
            found.append(
                {
                    "case": name,
                    "request": {"method": "GET" if body is None else "POST", "path": path}
                    | ({} if body is None else {"body": body}),
                    "response": {"status": said.status, "body": rounded(said.value)},
                }
            )
    return found


def answers(protocol: str) -> list[dict[str, Any]]:
    """All cases of a protocol, as they are answered now."""
    return asyncio.run(_answers(protocol))


def rounded(value: Any) -> Any:
    """Numbers in so many digits, and no times."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: 0 if name == "created" else rounded(one) for name, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def main() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    for protocol in PROTOCOLS:
        text = json.dumps(answers(protocol), indent=1, ensure_ascii=False)
        (DIRECTORY / f"{protocol}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
