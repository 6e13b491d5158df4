"""Slow, broken, greedy and vanishing clients, on real sockets."""

from __future__ import annotations

import socket
import time

import pytest

from http_server import body_of, get, head_of, post, read_answer, running
from limbeck.serve.settings import LimitSettings
from waiting import until

QUICK = LimitSettings(header_timeout_s=0.3, read_timeout_s=0.3, idle_timeout_s=0.3)


def closed(connection: socket.socket) -> bool:
    """Whether the server ends the connection, whatever it still says."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


def test_a_slow_head_is_told_and_closed():
    with running(QUICK) as server, server.connect() as connection:
        connection.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: te")
        answer = read_answer(connection)
        assert head_of(answer)[0] == 408
        assert body_of(answer)["error"]["code"] == "slow_client"
        assert closed(connection)


def test_a_head_that_drips_is_not_given_more_time():
    with running(QUICK) as server, server.connect() as connection:
        began = time.monotonic()
        try:
            for byte in b"GET /v1/echo HTTP/1.1\r\n" + b"X-A: b\r\n" * 10_000:
                connection.sendall(bytes([byte]))
                time.sleep(0.02)
                if time.monotonic() - began > 30:
                    pytest.fail("it is still listening")
        except (BrokenPipeError, ConnectionResetError):
            pass


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n"])
def test_a_connection_that_says_nothing_is_closed(sent):
    with running(QUICK) as server, server.connect() as connection:
        connection.sendall(sent)
        assert connection.recv(1) == b""


def test_an_idle_connection_is_closed_and_newlines_do_not_keep_it():
    with running(QUICK) as server, server.connect() as connection:
        connection.sendall(get("/open"))
        assert head_of(read_answer(connection))[0] == 200
        connection.sendall(b"\r\n")
        assert connection.recv(1) == b""


def test_a_slow_body_is_told_and_closed():
    with running(QUICK) as server, server.connect() as connection:
        connection.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc")
        answer = read_answer(connection)
        status, headers = head_of(answer)
        assert status == 408
        assert headers["connection"] == "close"
        connection.close()
        until(lambda: server.recorder.outcomes == ["slow_client"])


def test_the_body_in_pieces_is_whole():
    with running() as server, server.connect() as connection:
        body = bytes(range(256)) * 40
        request = post("/v1/echo", body)
        for start in range(0, len(request), 997):
            connection.sendall(request[start : start + 997])
            time.sleep(0.001)
        assert read_answer(connection).endswith(body)


def test_a_chunked_body_is_whole():
    request = b"POST /v1/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    with running() as server:
        answer = server.send(request + b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n")
        assert answer.endswith(b"abcdefg")


@pytest.mark.parametrize("announced", [True, False])
def test_a_giant_body_is_refused_before_it_is_read_and_the_answer_arrives(announced):
    limits = LimitSettings(body_bytes=1000)
    with running(limits) as server, server.connect() as connection:
        if announced:
            connection.sendall(
                b"POST /v2/models/a/infer HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n"
            )
            connection.sendall(b"x" * 300_000)
        else:
            connection.sendall(
                b"POST /v2/models/a/infer HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            for _ in range(300):
                connection.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        answer = read_answer(connection)
        assert head_of(answer)[0] == 413
        assert "1000 bytes" in body_of(answer)["other"]
        connection.close()
        until(lambda: server.recorder.outcomes == ["too_large"])
        assert server.bodies == []


@pytest.mark.parametrize("more", [(), ("Connection: close",)])
def test_an_answer_that_nobody_takes_is_dropped(more):
    limits = LimitSettings(body_bytes=64 << 20, idle_timeout_s=0.3)
    with running(limits) as server:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(post("/v1/echo", b"x" * (32 << 20), *more))
        until(lambda: server.recorder.outcomes == ["answered"])
        until(lambda: server.serving.connections == 0)
        connection.close()


def test_an_answer_that_is_taken_slowly_arrives():
    limits = LimitSettings(body_bytes=64 << 20, idle_timeout_s=1.0)
    body = b"x" * (32 << 20)
    with running(limits) as server, server.connect() as connection:
        connection.sendall(post("/v1/echo", body))
        taken = 0
        for _ in range(12):  # longer than the limit in all, but something is taken each time
            time.sleep(0.25)
            taken += len(connection.recv(1 << 20))
        while taken < len(body):
            more = connection.recv(1 << 20)
            assert more, taken
            taken += len(more)


def test_other_transfer_encodings_are_refused():
    request = b"POST /v1/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    with running() as server:
        answer = server.send(request + b"3\r\nabc\r\n0\r\n\r\n")
        assert head_of(answer)[0] == 400


def test_the_largest_allowed_body_is_taken():
    with running(LimitSettings(body_bytes=1000)) as server:
        assert head_of(server.send(post("/v1/echo", b"x" * 1000)))[0] == 200
        assert head_of(server.send(post("/v1/echo", b"x" * 1001)))[0] == 413


def test_expect_continue_is_answered_only_where_the_body_is_wanted():
    head = (
        b"POST /v1/echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    )
    with running(LimitSettings(body_bytes=10)) as server:
        with server.connect() as connection:
            connection.sendall(head % 3)
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
            connection.sendall(b"abc")
            assert read_answer(connection).endswith(b"abc")
        with server.connect() as connection:
            connection.sendall(head % 11)
            assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"what is this\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 5000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", 431),
    ],
)
def test_what_is_no_request_gets_an_answer_in_json_and_the_door(sent, status):
    with running(LimitSettings(header_bytes=2000)) as server, server.connect() as connection:
        connection.sendall(sent)
        answer = read_answer(connection)
        assert head_of(answer)[0] == status
        assert "code" in body_of(answer)["error"]
        assert closed(connection)
        assert server.recorder.all == []


def test_an_endless_field_is_cut_off():
    with running(LimitSettings(header_bytes=2000)) as server, server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nA: ")
        try:
            for _ in range(10_000):
                connection.sendall(b"a" * 1000)
        except (BrokenPipeError, ConnectionResetError):
            return
        pytest.fail("ten megabytes of one field were taken")


def test_a_body_that_breaks_its_own_framing_has_an_outcome():
    request = b"POST /v1/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    with running() as server, server.connect() as connection:
        connection.sendall(request + b"3\r\nabc\r\n")
        until(lambda: server.recorder.count == 1)
        connection.sendall(b"zz\r\n")
        assert head_of(read_answer(connection))[0] == 400
        until(lambda: server.recorder.outcomes == ["bad_request"])


def test_a_client_that_leaves_in_its_body_is_gone():
    with running() as server:
        with server.connect() as connection:
            connection.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nab")
            until(lambda: server.recorder.count == 1)
        until(lambda: server.recorder.outcomes == ["gone"])


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_client_that_leaves_while_it_waits_takes_its_request_back(how):
    with running() as server, server.connect() as stays:
        leaves = server.connect()
        for connection in (leaves, stays):
            connection.sendall(post("/v1/wait"))
        until(lambda: server.waiting == 2)
        if how == "reset":
            leaves.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how == "half":
            leaves.shutdown(socket.SHUT_WR)
        else:
            leaves.close()
        until(lambda: server.recorder.outcomes == ["gone"])
        assert server.cancelled == 1
        leaves.close()
        server.go()
        assert read_answer(stays).endswith(b"waited")
        until(lambda: server.recorder.outcomes == ["gone", "answered"])


def test_requests_on_one_connection_one_after_another():
    with running() as server, server.connect() as connection:
        for number in range(20):
            body = b"%d" % number
            connection.sendall(post("/v1/echo", body))
            assert read_answer(connection).endswith(body)
        until(lambda: len(server.recorder.all) == 20)


def test_requests_sent_at_once_are_answered_in_order():
    with running() as server, server.connect() as connection:
        bodies = [b"<%d>" % number for number in range(50)]
        connection.sendall(b"".join(post("/v1/echo", body) for body in bodies))
        data = b""
        while data.count(b"HTTP/1.1 200 ") < 50 or not data.endswith(bodies[-1]):
            more = connection.recv(1 << 16)
            assert more
            data += more
        places = [data.index(body) for body in bodies]
        assert places == sorted(places)


def test_rubbish_behind_a_request_does_not_harm_its_answer():
    with running() as server, server.connect() as connection:
        connection.sendall(post("/v1/wait") + b"rubbish\r\n\r\n")
        until(lambda: server.waiting == 1)
        server.go()
        answer = read_answer(connection)
        assert head_of(answer)[0] == 200
        assert answer.count(b"HTTP/1.1") == 1
        assert closed(connection)


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_a_wish_for_another_protocol_is_ignored_and_the_body_kept(protocol):
    upgrade = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAM")
    with running() as server, server.connect() as connection:
        connection.sendall(post("/v1/echo", b"the body", *upgrade))
        assert read_answer(connection).endswith(b"the body")
        request = post("/v1/echo", b"in pieces", *upgrade)
        for byte in request:
            connection.sendall(bytes([byte]))
        assert read_answer(connection).endswith(b"in pieces")
        connection.sendall(get("/open", *upgrade))
        assert head_of(read_answer(connection))[0] == 200


def test_http_1_0_is_answered_and_closed():
    with running() as server, server.connect() as connection:
        connection.sendall(b"GET /open HTTP/1.0\r\n\r\n")
        assert head_of(read_answer(connection))[0] == 200
        assert closed(connection)


def test_beyond_the_limit_of_connections_only_probes_are_answered():
    with running(LimitSettings(connections=2)) as server:
        held = [server.connect() for _ in range(2)]
        for connection in held:
            connection.sendall(post("/v1/wait"))
        until(lambda: server.waiting == 2)
        answer = server.send(get("/v1/echo"))
        status, headers = head_of(answer)
        assert status == 503
        assert headers["retry-after"] == "1"
        assert head_of(server.send(get("/open")))[0] == 200
        server.go()
        for connection in held:
            assert read_answer(connection).endswith(b"waited")
            connection.close()
        until(lambda: server.serving.connections == 0)
        assert head_of(server.send(get("/v1/echo")))[0] == 200


def test_far_beyond_the_limit_of_connections_they_are_closed():
    with running(LimitSettings(connections=2)) as server:
        held = [server.connect() for _ in range(80)]
        until(lambda: server.serving.connections <= 66)
        assert closed(held[-1])
        for connection in held:
            connection.close()
        until(lambda: server.serving.connections == 0)
        assert head_of(server.send(get("/open")))[0] == 200
