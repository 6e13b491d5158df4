"""The Open Inference Protocol, spoken by NVIDIA's own client and by hand."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fake_model import LABELS, FakeModel
from limbeck import __version__
from limbeck.pipeline import pipeline
from limbeck.serve.protocols import oip, oip_binary
from limbeck.serve.request import PRIORITIES
from limbeck.spec import Threshold
from live_server import ADMIN_KEY, Live, key, live

triton: Any = pytest.importorskip("tritonclient.http")
InferenceServerException: Any = pytest.importorskip("tritonclient.utils").InferenceServerException

TEXTS = ["the bell", "a quiet harbour", "", "zwölf \N{BELL}"]
KEY = "someone's key"
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}


class Spans(FakeModel):
    """Two scores a token, as question answering has them."""

    def forward(self, *args: Any, **named: Any) -> Any:
        return super().forward(*args, **named)[:, 1:]


def threshold() -> Threshold:
    return Threshold(label="leak", value=0.4, false_alarm_rate=0.01)


MODELS = {
    "plain": lambda: FakeModel("text-classification"),
    "judge": lambda: FakeModel("text-classification", threshold=threshold()),
    "twins": lambda: FakeModel("text-classification", labels=("a", "b", "a")),
    "tags": lambda: FakeModel("token-classification", labels=("O", "B-KEY", "I-KEY")),
    "asks": lambda: Spans("question-answering", labels=("start", "end")),
    "states": lambda: FakeModel("feature-extraction"),
    "vectors": lambda: FakeModel("sentence-embedding", pooling=("mean", "max"), normalize=True),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live([oip], MODELS, keys=[], limits={"rows": 8, "characters": 2000}) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Live) -> Iterator[Any]:
    with triton.InferenceServerClient(server.address) as client:
        yield client


@pytest.fixture(scope="module")
def admin(server: Live) -> Iterator[Any]:
    with triton.InferenceServerClient(server.admin) as client:
        yield client


def tensor(name: str, texts: list[str], *, binary: bool = True, column: bool = False) -> Any:
    array = np.array(texts, dtype=object)
    if column:
        array = array[:, None]
    made = triton.InferInput(name, list(array.shape), "BYTES")
    return made.set_data_from_numpy(array, binary_data=binary)


def expected(name: str, inputs: Any, **options: Any) -> Any:
    model = MODELS[name]()
    return pipeline(model.spec.task.task, model)(inputs, **options)


def in_order(rows: list[list[dict[str, Any]]]) -> npt.NDArray[np.float32]:
    scores = [{one["label"]: one["score"] for one in row} for row in rows]
    return np.array([[row[label] for label in LABELS] for row in scores], dtype=np.float32)


def post(server: Live, path: str, body: bytes, **headers: str) -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection(server.address, timeout=60)
    connection.request("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    return answer.status, json.loads(read), dict(answer.getheaders())


def infer(server: Live, model: str, body: Any, **headers: str) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answer, _ = post(server, f"/v2/models/{model}/infer", raw, **headers)
    return status, answer


def one_input(**fields: Any) -> dict[str, Any]:
    return {
        "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["the bell"]}],
        **fields,
    }


# What a client asks before it asks a model.


def test_server_says_what_it_is(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    about = client.get_server_metadata()
    assert about["name"] == "limbeck"
    assert about["version"] == __version__
    assert about["extensions"] == ["binary_tensor_data", "parameters", "schedule_policy"]


def test_a_draining_server_is_live_and_not_ready() -> None:
    with (
        live([oip], {"plain": MODELS["plain"]}) as server,
        triton.InferenceServerClient(server.address) as client,
    ):
        assert client.is_server_ready()
        server.do(server.service.drain)
        assert client.is_server_live()
        assert not client.is_server_ready()
        with pytest.raises(InferenceServerException) as refused:
            client.infer("plain", [tensor("text", ["a"])])
        assert refused.value.status() == "503"


def test_models_say_what_they_take_and_give(client: Any) -> None:
    assert client.get_model_metadata("plain") == {
        "name": "plain",
        "versions": ["1"],
        "platform": "limbeck",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "scores", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ],
    }
    assert [one["name"] for one in client.get_model_metadata("asks")["inputs"]] == [
        "question",
        "context",
    ]
    [embedding] = client.get_model_metadata("vectors", "1")["outputs"]
    assert embedding == {"name": "embedding", "datatype": "FP32", "shape": [-1, 8]}
    assert client.is_model_ready("plain")
    assert client.is_model_ready("plain", "1")
    assert not client.is_model_ready("plain", "2")
    assert not client.is_model_ready("nothing")
    with pytest.raises(InferenceServerException, match="there is no model 'nothing'") as refused:
        client.get_model_metadata("nothing")
    assert refused.value.status() == "404"


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"twins"}))
def test_answers_are_as_described(client: Any, name: str) -> None:
    """Whatever the metadata promises is there, with its datatype and shape."""
    about = client.get_model_metadata(name)
    inputs = [tensor(one["name"], ["the bell", "harbour"]) for one in about["inputs"]]
    answer = client.infer(name, inputs).get_response()
    assert [one["name"] for one in answer["outputs"]] == [one["name"] for one in about["outputs"]]
    for given, promised in zip(answer["outputs"], about["outputs"]):
        assert given["datatype"] == promised["datatype"]
        assert len(given["shape"]) == len(promised["shape"])
        assert given["shape"][0] == 2
        for size, declared in zip(given["shape"], promised["shape"]):
            assert declared in (-1, size)


def test_probes_do_not_count_as_use(server: Live, client: Any) -> None:
    hosted = server.do(lambda: server.service.models.ready("plain"))
    # Long ago: the loop's clock may stand still for a millisecond.
    hosted.used_s = 0.0
    assert client.is_model_ready("plain")
    assert hosted.used_s == 0.0
    client.infer("plain", [tensor("text", ["a"])])
    assert hosted.used_s > 0.0


# Answers.


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True, None])
def test_classification(
    client: Any, binary_in: bool, binary_out: bool | None, column: bool
) -> None:
    outputs = None
    if binary_out is not None:
        outputs = [
            triton.InferRequestedOutput(name, binary_data=binary_out)
            for name in ("label", "scores")
        ]
    answer = client.infer(
        "plain",
        [tensor("text", TEXTS, binary=binary_in, column=column)],
        outputs=outputs,
        request_id="mine",
    )
    rows = expected("plain", TEXTS, top_k=None)
    scores = answer.as_numpy("scores")
    assert scores.dtype == np.float32
    assert (scores == in_order(rows)).all()
    labels = [one.decode() if binary_out is not False else one for one in answer.as_numpy("label")]
    assert labels == [row[0]["label"] for row in rows]
    response = answer.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == (
        "mine",
        "plain",
        "1",
    )
    names = [one["name"] for one in response["outputs"]]
    assert names == (["scores", "label"] if outputs is None else ["label", "scores"])


def test_pairs(client: Any) -> None:
    seconds = ["harbour", "", "bell", "a quiet bell"]
    answer = client.infer("plain", [tensor("text_pair", seconds), tensor("text", TEXTS)])
    pairs = [{"text": a, "text_pair": b} for a, b in zip(TEXTS, seconds)]
    assert (answer.as_numpy("scores") == in_order(expected("plain", pairs, top_k=None))).all()


def test_decisions(client: Any) -> None:
    answer = client.infer("judge", [tensor("text", TEXTS)])
    rows = expected("judge", TEXTS, decide=True)
    assert answer.as_numpy("decision").tolist() == [row["decision"] for row in rows]
    as_json = client.infer(
        "judge",
        [tensor("text", TEXTS)],
        outputs=[triton.InferRequestedOutput("decision", binary_data=False)],
    )
    assert as_json.as_numpy("decision").tolist() == [row["decision"] for row in rows]
    assert as_json.as_numpy("scores") is None


def test_entities(client: Any) -> None:
    answer = client.infer("tags", [tensor("text", TEXTS)])
    found = [json.loads(one) for one in answer.as_numpy("entities")]
    rows = expected("tags", TEXTS)
    assert sum(map(len, rows)) > 0
    assert [[one["word"] for one in row] for row in found] == [
        [one["word"] for one in row] for row in rows
    ]
    grouped = client.infer(
        "tags", [tensor("text", TEXTS)], parameters={"aggregation_strategy": "simple"}
    )
    assert "entity_group" in json.loads(grouped.as_numpy("entities")[0])[0]


def test_answers_to_questions(client: Any) -> None:
    questions, contexts = ["the bell", "harbour"], ["a quiet bell", " \t "]
    answer = client.infer("asks", [tensor("question", questions), tensor("context", contexts)])
    row = expected("asks", {"question": questions[0], "context": contexts[0]})
    assert answer.as_numpy("answer")[0].decode() == row["answer"]
    assert answer.as_numpy("score")[0] == np.float32(row["score"])
    assert answer.as_numpy("start")[0] == row["start"]
    assert answer.as_numpy("end")[0] == row["end"]
    # Blanks hold no answer.
    assert answer.as_numpy("answer")[1] == b""
    assert answer.as_numpy("score")[1] == 0


def test_hidden_states_are_padded(client: Any) -> None:
    answer = client.infer("states", [tensor("text", TEXTS)])
    states, mask = answer.as_numpy("last_hidden_state"), answer.as_numpy("attention_mask")
    rows = expected("states", TEXTS, return_tensors=True)
    assert states.shape[1] == max(row.shape[1] for row in rows)
    for row, padded, there in zip(rows, states, mask):
        assert there.sum() == row.shape[1]
        assert (padded[there == 1] == row[0]).all()
        assert (padded[there == 0] == 0).all()


def test_padding_is_bounded() -> None:
    models = {"states": MODELS["states"]}
    with live([oip], models, queue={"max_tokens": 40}) as server:
        long = "the bell in the quiet harbour of the bell"
        fields = {"name": "text", "datatype": "BYTES"}
        body = {"inputs": [{**fields, "shape": [8], "data": [long, *["a"] * 7]}]}
        status, answer = infer(server, "states", body)
        assert status == 413
        assert "padded to the longest text" in answer["error"]
        body = {"inputs": [{**fields, "shape": [8], "data": ["a"] * 8}]}
        assert infer(server, "states", body)[0] == 200


def test_embeddings(client: Any) -> None:
    answer = client.infer("vectors", [tensor("text", TEXTS)])
    assert (answer.as_numpy("embedding") == expected("vectors", TEXTS)).all()
    as_json = client.infer(
        "vectors",
        [tensor("text", TEXTS, binary=False)],
        outputs=[triton.InferRequestedOutput("embedding", binary_data=False)],
    )
    assert (as_json.as_numpy("embedding") == expected("vectors", TEXTS)).all()


def test_options_of_the_pipeline(client: Any) -> None:
    answer = client.infer(
        "plain", [tensor("text", TEXTS)], parameters={"function_to_apply": "none", "max_length": 3}
    )
    rows = expected("plain", TEXTS, top_k=None, function_to_apply="none", max_length=3)
    assert (answer.as_numpy("scores") == in_order(rows)).all()


def test_asynchronous_requests(client: Any) -> None:
    waiting = [client.async_infer("plain", [tensor("text", [text])]) for text in TEXTS]
    scores = np.concatenate([one.get_result().as_numpy("scores") for one in waiting])
    assert (scores == in_order(expected("plain", TEXTS, top_k=None))).all()


# Triton's parameters.


def test_priority_and_timeout_reach_the_service(
    server: Live, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    answer = server.service.answer

    async def noting(request: Any) -> Any:
        seen.append((request.priority, request.timeout_s))
        return await answer(request)

    monkeypatch.setattr(server.service, "answer", noting)
    inputs = [tensor("text", ["the bell"])]
    for priority in range(1, 5):
        client.infer("plain", inputs, priority=priority, timeout=2_500_000 * priority)
    client.infer("plain", inputs)
    client.infer("plain", inputs, priority=0, timeout=0)
    assert seen[:4] == [(i, 2.5 * (i + 1)) for i in range(4)]
    assert [priority for priority, _ in seen[:4]] == list(PRIORITIES.values())
    assert seen[4:] == [(None, None)] * 2
    assert infer(server, "plain", one_input(), x_request_timeout_ms="7000")[0] == 200
    assert seen[-1] == (None, 7.0)


def test_a_timeout_that_has_passed(client: Any) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer("plain", [tensor("text", ["never asked before"])], timeout=1)
    assert refused.value.status() == "504"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"priority": 5}, "'priority' must be in 0 .. 4"),
        ({"priority": "high"}, "must be an integer"),
        ({"priority": True}, "must be an integer"),
        ({"timeout": -1}, "'timeout' (microseconds) must be in 0 .. 600000000"),
        ({"timeout": 1e12}, "must be in 0 .. 600000000"),
        ({"timeout": "1"}, "must be a number"),
        ({"timeout": False}, "must be a number"),
        ({"sequence_id": 7}, "models here keep no state"),
        ({"binary_data_output": 1}, "must be true or false"),
        ({"top_k": 2}, "name those that you want in 'outputs'"),
        ({"decide": True}, "name those that you want in 'outputs'"),
    ],
)
def test_parameters_are_refused_by_name(
    server: Live, parameters: dict[str, Any], message: str
) -> None:
    status, answer = infer(server, "plain", one_input(parameters=parameters))
    assert status == 400
    assert message in answer["error"]
    assert set(answer) == {"error"}


def test_unknown_options_are_refused(server: Live) -> None:
    status, answer = infer(server, "plain", one_input(parameters={"colour": 1}))
    assert 400 <= status < 500
    assert "colour" in answer["error"]


# What is wrong with a request is said.


def changed(**fields: Any) -> dict[str, Any]:
    """A request whose one input is changed; a field that is None is left out."""
    request = one_input()
    made = request["inputs"][0] | fields
    request["inputs"] = [{k: v for k, v in made.items() if v is not None}]
    return request


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b"{", "no JSON"),
        (b"[]", "the body must be an object, found an array"),
        (b'{"inputs": [{"name": "\xff"}]}', "not UTF-8"),
        ({}, "lacks the field 'inputs'"),
        ({"inputs": []}, "inputs is empty"),
        ({"inputs": {}}, "inputs must be an array"),
        ({"inputs": ["a"]}, "inputs[0] must be an object"),
        (one_input(outptus=[]), "did you mean 'outputs'?"),
        (one_input(id=7), "id must be a string"),
        (one_input(parameters=[]), "parameters must be an object"),
        (changed(name=None), "lacks the field 'name'"),
        (changed(name=3), "inputs[0].name must be a string"),
        (changed(name="txt"), "no input 'txt'; did you mean 'text'?"),
        (changed(name="text_pair"), "the input 'text' is missing"),
        (changed(shape=None), "lacks the field 'shape'"),
        (changed(shape=[2]), "has 1 elements, but 2 by its shape"),
        (changed(shape=[]), "must be [B] or [B, 1], found 0 axes"),
        (changed(shape=[1, 2]), "must be in 1 .. 1, found 2"),
        (changed(shape=[1, 1, 1]), "found 3 axes"),
        (changed(shape=[0], data=[]), "must be from 1, found 0"),
        (changed(shape=[-1]), "must be from 1, found -1"),
        (changed(shape=[1.0]), "must be an integer"),
        (changed(shape=[True]), "must be an integer"),
        (changed(shape="1"), "must be an array"),
        (changed(datatype="INT64", data=[1]), "datatype 'BYTES', found 'INT64'; send texts"),
        (changed(datatype=None), "lacks the field 'datatype'"),
        (changed(data=None), "no data, and no binary_data_size"),
        (changed(data="the bell"), "must be an array, found a string"),
        (changed(data=[1]), "element 0 of input 'text' must be a string, found a number"),
        (changed(data=[["a"]]), "element 0 of input 'text' must be a string, found an array"),
        (changed(shape=[1, 1], data=[["a", "b"]]), "row 0 of input 'text' has 2 elements"),
        (changed(shape=[2, 1], data=[["a"], "b"]), "must be a string, found an array"),
        (changed(more=1), "no field 'more'"),
        (changed(parameters={"shared_memory_region": "a"}), "cannot have the parameter"),
        (changed(parameters={"content_type": "np"}), "can be 'str' only"),
        (changed(parameters={"binary_data_size": 3}), "has both data and a binary_data_size"),
        (
            changed(parameters={"binary_data_size": 3}, data=None),
            "says binary_data_size 3, and 0 bytes are left",
        ),
        (changed(parameters={"binary_data_size": -3}, data=None), "must be from 0"),
        (changed(parameters={"binary_data_size": "3"}, data=None), "must be an integer"),
        ({"inputs": [one_input()["inputs"][0]] * 2}, "the input 'text' is given twice"),
        (
            {
                "inputs": one_input()["inputs"]
                + changed(name="text_pair", shape=[2], data=["a", "b"])["inputs"]
            },
            "as many rows each, found 1 in 'text', 2 in 'text_pair'",
        ),
        (one_input(outputs={}), "outputs must be an array"),
        (one_input(outputs=["scores"]), "outputs[0] must be an object"),
        (one_input(outputs=[{}]), "lacks the field 'name'"),
        (one_input(outputs=[{"name": "score"}]), "no output 'score'; did you mean 'scores'?"),
        (one_input(outputs=[{"name": "decision"}]), "no output 'decision'"),
        (one_input(outputs=[{"name": "label"}] * 2), "is asked for twice"),
        (
            one_input(outputs=[{"name": "scores", "parameters": {"classification": 2}}]),
            "no field 'classification'",
        ),
        (
            one_input(outputs=[{"name": "scores", "parameters": {"binary_data": "yes"}}]),
            "must be true or false",
        ),
    ],
)
def test_bad_requests(server: Live, body: Any, message: str) -> None:
    status, answer = infer(server, "plain", body)
    assert message in answer["error"], answer
    assert set(answer) == {"error"}
    assert status == 400


def test_what_clients_add_is_taken(server: Live) -> None:
    body = changed(parameters={"content_type": "str"}) | {"outputs": [], "parameters": None}
    assert infer(server, "plain", body)[0] == 200


def test_too_much(server: Live) -> None:
    status, answer = infer(server, "plain", changed(shape=[9], data=["a"] * 9))
    assert (status, "at most 8" in answer["error"]) == (413, True)
    # Refused before anything is made of the shape.
    status, _ = infer(server, "plain", changed(shape=[2**40]))
    assert status == 413
    status, answer = infer(server, "plain", changed(data=["a" * 2001]))
    assert (status, "at most 2000" in answer["error"]) == (413, True)


def test_labels_without_order_are_refused(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="one name") as refused:
        client.infer("twins", [tensor("text", ["a"])])
    assert refused.value.status() == "422"


def test_errors_reach_the_client(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="no input 'txt'") as refused:
        client.infer("plain", [tensor("txt", ["a"])])
    assert refused.value.status() == "400"
    with pytest.raises(InferenceServerException, match="no output 'odd'"):
        client.infer("plain", [tensor("text", ["a"])], outputs=[triton.InferRequestedOutput("odd")])
    with pytest.raises(InferenceServerException, match="there is no model") as refused:
        client.infer("nothing", [tensor("text", ["a"])])
    assert refused.value.status() == "404"
    with pytest.raises(InferenceServerException, match="no version '2'"):
        client.infer("plain", [tensor("text", ["a"])], model_version="2")
    with pytest.raises(InferenceServerException, match="is no name of a model"):
        client.infer("no model", [tensor("text", ["a"])])


def test_compressed_bodies_are_refused(client: Any) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer("plain", [tensor("text", ["a"])], request_compression_algorithm="gzip")
    assert refused.value.status() == "415"
    # An answer that may be compressed need not be.
    asked = client.infer("plain", [tensor("text", ["a"])], response_compression_algorithm="gzip")
    assert asked.as_numpy("scores").shape == (1, 3)


def test_the_header_must_fit(server: Live) -> None:
    body = one_input()
    raw = json.dumps(body).encode()
    length = {"inference_header_content_length": str(len(raw))}
    assert infer(server, "plain", raw, **length)[0] == 200
    status, answer = infer(server, "plain", raw + b"more", **length)
    assert (status, "4 bytes behind the JSON belong to no input" in answer["error"]) == (400, True)
    status, answer = infer(server, "plain", raw, inference_header_content_length="99999")
    assert (status, oip_binary.HEADER in answer["error"]) == (400, True)


# Keys, and what is noted.


def test_keys_may_use_their_models_only() -> None:
    loaded: list[str] = []

    def model() -> FakeModel:
        loaded.append("other")
        return MODELS["plain"]()

    settings = {
        "models": [
            {"name": "plain", "path": "plain"},
            {"name": "other", "path": "other", "preload": False},
        ],
        "keys": [key(KEY, models=["plain"])],
    }
    with (
        live([oip], {"plain": MODELS["plain"], "other": model}, _settings(settings)) as server,
        triton.InferenceServerClient(server.address) as client,
    ):
        inputs = [tensor("text", ["a"])]
        with pytest.raises(InferenceServerException) as refused:
            client.infer("plain", inputs)
        assert refused.value.status() == "401"
        assert client.is_server_ready(), "probes need no key"
        client.infer("plain", inputs, headers=AUTHORIZED)
        for ask in (
            lambda: client.infer("other", inputs, headers=AUTHORIZED),
            lambda: client.get_model_metadata("other", headers=AUTHORIZED),
        ):
            with pytest.raises(InferenceServerException) as refused:
                ask()
            assert refused.value.status() == "403"
        assert not loaded, "who may not use a model does not load it"
        with pytest.raises(InferenceServerException) as refused:
            client.get_model_repository_index(headers=AUTHORIZED)
        assert refused.value.status() == "404", "the repository is on the admin port"


def _settings(values: dict[str, Any]) -> Any:
    from limbeck.serve.settings import Settings

    return Settings.model_validate(values)


def test_requests_are_noted(server: Live, client: Any) -> None:
    before = server.at_rest()
    client.infer("plain", [tensor("text", TEXTS)])
    [ended] = server.more_ended(before, 1)
    assert ended.protocol == "oip"
    assert ended.route == "/v2/models/{name}/infer"
    assert ended.noted["model"] == "plain"
    assert ended.noted["rows"] == len(TEXTS)
    assert ended.noted["tokens"] > len(TEXTS)


# The repository, on the admin port.


def test_repository() -> None:
    values = {
        "admin": {"port": 0, "sha256": "0" * 64},
        "models": [
            {"name": "plain", "path": "plain"},
            {"name": "plain", "path": "plain", "version": "2"},
            {"name": "late", "path": "late", "preload": False},
            {"name": "broken", "path": "broken", "preload": False},
        ],
    }

    def broken() -> FakeModel:
        raise ValueError("no such thing")

    models = {"plain": MODELS["plain"], "late": MODELS["plain"], "broken": broken}
    with (
        live([oip], models, _settings(values)) as server,
        triton.InferenceServerClient(server.admin) as admin,
        triton.InferenceServerClient(server.address) as client,
    ):
        with pytest.raises(InferenceServerException) as refused:
            admin.get_model_repository_index()
        assert refused.value.status() == "401"
        with pytest.raises(InferenceServerException):
            admin.load_model("late", headers=AUTHORIZED)

        assert "model_repository" in client.get_server_metadata()["extensions"]

        def states() -> dict[tuple[str, str], str]:
            listed = admin.get_model_repository_index(headers=ADMIN)
            return {(one["name"], one["version"]): one["state"] for one in listed}

        assert states() == {
            ("plain", "1"): "READY",
            ("plain", "2"): "READY",
            ("late", "1"): "UNAVAILABLE",
            ("broken", "1"): "UNAVAILABLE",
        }
        assert client.get_model_metadata("plain")["versions"] == ["1", "2"]
        assert not client.is_model_ready("late")
        admin.load_model("late", headers=ADMIN)
        assert states()["late", "1"] == "READY"
        assert client.is_model_ready("late")
        admin.unload_model("late", headers=ADMIN)
        assert not client.is_model_ready("late")
        admin.unload_model("late", headers=ADMIN, unload_dependents=True)

        with pytest.raises(InferenceServerException, match="no such thing") as refused:
            admin.load_model("broken", headers=ADMIN)
        assert refused.value.status() == "503"
        [reason] = [
            one["reason"]
            for one in admin.get_model_repository_index(headers=ADMIN)
            if one["name"] == "broken"
        ]
        assert "no such thing" in reason
        with pytest.raises(InferenceServerException, match="there is no model") as refused:
            admin.load_model("nothing", headers=ADMIN)
        assert refused.value.status() == "404"
        with pytest.raises(InferenceServerException, match="has no field 'config'"):
            admin.load_model("late", headers=ADMIN, config="{}")
        asked = _index(server, {"ready": True})
        assert [one["state"] for one in asked] == ["READY", "READY"]


def _index(server: Live, body: Any) -> Any:
    connection = http.client.HTTPConnection(server.admin, timeout=60)
    connection.request("POST", "/v2/repository/index", json.dumps(body), ADMIN)
    return json.loads(connection.getresponse().read())
