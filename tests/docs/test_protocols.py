"""Every example of the guides to protocols, sent as written, is answered in the shape it shows."""

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
from limbeck.serve.protocols import classic, decision, huggingface, oip, openai, own
from live_server import Live, live

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guide"
PAGES = {
    name: (GUIDES / name).read_text(encoding="utf-8")
    for name in ("protocols.md", "open-inference.md", "openai-embeddings.md")
}
# An example, and the answer right below it.
EXAMPLES = [
    example
    for page in PAGES.values()
    for example in re.findall(
        r"^```sh\n(curl .*?)^```\n```json\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE
    )
]
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
    with live([own, classic, decision, huggingface, oip, openai], DEMO) as server:
        yield server


def test_every_protocol_has_examples() -> None:
    assert len(EXAMPLES) >= 10
    assert sum(page.count("```sh\n") for page in PAGES.values()) == len(EXAMPLES)
    assert all("```sh\n" in page for page in PAGES.values())


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


@pytest.mark.parametrize("page", ["open-inference.md", "openai-embeddings.md"])
def test_clients(server: Live, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The code for clients in Python runs, and prints something."""
    [code] = re.findall(r"^```python\n(.*?)^```", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    [module] = re.findall(r"^import (tritonclient.http|openai)\b", code, flags=re.MULTILINE)
    pytest.importorskip(module)
    assert "127.0.0.1:8080" in code
    exec(compile(code.replace("127.0.0.1:8080", server.address), page, "exec"), {})
    assert capsys.readouterr().out.strip()


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
