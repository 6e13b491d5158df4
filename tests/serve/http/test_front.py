"""The way of a request through the front: routes, keys, heads, and one outcome for each."""

from __future__ import annotations

import json
import re

import pytest

from http_server import Route, body_of, get, head_of, post, running
from limbeck.serve.http.keys import Keys, new_key
from limbeck.serve.http.words import plain
from limbeck.serve.protocols.base import Call, Reply
from limbeck.serve.request import Timing
from limbeck.serve.settings import KeySettings
from waiting import until


@pytest.fixture(scope="module")
def server():
    with running() as found:
        yield found


def last(server):
    count = server.recorder.count
    until(lambda: len(server.recorder.all) == count)
    return server.recorder.all[-1]


def test_placeholders_and_queries_are_decoded(server):
    answer = body_of(server.send(get("/v1/models/a%20%C3%A9/versions/2.1?x=%C3%A9&y=&x=2")))
    assert answer["path"] == {"name": "a é", "version": "2.1"}
    assert answer["query"] == {"x": "2", "y": ""}
    assert answer["client"] == "127.0.0.1"
    ended = last(server)
    assert (ended.route, ended.protocol) == ("/v1/models/{name}/versions/{version}", "own")
    assert (ended.outcome, ended.status, ended.client) == ("answered", 200, "127.0.0.1")


def test_percent_signs_in_a_static_path_count_as_what_they_stand_for(server):
    assert head_of(server.send(get("/%76%31/echo")))[0] == 200


@pytest.mark.parametrize(
    "path", ["/v1/models/%ff/versions/1", "/%ff", "/open?a=%ff", "/open?" + "&a=1" * 200]
)
def test_what_is_no_utf_8_or_too_much_is_refused(server, path):
    answer = server.send(get(path))
    assert head_of(answer)[0] == 400
    assert body_of(answer)["error"]["code"] == "bad_request"
    assert last(server).outcome == "bad_request"


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v1", "/v1/", "/v1/echo/", "//v1/echo", "/v1/models//versions/1", "/v1/../open"),
        *("/x", "/v1/models/a%2Fb/versions/1/more"),
    ],
)
def test_unknown_paths_are_told_in_json(server, path):
    answer = server.send(get(path))
    assert head_of(answer)[0] == 404
    assert body_of(answer)["error"]["code"] == "not_found"
    assert last(server).route == ""


def test_unknown_paths_are_told_in_the_words_of_the_nearest_protocol(server):
    assert "other" in body_of(server.send(get("/v2/nothing")))
    assert "error" in body_of(server.send(get("/v1/nothing")))


def test_other_methods_are_told_which_there_are(server):
    answer = server.send(get("/v1/echo", method="DELETE"))
    status, headers = head_of(answer)
    assert (status, headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    answer = server.send(get("/v2/models/a/infer"))
    assert head_of(answer)[0] == 405
    assert "other" in body_of(answer)
    assert last(server).outcome == "method_not_allowed"


def test_options_and_head(server):
    status, headers = head_of(server.send(get("/v1/refuse", method="OPTIONS")))
    assert (status, headers["allow"]) == (204, "OPTIONS, POST")
    assert head_of(server.send(get("*", method="OPTIONS")))[0] == 204
    with server.connect() as connection:
        connection.sendall(get("/v1/echo", method="HEAD") + get("/open"))
        data = b""
        while data.count(b'"method"') < 1:
            data += connection.recv(1 << 16)
        head, _, rest = data.partition(b"\r\n\r\n")
        assert int(head_of(head)[1]["content-length"]) > 0
        assert rest.startswith(b"HTTP/1.1 200")


def test_refusals_say_when_to_come_back(server):
    status, headers = head_of(server.send(post("/v1/refuse")))
    assert (status, headers["retry-after"]) == (429, "3")
    assert last(server).outcome == "overloaded"


def test_a_bug_is_not_told_but_logged(server, caplog):
    answer = server.send(post("/v1/bug", b"", "X-Request-Id: find-me"))
    assert head_of(answer)[0] == 500
    assert b"secret" not in answer
    assert "find-me" in body_of(answer)["error"]["message"]
    assert last(server).outcome == "failed"
    assert "a secret of ours" in caplog.text
    assert head_of(server.send(get("/open")))[0] == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_compressed_bodies_are_not_taken(server, encoding):
    answer = server.send(post("/v1/echo", b"\x1f\x8b", f"Content-Encoding: {encoding}"))
    status, headers = head_of(answer)
    assert (status, headers["accept-encoding"]) == (415, "identity")
    assert last(server).outcome == "unsupported_media"
    assert head_of(server.send(post("/v1/echo", b"x", "Content-Encoding: identity")))[0] == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("application/x-www-form-urlencoded", 200),  # what curl says of --data
        ("application/octet-stream", 200),
        ("application/problem+json", 200),
        ("", 200),
        ("multipart/form-data; boundary=x", 415),
        ("text/xml", 415),
        ("image/png", 415),
        ("no type at all", 415),
    ],
)
def test_what_calls_itself_something_else_than_json_is_not_taken(server, kind, status):
    answer = server.send(post("/v1/echo", b"x", f"Content-Type: {kind}"))
    assert head_of(answer)[0] == status
    assert last(server).outcome == ("answered" if status == 200 else "unsupported_media")


