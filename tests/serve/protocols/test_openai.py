"""OpenAI's embeddings, spoken by OpenAI's own client and by hand."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fake_model import FakeModel
from limbeck.pipeline import pipeline
from limbeck.serve.protocols import openai as protocol
from limbeck.serve.protocols import own
from limbeck.serve.settings import Settings
from live_server import Live, key, live

openai: Any = pytest.importorskip("openai")

KEY = "someone's key"
TEXTS = ["the bell", "a quiet harbour", "", "zwölf \N{BELL}"]


def vectors() -> FakeModel:
    return FakeModel("sentence-embedding", pooling=("mean",), normalize=True)


def other_vectors() -> FakeModel:
    return FakeModel("sentence-embedding", pooling=("cls",))


def labels() -> FakeModel:
    return FakeModel("text-classification")


MODELS = {"vectors": vectors, "others": other_vectors, "labels": labels}
SETTINGS = {
    "models": [
        {"name": "vectors", "path": "others", "version": "0", "deadline_ms": 20_000},
        {"name": "vectors", "path": "vectors", "version": "1", "deadline_ms": 20_000},
        {"name": "labels", "path": "labels", "deadline_ms": 20_000},
        {"name": "secret", "path": "vectors", "deadline_ms": 20_000},
    ],
    "keys": [
        key(KEY, models=["vectors", "labels"]),
        key("a small share", name="small", tokens_per_s=0.001, burst_tokens=16),
    ],
    "limits": {"rows": 8, "characters": 2000},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live([protocol, own], MODELS, Settings.model_validate(SETTINGS)) as server:
        yield server


def client_of(server: Live, secret: str = KEY) -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0, timeout=60.0)


@pytest.fixture(scope="module")
def client(server: Live) -> Iterator[Any]:
    with client_of(server) as client:
        yield client


def expected(texts: list[str]) -> Any:
    return pipeline("sentence-embedding", vectors())(texts)


def post(server: Live, body: Any, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.address, timeout=60)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", "/v1/embeddings", raw, {"Authorization": f"Bearer {KEY}", **headers})
    answer = connection.getresponse()
    read = json.loads(answer.read())
    connection.close()
    return answer.status, read


def body_of(**fields: Any) -> dict[str, Any]:
    return {"model": "vectors", "input": "the bell", **fields}


def test_one_text(client: Any) -> None:
    answer = client.embeddings.create(model="vectors", input="the bell")
    assert answer.object == "list"
    assert answer.model == "vectors"
    [one] = answer.data
    assert (one.object, one.index) == ("embedding", 0)
    assert (np.float32(one.embedding) == expected(["the bell"])[0]).all()


@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_several_texts(client: Any, form: str | None) -> None:
    """Without a format the client asks for base64, and decodes it."""
    named = {} if form is None else {"encoding_format": form}
    answer = client.embeddings.create(model="vectors", input=TEXTS, **named)
    assert [one.index for one in answer.data] == [0, 1, 2, 3]
    found = [
        np.frombuffer(base64.b64decode(one.embedding), dtype="<f4")
        if isinstance(one.embedding, str)
        else np.array(one.embedding, dtype=np.float32)
        for one in answer.data
    ]
    assert isinstance(answer.data[0].embedding, str) == (form == "base64")
    assert (np.stack(found) == expected(TEXTS)).all()


def test_usage_counts_tokens(client: Any) -> None:
    tokenizer = vectors().tokenizer()
    lengths = [len(one) for one in tokenizer.encode(TEXTS, max_tokens=24)]
    for _ in range(2):  # computed, and from the cache
        usage = client.embeddings.create(model="vectors", input=TEXTS).usage
        assert usage.prompt_tokens == usage.total_tokens == sum(lengths)


def test_versions(client: Any) -> None:
    answer = client.embeddings.create(model="vectors/0", input="the bell")
    other = pipeline("sentence-embedding", other_vectors())("the bell")
    assert answer.model == "vectors/0"
    assert (np.float32(answer.data[0].embedding) == other).all()


def test_dimensions_must_be_the_models(client: Any) -> None:
    answer = client.embeddings.create(model="vectors", input="the bell", dimensions=4)
    assert len(answer.data[0].embedding) == 4
    with pytest.raises(openai.BadRequestError, match="have 4 dimensions, found 2") as refused:
        client.embeddings.create(model="vectors", input="the bell", dimensions=2)
    assert refused.value.param == "dimensions"


def test_user_is_taken(client: Any) -> None:
    assert client.embeddings.create(model="vectors", input="the bell", user="somebody").data


def test_asynchronous_client(server: Live) -> None:
    import asyncio

    async def ask() -> Any:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=60.0
        ) as client:
            return await asyncio.gather(
                *(client.embeddings.create(model="vectors", input=text) for text in TEXTS)
            )

    found = np.stack([np.float32(one.data[0].embedding) for one in asyncio.run(ask())])
    assert (found == expected(TEXTS)).all()


def test_models_are_listed(client: Any) -> None:
    """By the protocol `own`, in a form that this client reads too."""
    listed = client.models.list()
    assert [one.id for one in listed] == ["vectors", "labels"], "those that the key may use"
    assert all(one.object == "model" and one.owned_by for one in listed)
    assert all(isinstance(one.created, int) for one in listed)
    assert client.models.retrieve("vectors").id == "vectors"


# Typed errors.


def test_no_key_and_unknown_keys(server: Live) -> None:
    with (
        client_of(server, "guessed") as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.embeddings.create(model="vectors", input="the bell")
    assert refused.value.code == "invalid_api_key"


def test_unknown_models(client: Any) -> None:
    for name in ("secreto", "vectors/9"):
        with pytest.raises(openai.NotFoundError) as refused:
            client.embeddings.create(model=name, input="the bell")
        assert refused.value.param == "model"
        assert refused.value.code == "model_not_found"


def test_a_key_for_other_models(client: Any) -> None:
    for named in ({}, {"dimensions": 5}):  # whose width is nobody else's business
        with pytest.raises(openai.PermissionDeniedError) as refused:
            client.embeddings.create(model="secret", input="the bell", **named)
        assert refused.value.code == "model_not_allowed"


def test_models_for_other_tasks(client: Any) -> None:
    for named in ({}, {"dimensions": 4}):
        with pytest.raises(openai.UnprocessableEntityError, match="text-classification"):
            client.embeddings.create(model="labels", input="the bell", **named)


def test_a_share_that_is_used_up(server: Live) -> None:
    with client_of(server, "a small share") as client:
        client.embeddings.create(model="vectors", input="the bell in the quiet harbour")
        with pytest.raises(openai.RateLimitError) as refused:
            client.embeddings.create(model="vectors", input="the quiet bell in the harbour")
    assert refused.value.code == "rate_limit_exceeded"
    assert int(refused.value.response.headers["retry-after"]) >= 1


def test_deadlines(client: Any) -> None:
    body = {"timeout_ms": 1e-6}
    with pytest.raises(openai.InternalServerError) as refused:
        client.embeddings.create(model="vectors", input="never asked before", extra_body=body)
    assert refused.value.status_code == 504
    assert refused.value.code == "timeout"
    body = {"timeout_ms": 30_000, "priority": "high"}
    assert client.embeddings.create(model="vectors", input="a quiet bell", extra_body=body).data


@pytest.mark.parametrize(
    ("body", "parameter", "message"),
    [
        (b"", None, "the body is empty"),
        (b"{", None, "no JSON"),
        ([], None, "must be an object"),
        ({"model": "vectors"}, None, "lacks the field 'input'"),
        ({"input": "a"}, None, "lacks the field 'model'"),
        (body_of(inputs="a"), None, "did you mean 'input'?"),
        (body_of(model=3), "model", "model must be a string"),
        (body_of(model="a b"), "model", "is no name of a model"),
        (body_of(model="a/"), "model", "is no name of a version"),
        (body_of(input=[]), "input", "input is empty"),
        (body_of(input=None), "input", "found null"),
        (body_of(input={"text": "a"}), "input", "found an object"),
        (body_of(input=[101, 102]), "input", "token ids"),
        (body_of(input=[[101, 102]]), "input", "token ids"),
        (body_of(input=["a", None]), "input", "input[1] must be a string, found null"),
        (body_of(input=["a", True]), "input", "input[1] must be a string, found a boolean"),
        (body_of(encoding_format="int8"), "encoding_format", "'float' or 'base64'"),
        (body_of(encoding_format=["float"]), "encoding_format", "'float' or 'base64'"),
        (body_of(dimensions=0), "dimensions", "must be from 1"),
        (body_of(dimensions="4"), "dimensions", "must be an integer"),
        (body_of(user=1), "user", "must be a string"),
        (body_of(timeout_ms=-1), "timeout_ms", "must be in 0 .."),
        (body_of(priority="urgent"), "priority", "is unknown"),
    ],
)
def test_bad_requests(server: Live, body: Any, parameter: str | None, message: str) -> None:
    status, answer = post(server, body)
    error = answer["error"]
    assert message in error["message"]
    assert status == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] == parameter
    assert set(answer) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}


def test_too_much(server: Live) -> None:
    status, answer = post(server, body_of(input=["a"] * 9))
    assert status == 413
    assert "at most 8" in answer["error"]["message"]
    assert post(server, body_of(input="a" * 2001))[0] == 413


def test_the_clients_own_errors(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="token ids") as refused:
        client.embeddings.create(model="vectors", input=[[1, 2, 3]])
    assert refused.value.param == "input"
