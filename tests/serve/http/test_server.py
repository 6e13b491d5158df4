"""Listening, draining, signals and reloads."""

from __future__ import annotations

import signal
import socket
import sys
import textwrap
from pathlib import Path

import pytest

from http_server import get, head_of, post, read_answer, running
from limbeck.errors import InputError
from limbeck.serve.http.server import address_of, hold, listen
from limbeck.serve.settings import LimitSettings
from processes import Process
from waiting import PATIENCE_S, until

TESTS = Path(__file__).resolve().parents[2]


def test_a_port_in_use_is_told():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}: Address already in use; end what"):
            listen("127.0.0.1", port)
        with pytest.raises(InputError, match="already in use"):
            hold("127.0.0.1", port)


def test_a_held_port_can_be_shared_but_not_taken():
    with hold("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with listen("127.0.0.1", port, shared=True), listen("127.0.0.1", port, shared=True):
            with pytest.raises(InputError):
                hold("127.0.0.1", port)
            with pytest.raises(InputError):
                listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1", "203.0.113.7"])
def test_an_address_that_is_not_ours_is_told(host):
    with pytest.raises(InputError, match=r"address|cannot listen"):
        listen(host, 0)


def test_addresses_as_in_urls():
    with listen("127.0.0.1", 0) as four:
        assert address_of(four) == f"127.0.0.1:{four.getsockname()[1]}"
    try:
        six = listen("::1", 0)
    except InputError:
        pytest.skip("no IPv6 here")
    with six:
        assert address_of(six) == f"[::1]:{six.getsockname()[1]}"


def test_draining_answers_what_is_in_flight_and_accepts_no_more():
    with running() as server, server.connect() as waits, server.connect() as idle:
        idle.sendall(get("/open"))
        read_answer(idle)
        waits.sendall(post("/v1/wait"))
        until(lambda: server.waiting == 1)
        server.stop()
        assert idle.recv(1) == b""  # closed, for nothing is asked on it
        until(lambda: server.drained == 1)
        until(lambda: refused(server.port))
        assert not server.over.is_set()
        server.go()
        answer = read_answer(waits)
        status, headers = head_of(answer)
        assert (status, headers["connection"]) == (200, "close")
        assert answer.endswith(b"waited")
        assert server.over.wait(PATIENCE_S)
        assert server.recorder.outcomes == ["answered", "answered"]


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return True
    return False


def test_in_the_time_of_grace_requests_are_still_answered():
    with running(LimitSettings(drain_grace_s=2.0)) as server:
        server.stop()
        until(lambda: server.front.draining)
        status, headers = head_of(server.send(get("/open")))
        assert (status, headers["connection"]) == (200, "close")
        until(lambda: server.drained == 1)


def test_whoever_is_not_done_in_time_is_told_so():
    with running(LimitSettings(drain_s=0.3)) as server, server.connect() as connection:
        connection.sendall(post("/v1/wait"))
        until(lambda: server.waiting == 1)
        server.stop()
        answer = read_answer(connection)
        assert head_of(answer)[0] == 503
        assert server.over.wait(PATIENCE_S)
        assert server.recorder.outcomes == ["unavailable"]
        assert server.cancelled == 1


SERVER = """
import asyncio, sys
sys.path.insert(0, {tests!r})
from http_server import Front, Keys, LimitSettings, Recorder, Running, Serving, listen, routes
import uvloop

async def main():
    running = Running()
    running.let_go = asyncio.Event()
    reloads = 0
    async def reload():
        nonlocal reloads
        reloads += 1
        print("reload", reloads, flush=True)
        if reloads == 2:
            raise ValueError("a bad file")
    listening = listen("127.0.0.1", 0)
    limits = LimitSettings(drain_s=1000)
    front = Front(routes(running), limits=limits, keys=Keys(()))
    serving = Serving([(front, listening)], limits=limits, on_reload=reload, on_drain=lambda: None)
    task = asyncio.create_task(serving.run())
    await asyncio.sleep(0)
    print("port", listening.getsockname()[1], flush=True)
    await task
    print("drained", flush=True)

uvloop.run(main())
"""


@pytest.fixture
def process():
    code = textwrap.dedent(SERVER.format(tests=str(TESTS)))
    with Process(sys.executable, "-c", code, interruptible=True) as started:
        yield started, int(started.read_until("port").split()[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_and_leaves_with_0(process, number):
    server, _ = process
    assert server.end(number) == 0
    assert server.lines[1:] == ["drained\n"]


def test_the_second_signal_leaves_at_once(process):
    server, port = process
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(post("/v1/wait"))
        server.send(signal.SIGTERM)
        until(lambda: refused(port))
        assert server.alive
        assert server.end() == 128 + signal.SIGTERM


def test_hangup_reloads_and_a_failed_reload_changes_nothing(process):
    server, port = process
    for number in (1, 2, 3):
        server.send(signal.SIGHUP)
        server.read_until(f"reload {number}")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(get("/open"))
        assert head_of(read_answer(connection))[0] == 200
    assert server.end() == 0
    assert "a bad file" in server.said
