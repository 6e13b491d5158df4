"""What is sent to the Open Inference Protocol and to OpenAI's, and what comes back, to the letter.

oip.json and openai.json hold exchanges that clients rely on. The tests send each one again. After
a change that is meant, this script keeps the requests and writes the answers anew:

    .venv/bin/python tests/golden/serve/exchanges.py
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FILES = ("oip.json", "openai.json")
# Of the response; what else there is tells of times and of the connection.
HEADERS = ("content-type", "inference-header-content-length", "allow")


def models() -> dict[str, Any]:
    """What answers: logits and states that are plain functions of the token ids."""
    from fake_model import FakeModel
    from limbeck.spec import Threshold

    class Spans(FakeModel):
        def forward(self, *args: Any, **named: Any) -> Any:
            return super().forward(*args, **named)[:, 1:]

    threshold = Threshold(label="leak", value=0.5, false_alarm_rate=0.01)
    return {
        "labels": lambda: FakeModel("text-classification", threshold=threshold),
        "tags": lambda: FakeModel("token-classification", labels=("O", "B-KEY", "I-KEY")),
        "asks": lambda: Spans("question-answering", labels=("start", "end")),
        "states": lambda: FakeModel("feature-extraction"),
        "vectors": lambda: FakeModel("sentence-embedding", pooling=("mean",)),
    }


def read(name: str) -> list[dict[str, Any]]:
    """The exchanges of a file."""
    found: list[dict[str, Any]] = json.loads((HERE / name).read_text(encoding="utf-8"))
    return found


def exchange(address: str, request: dict[str, Any]) -> dict[str, Any]:
    """Send a request; status, headers and body of its answer.

    A body is a value, sent as JSON; "then" are bytes behind it, in base64.
    """
    body = b""
    headers = dict(request.get("headers", {}))
    if "body" in request:
        body = json.dumps(request["body"], ensure_ascii=False).encode()
    if "then" in request:
        headers["Inference-Header-Content-Length"] = str(len(body))
        body += base64.b64decode(request["then"])
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(request["method"], request["path"], body, headers)
    response = connection.getresponse()
    answer = response.read()
    named = {name: response.headers[name] for name in HEADERS if name in response.headers}
    connection.close()
    length = int(named.get("inference-header-content-length", len(answer)))
    found = {"status": response.status, "headers": named, "body": json.loads(answer[:length])}
    if length < len(answer):
        found["then"] = base64.b64encode(answer[length:]).decode()
    return found


def main() -> None:
    sys.path.insert(0, str(HERE.parents[1]))
    from limbeck.serve.protocols import oip, openai
    from live_server import live

    with live([oip, openai], models()) as server:
        for name in FILES:
            kept = [one["request"] | {"name": one["name"]} for one in read(name)]
            written = []
            for request in kept:
                title = request.pop("name")
                answer = exchange(server.address, request)
                written.append({"name": title, "request": request, "answer": answer})
            text = json.dumps(written, indent=1, ensure_ascii=False)
            (HERE / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
