"""Runs against a real server: every fault is counted once, and a slow server cannot hide."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httptools")

from limbeck.errors import InputError, TargetError
from limbeck.loadtest import (
    UNIQUE,
    Arrivals,
    Even,
    Outcome,
    Plan,
    Poisson,
    Progress,
    Request,
    Result,
    Target,
    run,
)
from trial_server import Asked, Reply, Server, serve


def two_predictions(body: bytes) -> bool:
    return body.count(b"[") == 2


def plan(
    server: Server,
    *,
    arrivals: Arrivals | None = None,
    request: Request | None = None,
    **options: Any,
) -> Plan:
    asked = request or Request(path="/classify", body=b'{"text": "a"}', check=two_predictions)
    return Plan(
        target=Target(url=server.url, requests=[asked]),
        arrivals=arrivals or Even(rate=50),
        duration_s=options.pop("duration_s", 1.0),
        timeout_s=options.pop("timeout_s", 20.0),
        check_every=1,
        **options,
    )


def adds_up(result: Result) -> None:
    counts = result.counts
    assert counts.sent == (
        counts.in_time
        + counts.late
        + counts.refused
        + counts.timed_out
        + counts.errors
        + counts.unfinished
    )


def test_a_good_server_answers_everything() -> None:
    with serve(Reply(headers=(("Server-Timing", 'tokenize;dur=0.5, queue;desc="q";dur=2'),))) as s:
        result = run(plan(s, arrivals=Poisson(rate=100)))
    adds_up(result)
    assert result.counts.sent == result.counts.in_time == result.planned == len(s.asked)
    assert result.counts.share_in_time == 1.0
    assert (result.interrupted, result.stopped) == (False, False)
    assert result.by_kind == {}
    assert s.connections < len(s.asked) / 2  # they are kept and used again
    assert result.lateness_ms.size == result.counts.sent
    assert (result.lateness_ms >= 0).all()
    assert (result.answered_ms > 0).all()
    assert {name: float(v[0]) for name, v in result.phases.items()} == {
        "tokenize": 0.5,
        "queue": 2.0,
    }
    assert result.phases["queue"].size == result.counts.sent
    first = s.asked[0]
    assert (first.method, first.path, first.body) == ("POST", "/classify", b'{"text": "a"}')
    assert first.headers["host"] == f"127.0.0.1:{s.port}"
    assert first.headers["content-type"] == "application/json"


FAULTS: dict[str, tuple[Reply, str, str]] = {
    "refused 429": (
        Reply(status=429, body=b'{"error": "full"}', headers=(("Retry-After", "1"),)),
        "refused",
        "status 429",
    ),
    "refused 503": (Reply(status=503), "refused", "status 503"),
    "504": (Reply(status=504), "timed_out", "status 504"),
    "500": (Reply(status=500, body=b"oops"), "errors", "status 500"),
    "404": (Reply(status=404), "errors", "status 404"),
    "hang": (Reply(action="hang"), "timed_out", "no answer within the client's patience"),
    "close": (Reply(action="close"), "errors", "connection closed before the answer"),
    "cut": (Reply(action="cut"), "errors", "connection closed within the answer"),
    "garbage": (Reply(action="garbage"), "errors", "the answer is not HTTP/1.1"),
    "wrong": (Reply(body=b'{"predictions": []}'), "errors", "wrong answer"),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_every_fault_is_counted_once(name: str) -> None:
    """Every third request meets the fault; the others are answered."""
    reply, outcome, kind = FAULTS[name]
    with serve(lambda _, number: reply if number % 3 == 0 else Reply()) as s:
        result = run(plan(s, timeout_s=1.5 if name == "hang" else 20.0))
    adds_up(result)
    assert result.counts.sent == 50
    assert getattr(result.counts, outcome) == 17, result.by_kind
    assert result.counts.in_time == 33
    assert result.by_kind == {kind: 17}
    assert result.counts.share_in_time == pytest.approx(33 / 50)
    assert not result.meets(0.99)
    if name == "refused 429":
        assert result.samples.retry_after == 17
        assert result.samples.examples["status 429"] == '{"error": "full"}'
        assert result.refused_ms.size == 17
    if name == "500":
        assert result.samples.examples["status 500"] == "oops"


def test_answers_after_the_deadline_are_late() -> None:
    request = Request(path="/", body=b"{}", deadline_ms=40)
    with serve(lambda _, number: Reply(delay_s=0.1 if number % 2 else 0.0)) as s:
        result = run(plan(s, request=request))
    adds_up(result)
    assert result.counts.late >= 25
    assert result.counts.in_time + result.counts.late == 50
    assert result.latency_ms(100) >= 100
    outcome = result.samples.outcome
    assert (result.samples.latency_ms[outcome == Outcome.IN_TIME] <= 40).all()
    assert (result.samples.latency_ms[outcome == Outcome.LATE] > 40).all()


def test_a_stall_is_felt_by_all_who_came_in_it() -> None:
    """One second without answers at 100/s: a client that waits would see one slow request."""
    stalled = threading.Event()
    with serve() as s:

        def behave(_: Asked, number: int) -> Reply:
            if number == 50 and not stalled.is_set():
                stalled.set()
                s.stall(1.0)
            return Reply()

        s.behave = behave
        result = run(plan(s, arrivals=Even(rate=100), duration_s=2.5))
    adds_up(result)
    assert result.counts.in_time == 250
    slow_ms = result.samples.latency_ms
    assert 45 <= (slow_ms > 500).sum() <= 150
    assert (slow_ms > 250).sum() >= 70
    # Latency falls by the gap from request to request: each waited for the end of the stall.
    begin = int(np.argmax(slow_ms > 500))
    falling = np.diff(slow_ms[begin : begin + 40].astype(float))
    assert abs(float(np.median(falling)) + 10.0) < 3.0


def test_requests_leave_on_time_while_the_server_hangs() -> None:
    with serve(Reply(action="hang")) as s:
        result = run(plan(s, arrivals=Even(rate=40), timeout_s=2.0))
    assert len(s.asked) == 40  # none waited for another's answer
    assert s.connections == 40 + 1  # the first only looks whether somebody is there
    assert result.counts.timed_out == 40
    assert np.isnan(result.latency_ms(50))


def test_the_warm_up_is_sent_and_not_counted() -> None:
    def behave(_: Asked, number: int) -> Reply:
        return Reply(status=500) if number < 20 else Reply()

    with serve(behave) as s:
        result = run(plan(s, arrivals=Even(rate=40), warmup_s=0.5))
    assert len(s.asked) == 60
    assert result.counts.sent == result.counts.in_time == 40
    assert result.samples.scheduled_s[0] >= 0.5


def test_no_connection_left_makes_a_run_void() -> None:
    with serve(Reply(action="hang")) as s:
        result = run(plan(s, timeout_s=2.0, max_connections=5))
    adds_up(result)
    assert result.by_kind["no connection left in the generator"] == 45
    assert result.counts.timed_out == 5
    assert any("ran out of connections" in reason for reason in result.void)


def test_connections_that_the_server_closes_make_room_for_others() -> None:
    with serve(Reply(action="until_close")) as s:
        result = run(plan(s, arrivals=Even(rate=20), max_connections=4))
    assert result.counts.in_time == 20
    with serve(Reply(action="close")) as s:
        result = run(plan(s, arrivals=Even(rate=20), max_connections=4))
    assert result.by_kind == {"connection closed before the answer": 20}


def test_a_run_that_is_lost_ends_early() -> None:
    with serve(Reply(status=503)) as s:
        result = run(plan(s, duration_s=120.0, stop_when_lost=0.01))
    adds_up(result)
    assert result.stopped
    assert 61 <= len(s.asked) < 2000
    assert result.counts.sent < result.planned == 6000
    assert not result.meets(0.0)


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    with serve(Reply(action="until_close")) as s:
        result = run(plan(s))
    assert result.counts.in_time == 50
    assert s.connections == 50 + 1


def test_each_sending_has_a_number_of_its_own() -> None:
    request = Request(path="/", body=b'{"id": "' + UNIQUE.encode() + b'"}')
    with serve() as s:
        run(plan(s, request=request))
    bodies = {asked.body for asked in s.asked}
    assert len(bodies) == 50
    assert all(len(body) == len(b'{"id": ""}') + 16 for body in bodies)


def test_several_processes_send_the_same_schedule() -> None:
    with serve(Reply(headers=(("Server-Timing", "total;dur=1"),))) as s:
        result = run(plan(s, arrivals=Poisson(rate=80), processes=2, warmup_s=0.5))
        alone = run(plan(s, arrivals=Poisson(rate=80), warmup_s=0.5))
    adds_up(result)
    np.testing.assert_array_equal(result.samples.scheduled_s, alone.samples.scheduled_s)
    assert result.counts == alone.counts
    assert result.phases["total"].size == result.counts.sent


def test_several_processes_end_early_together() -> None:
    with serve(Reply(status=503)) as s:
        result = run(plan(s, duration_s=120.0, stop_when_lost=0.01, processes=2))
    adds_up(result)
    assert result.stopped
    assert result.counts.sent < 3000


def test_niceness_is_asked_for_and_given_back() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with serve() as s:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, before - 1)
        except PermissionError:
            with pytest.raises(InputError, match="run it as root"):
                run(plan(s, nice=-1))
            return
        os.setpriority(os.PRIO_PROCESS, 0, before)
        seen: list[int] = []
        run(plan(s, nice=-1), lambda _: seen.append(os.getpriority(os.PRIO_PROCESS, 0)))
    assert set(seen) == {before - 1}
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_progress_is_told() -> None:
    told: list[Progress] = []
    with serve() as s:
        run(plan(s), told.append)
    assert told
    assert told[-1].planned == 50
    assert told[-1].sent <= 50


def test_metrics_are_read_while_the_run_goes_on() -> None:
    def behave(asked: Asked, _: int) -> Reply:
        return Reply(body=b"limbeck_saturation 0.5\n") if asked.path == "/metrics" else Reply()

    with serve(behave) as s:
        result = run(plan(s, duration_s=1.3, watch="/metrics"))
    assert result.counts.in_time == 65
    assert {body for _, body in result.samples.metrics} == {b"limbeck_saturation 0.5\n"}


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = taken.getsockname()[1]
        target = Target(url=f"http://127.0.0.1:{port}", requests=[Request()])
        with pytest.raises(TargetError, match=r"no server can be reached at .* port"):
            run(Plan(target=target, arrivals=Even(rate=1), duration_s=1))


def test_a_server_that_goes_away() -> None:
    """Its port closes within the run: what comes after is refused by the system."""
    with serve() as s:
        gone = threading.Timer(0.5, lambda: s.loop.call_soon_threadsafe(s.close))
        gone.start()
        result = run(plan(s, duration_s=1.5))
    adds_up(result)
    assert result.counts.in_time >= 1
    assert result.by_kind["connection refused"] >= 1
    assert set(result.by_kind) <= {"connection refused", "connection closed before the answer"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:8080", "not a URL"),
        ("ftp://x", "not a URL"),
        ("http://", "not a URL"),
        ("http://x:99999", "not a URL"),
        ("http://key@x", "keys go into a header"),
        ("http://x/?a=b", "host, port and path alone"),
    ],
)
def test_urls_that_are_none(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Target(url=url, requests=[Request()])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Request(path="x"), "begin with /"),
        (lambda: Request(path="/a b"), "no spaces"),
        (lambda: Request(headers=(("A", "b\r\nC: d"),)), "cannot be sent"),
        (lambda: Request(headers=(("A", "ü"),)), "beyond ASCII"),
        (lambda: Request(deadline_ms=0), "deadline"),
    ],
)
def test_requests_that_cannot_be_sent(make: Callable[[], Request], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
