"""Over sockets: Hugging Face's own client, and what the decision route says in headers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fake_model import FakeModel
from golden.serve_exchanges import BELL, HARBOUR, MODELS
from limbeck.pipeline import pipeline
from limbeck.serve.protocols import classic, decision, huggingface, own
from live_server import Live, live
from waiting import until


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live([own, classic, decision, huggingface], MODELS) as server:
        yield server


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return hub.InferenceClient(provider="hf-inference", token="unused", timeout=60)


def test_hugging_faces_client_classifies(server: Live, client: Any) -> None:
    found = client.text_classification(BELL, model=f"{server.url}/models/labels", top_k=2)
    expected = pipeline("text-classification", FakeModel())([BELL], top_k=2)[0]
    assert [one.label for one in found] == [row["label"] for row in expected]
    assert [one.score for one in found] == pytest.approx([row["score"] for row in expected])


def test_hugging_faces_client_finds_entities(server: Live, client: Any) -> None:
    [found] = client.token_classification(BELL, model=f"{server.url}/models/tags")
    assert (found.entity_group, found.word, found.start, found.end) == ("KEY", "the bell", 0, 8)


def test_hugging_faces_client_asks_questions(server: Live, client: Any) -> None:
    url = f"{server.url}/models/questions"
    found = client.question_answering(question=BELL, context=HARBOUR, model=url)
    found = found[0] if isinstance(found, list) else found
    assert found.answer == HARBOUR[found.start : found.end] == "the key is under"
    several = client.question_answering(question=BELL, context=HARBOUR, model=url, top_k=2)
    assert [one.answer for one in several] == ["the key is under", "under"]


def test_hugging_faces_client_embeds(server: Live, client: Any) -> None:
    found = client.feature_extraction(BELL, model=f"{server.url}/models/sentences", normalize=True)
    expected = pipeline("sentence-embedding", MODELS["sentences"]())(BELL)
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-6)
    hidden = client.feature_extraction(BELL, model=f"{server.url}/models/vectors")
    assert np.shape(hidden) == (1, 4, 4)


def test_hugging_faces_client_compares(server: Live, client: Any) -> None:
    found = client.sentence_similarity(
        BELL, other_sentences=[HARBOUR, BELL], model=f"{server.url}/models/sentences"
    )
    assert found[1] == pytest.approx(1)
    assert found[0] < 1


def test_hugging_faces_client_shows_our_refusals(server: Live, client: Any) -> None:
    with pytest.raises(Exception, match="422"):
        client.token_classification(
            BELL, model=f"{server.url}/models/tags", aggregation_strategy="most"
        )


def post(server: Live, path: str, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(server.address, timeout=60)
    try:
        sent = {"content-type": "application/json", **headers}
        connection.request("POST", path, json.dumps(body), sent)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, json.loads(response.read())
    finally:
        connection.close()


def test_a_transactions_id_is_the_requests(server: Live) -> None:
    body = {"transactionContext": {"transactionId": "order-7", "attributes": {"text": BELL}}}
    status, headers, value = post(server, "/decision", body, **{"x-request-id": "mine"})
    assert (status, value["topContributor"]) == (200, "text")
    assert headers["x-request-id"] == "order-7"
    assert headers["traceparent"].startswith("00-")
    assert "server-timing" in headers
    # A request ends when its client may have the answer already; earlier ones may end by now.
    [ended] = until(lambda: [one for one in server.ended if one.request_id == "order-7"])
    assert (ended.protocol, ended.outcome) == ("decision", "answered")
    assert ended.noted["rows"] == 1
    body["transactionContext"]["attributes"]["text"] = HARBOUR
    status, headers, value = post(server, "/decision", body)
    assert (status, value["error"]["code"]) == (409, "conflict")
    assert headers["x-request-id"] == "order-7"


def test_statuses_and_errors_on_the_wire(server: Live) -> None:
    for path, body, status in (
        ("/v1/models/labels/predict", {"inputs": BELL}, 200),
        ("/v1/models/nobody/predict", {"inputs": BELL}, 404),
        ("/v1/models/a%20b/predict", {"inputs": BELL}, 400),
        ("/classify", {"text": [BELL]}, 200),
        ("/classify", {"text": 5}, 400),
        ("/", {"inputs": BELL, "parameters": {"topk": 5}}, 422),
    ):
        found, headers, value = post(server, path, body)
        assert found == status, value
        assert headers["content-type"] == "application/json"
        assert (status == 200) or "error" in value
