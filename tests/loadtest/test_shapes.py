"""Each protocol's requests as they leave, and which answers count."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("httptools")

from limbeck.errors import InputError
from limbeck.loadtest import UNIQUE, Request
from limbeck.loadtest.shapes import AnswerCheck, Shape, Variant, variants
from limbeck.loadtest.target import address, wire
from limbeck.loadtest.texts import Lengths, from_file, synthetic

TEXTS = ['a "flat"', "ünïcode 👋"]


def made(shape: Shape, variant: Variant | None = None) -> tuple[Request, Any]:
    request = shape.requests(TEXTS, (variant or Variant(),), seed=0)[0]
    return request, json.loads(request.body)


def test_own() -> None:
    variant = Variant(deadline_ms=250, priority="high")
    request, body = made(Shape(model="demo"), variant)
    assert (request.method, request.path) == ("POST", "/v1/models/demo/predict")
    assert body == {"inputs": TEXTS[0], "timeout_ms": 250, "priority": "high"}
    assert (request.deadline_ms, request.group) == (250, "250 ms, priority high")
    assert not request.headers  # the body says it
    _, body = made(Shape(model="demo", rows=2), Variant(priority="2", deadline_ms=0.5))
    assert body == {"inputs": TEXTS, "timeout_ms": 0.5, "priority": 2}


def test_classic_openai_and_hugging_face() -> None:
    request, body = made(Shape(protocol="classic"), Variant(deadline_ms=50))
    assert (request.path, body) == ("/classify", {"text": TEXTS[0]})
    assert request.headers == (("X-Request-Timeout-Ms", "50"),)
    request, _ = made(Shape(protocol="classic", deadline_header=None), Variant(deadline_ms=50))
    assert request.headers == ()
    request, body = made(Shape(protocol="openai", model="minilm", rows=2))
    assert (request.path, body) == ("/v1/embeddings", {"model": "minilm", "input": TEXTS})
    request, body = made(Shape(protocol="hf", headers=(("A", "b"),)))
    assert (request.path, body) == ("/", {"inputs": TEXTS[0]})
    assert request.headers == (("A", "b"),)


def test_open_inference_protocol() -> None:
    variant = Variant(deadline_ms=50, priority="1")
    request, body = made(Shape(protocol="oip", model="demo", rows=2), variant)
    assert request.path == "/v2/models/demo/infer"
    assert body == {
        "parameters": {"timeout": 50_000, "priority": 1},
        "inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": TEXTS}],
    }
    with pytest.raises(InputError, match="priorities by number"):
        made(Shape(protocol="oip", model="demo"), Variant(priority="high"))


def test_decisions_have_transactions_of_their_own() -> None:
    request, body = made(Shape(protocol="decision"))
    assert request.path == "/decision"
    assert body == {
        "transactionContext": {
            "transactionId": UNIQUE,
            "attributes": {"listingDescription": TEXTS[0]},
        }
    }
    sent = wire(request, address("http://h:1/base/"))
    first, second = sent.numbered(1), sent.numbered(2)
    assert first != second
    assert b"POST /base/decision HTTP/1.1\r\nHost: h:1\r\n" in first
    head, _, content = first.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(content)}".encode() in head
    assert json.loads(content)["transactionContext"]["transactionId"] == "0" * 15 + "1"
    with pytest.raises(InputError, match="one text"):
        Shape(protocol="decision", rows=2)


def test_raw_bodies_are_filled_wherever_the_places_are() -> None:
    shape = Shape(
        protocol="raw",
        path="/score",
        body='{"q": ["{text}", "say: {text}"], "n": 3, "id": "r-{id}", "ms": "{deadline_ms}"}',
    )
    request, body = made(shape, Variant(deadline_ms=80))
    said = "say: " + TEXTS[0]
    assert body == {"q": [TEXTS[0], said], "n": 3, "id": f"r-{UNIQUE}", "ms": 80}
    assert request.headers == ()  # the body has it
    assert request.check is None
    # What looks like a place within a text stays.
    found = shape.requests(["{id} {text}"], (Variant(),), 0)[0]
    assert json.loads(found.body)["q"] == ["{id} {text}", "say: {id} {text}"]


def test_unique_texts() -> None:
    _, body = made(Shape(protocol="classic", rows=2, unique=True))
    assert body == {"text": [f"{UNIQUE} {TEXTS[0]}", TEXTS[1]]}
    _, body = made(Shape(protocol="decision", unique=True))
    assert json.dumps(body).count(UNIQUE) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "grpc"}, "not one of own"),
        ({"protocol": "own"}, "--model"),
        ({"protocol": "own", "model": "../x"}, "not the name"),
        ({"protocol": "raw", "path": "/x"}, "--path and --body"),
        ({"protocol": "raw", "path": "/x", "body": "{"}, "not JSON"),
        ({"protocol": "raw", "path": "/x", "body": '{"a": 1}'}, "where the text goes"),
        ({"protocol": "classic", "body": "{}"}, "for --protocol raw"),
        ({"protocol": "classic", "rows": 0}, "at least one row"),
    ],
)
def test_shapes_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Shape(**options)


def test_a_priority_where_there_is_none() -> None:
    with pytest.raises(InputError, match="has no priority"):
        made(Shape(protocol="classic"), Variant(priority="1"))


def test_mixes_keep_their_shares_and_are_spread() -> None:
    mix = variants("50:1,250:3", "high,low:1")
    assert len(mix) == 4
    requests = Shape(model="m").requests(TEXTS, mix, seed=1)
    assert len(requests) == 1000
    counts = Counter(request.group for request in requests)
    assert counts["50 ms, priority high"] == counts["50 ms, priority low"] == 125
    assert counts["250 ms, priority high"] == counts["250 ms, priority low"] == 375
    halves = Counter(request.group for request in requests[:500])
    assert 30 < halves["50 ms, priority high"] < 95
    assert variants(None, None) == (Variant(),)


@pytest.mark.parametrize("text", ["", "x", "50:", "50:x", "50:0", "50,50", "-5", "nan"])
def test_mixes_that_are_none(text: str) -> None:
    if text == "50:":
        assert variants(text, None) == (Variant(deadline_ms=50),)
        return
    with pytest.raises(InputError):
        variants(text, None)


@pytest.mark.parametrize(
    ("protocol", "good", "bad"),
    [
        ("classic", '{"predictions": [[0.1], [0.9]]}', '{"predictions": [[0.1]]}'),
        ("openai", '{"data": [{}, {}]}', '{"data": [{}]}'),
        ("oip", '{"outputs": [{"shape": [2, 1]}]}', '{"outputs": [{"shape": [1]}]}'),
        ("own", '{"predictions": []}', '{"error": "no"}'),
        ("hf", "[[{}]]", "[]"),
    ],
)
def test_answers(protocol: Any, good: str, bad: str) -> None:
    check = AnswerCheck(protocol=protocol, rows=2)
    assert check(good.encode())
    for wrong in (bad.encode(), b"", b"<html>", b"\xff", b"7", b"[" * 100_000):
        assert not check(wrong), wrong[:20]


def test_a_decision_scores() -> None:
    check = AnswerCheck(protocol="decision", rows=1)
    assert check(b'{"probabilityScore": "1.0e-9"}')
    assert not check(b'{"probabilityScore": 0.5}')


def test_lengths_are_those_that_were_asked_for() -> None:
    def words(spec: str) -> list[int]:
        return [len(text.split()) for text in synthetic(400, Lengths(spec=spec), seed=5)]

    assert set(words("32")) == {32}
    assert set(words("8, 16,128")) == {8, 16, 128}
    found = words("8-12")
    assert set(found) == {8, 9, 10, 11, 12}
    drawn = sorted(words("lognormal:48:0.7"))
    assert 40 < drawn[200] < 57
    assert drawn[0] < 16 < 150 < drawn[-1]
    assert synthetic(3, Lengths(), 1) == synthetic(3, Lengths(), 1) != synthetic(3, Lengths(), 2)


@pytest.mark.parametrize("spec", ["", "0", "9-3", "a", "lognormal:0:1", "lognormal:5", "1,,2"])
def test_lengths_that_are_none(spec: str) -> None:
    with pytest.raises(InputError, match="lengths"):
        Lengths(spec=spec)


def test_texts_of_a_file(tmp_path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("id,description\n1,one\n2,\n3,three\n4,four\n", encoding="utf-8")
    assert from_file(path, at_most=3) == ["one", "three"]
    with pytest.raises(InputError, match="not there"):
        from_file(tmp_path / "no.csv")
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n")
    with pytest.raises(InputError, match="no texts to send"):
        from_file(empty)
