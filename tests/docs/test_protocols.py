"""Every example of the guide to protocols, sent as written, is answered in the shape it shows."""

from __future__ import annotations

import http.client
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fake_model import FakeModel
from golden.serve_exchanges import LEAK, MODELS
from limbeck.serve.protocols import classic, decision, huggingface, own
from live_server import Live, live

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "protocols.md"
# An example, and the answer right below it.
EXAMPLES = re.findall(
    r"^```sh\n(curl .*?)^```\n```json\n(.*?)^```",
    PAGE.read_text(encoding="utf-8"),
    flags=re.DOTALL | re.MULTILINE,
)
DEMO = {
    "demo": lambda: FakeModel(
        labels=("clean", "leak"),
        logits=lambda i, t: [1.0, len(i) / 9],
        threshold=LEAK,
        positions=512,
        max_tokens=256,
    ),
    "people": MODELS["tags"],
    "squad": MODELS["questions"],
    "minilm": MODELS["sentences"],
}


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live([own, classic, decision, huggingface], DEMO) as server:
        yield server


def test_every_protocol_has_examples() -> None:
    assert len(EXAMPLES) >= 8
    blocks = PAGE.read_text(encoding="utf-8").count("```sh\n")
    assert blocks == len(EXAMPLES)


@pytest.mark.parametrize(("command", "answer"), EXAMPLES, ids=lambda text: text[:60])
def test_examples(server: Live, command: str, answer: str) -> None:
    program, url, *rest = shlex.split(command)
    assert program == "curl"
    parts = urlsplit(url)
    assert parts.netloc == "127.0.0.1:8080"
    headers, body = {}, None
    if rest:
        flag, body = rest
        assert flag == "-d"
        # What curl does with -d: no line ends, and a type that is none of ours.
        body = body.replace("\n", "")
        headers = {"content-type": "application/x-www-form-urlencoded"}
    connection = http.client.HTTPConnection(server.address, timeout=60)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET" if body is None else "POST", target, body, headers)
        response = connection.getresponse()
        said = json.loads(response.read())
    finally:
        connection.close()
    assert response.status == 200, said
    alike(said, json.loads(answer))


def alike(found: Any, shown: Any) -> None:
    """Keys, their order, and types; of lists the first ones."""
    if isinstance(shown, dict):
        assert list(found) == list(shown)
        for name, value in shown.items():
            alike(found[name], value)
    elif isinstance(shown, list):
        assert isinstance(found, list)
        assert found
        for one, other in zip(found, shown):
            alike(one, other)
    elif isinstance(shown, float):
        assert isinstance(found, float)
    else:
        assert type(found) is type(shown)