def test_request_ids_are_echoed_or_made(server):
    given = "a1B2-._:/+=@"
    answer = server.send(get("/open", f"X-Request-Id: {given}"))
    assert head_of(answer)[1]["x-request-id"] == given == body_of(answer)["request_id"]
    made = set()
    for bad in ("a b", "<script>", "x" * 129, "ä", ""):
        found = head_of(server.send(get("/open", f"X-Request-Id: {bad}")))[1]["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", found)
        made.add(found)
    assert len(made) == 5


def test_trace_contexts_are_echoed_where_they_are_well_formed(server):
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert head_of(server.send(get("/open", f"traceparent: {given}")))[1]["traceparent"] == given
    for bad in (given.upper(), given[:-1], "00-" + "0" * 32 + given[35:], "ff" + given[2:]):
        assert "traceparent" not in head_of(server.send(get("/open", f"traceparent: {bad}")))[1]


def test_where_the_time_went_is_told():
    def more(running):
        async def timed(call: Call) -> Reply:
            call.noted["timing"] = Timing(
                tokenize_s=0.001, queue_s=0.002, inference_s=0.0035, total_s=0.0075
            )
            return Reply(body=b"{}")

        fields = {"protocol": "own", "error": plain, "operation": {}}
        return [Route(method="GET", path="/timed", handle=timed, **fields)]

    with running(more=more) as server:
        headers = head_of(server.send(get("/timed")))[1]
        assert headers["server-timing"] == (
            "tokenize;dur=1.000, queue;dur=2.000, inference;dur=3.500, total;dur=7.500"
        )
        assert headers["x-limbeck-inference-ms"] == "3.500"
        assert headers["x-limbeck-total-ms"] == "7.500"


# Keys.


def settings_of(name, key, **more):
    from hashlib import sha256

    return KeySettings(name=name, sha256=sha256(key.encode()).hexdigest(), **more)


@pytest.fixture(scope="module")
def guarded():
    keys = [
        settings_of("one", "first", models=("a",), tokens_per_s=10.0),
        settings_of("boss", "second", scopes=("predict", "admin")),
    ]
    with running(keys=Keys(keys)) as found:
        yield found


@pytest.mark.parametrize("header", ["Authorization: Bearer first", "X-API-Key: first"])
def test_a_known_key_is_let_in_under_its_name(guarded, header):
    answer = guarded.send(get("/v1/echo", header))
    assert body_of(answer)["tenant"] == "one"
    assert last(guarded).tenant == "one"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Authorization: Bearer wrong",),
        ("Authorization: Bearer ",),
        ("Authorization: Basic first",),
        ("Authorization: first",),
        ("X-API-Key: firs",),
        ("X-API-Key: First",),
        ("X-API-Key: \xff\xfe",),
        ("X-API-Key: first", "X-API-Key: second"),
        ("X-API-Key: " + "x" * 10_000,),
    ],
)
def test_an_unknown_key_is_not(guarded, headers):
    with guarded.connect() as connection:
        lines = "\r\n".join(["GET /v1/echo HTTP/1.1", "Host: t", *headers])
        connection.sendall(lines.encode("latin-1") + b"\r\n\r\n")
        from http_server import read_answer

        answer = read_answer(connection)
    status, found = head_of(answer)
    assert (status, found["www-authenticate"]) == (401, "Bearer")
    assert b"first" not in answer
    assert last(guarded).outcome == "unauthorized"


def test_a_body_is_not_read_for_an_unknown_key(guarded):
    with guarded.connect() as connection:
        connection.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 401 ")


def test_scopes(guarded):
    assert head_of(guarded.send(post("/admin", b"", "X-API-Key: first")))[0] == 403
    assert last(guarded).outcome == "forbidden"
    assert head_of(guarded.send(post("/admin", b"", "X-API-Key: second")))[0] == 200
    assert head_of(guarded.send(get("/open")))[0] == 200


def test_without_keys_anybody_may_ask_but_nobody_administer(server):
    assert body_of(server.send(get("/v1/echo", "X-API-Key: any")))["tenant"] == ""
    assert head_of(server.send(post("/admin")))[0] == 401


def test_every_key_is_compared(monkeypatch):
    import hmac

    compared = []
    real = hmac.compare_digest

    def counted(one, other):
        compared.append(one)
        return real(one, other)

    monkeypatch.setattr("limbeck.serve.http.keys.hmac.compare_digest", counted)
    keys = Keys([settings_of(name, name) for name in ("a", "b", "c")])
    assert keys.tenant({"x-api-key": "a"}, "predict").name == "a"
    assert len(compared) == 3
    assert all(len(one) == 32 for one in compared)


def test_new_keys_are_long_random_and_fit_their_hash():
    from hashlib import sha256

    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    for key, digest in made:
        assert len(key) >= 43
        assert sha256(key.encode()).hexdigest() == digest


def test_the_answer_is_json(server):
    answer = server.send(get("/open"))
    assert head_of(answer)[1]["content-type"] == "application/json"
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["method"] == "GET"
