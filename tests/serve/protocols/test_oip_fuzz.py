"""Whatever bytes come, the route of the protocol answers or refuses, and nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fake_model import FakeModel
from limbeck.serve.protocols import oip, oip_binary
from limbeck.serve.protocols.base import Call, Context, Reply
from limbeck.serve.refused import RefusedError
from served import serving

Send = Callable[[bytes, str | None], Coroutine[Any, Any, Reply]]


@asynccontextmanager
async def route() -> AsyncIterator[Send]:
    async with serving({"labels": FakeModel}, limits={"rows": 4, "characters": 500}) as service:
        context = Context(service=service, settings=service.settings)
        [found] = [one for one in oip.routes(context) if one.path == "/v2/models/{name}/infer"]

        async def send(body: bytes, header: str | None) -> Reply:
            headers = {} if header is None else {oip_binary.HEADER.lower(): header}
            call = Call(
                method="POST",
                path={"name": "labels"},
                query={},
                headers=headers,
                body=body,
                arrived_s=time.monotonic(),
            )
            try:
                return await found.handle(call)
            except RefusedError as refused:
                return found.error(refused)

        yield send


@pytest.fixture(scope="module")
def send() -> Iterator[Callable[[bytes, str | None], Reply]]:
    with asyncio.Runner() as runner:
        opened = route()
        sending = runner.run(opened.__aenter__())
        yield lambda body, header: runner.run(sending(body, header))
        runner.run(opened.__aexit__(None, None, None))


def request(data: bytes, count: int, size: int, output: bool) -> bytes:
    tensor = {
        "name": "text",
        "shape": [count],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": size},
    }
    parameters = {"binary_data_output": output}
    return json.dumps({"inputs": [tensor], "parameters": parameters}).encode()


TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=5)


@settings(deadline=None)
@given(TEXTS, st.integers(-3, 3), st.integers(-1, 5), st.binary(max_size=6), st.booleans())
@example(["a"], 0, 1, b"", True)
def test_damaged_bytes(
    send: Any, texts: list[str], off: int, count: int, more: bytes, output: bool
) -> None:
    data = oip_binary.write(texts) + more
    size = len(data) + off
    head = request(data, count, size, output)
    reply = send(head + data, str(len(head)))
    right = off == 0 and count == len(texts) and 1 <= count <= 4 and not more
    if right:
        assert reply.status == 200
        assert (reply.content_type == "application/octet-stream") == output
        head_size = int(dict(reply.headers)[oip_binary.HEADER]) if output else len(reply.body)
        outputs = json.loads(reply.body[:head_size])["outputs"]
        behind = sum(o["parameters"]["binary_data_size"] for o in outputs if output)
        assert head_size + behind == len(reply.body)
        assert outputs[0]["shape"] == [count, 3]
    elif reply.status == 200:
        # More bytes can be an element, and so a request that is right in another way.
        assert off == 0
        assert len(oip_binary.read_strings(data, count, "")) == count
    else:
        assert reply.status in (400, 413)
        assert set(json.loads(reply.body)) == {"error"}


@settings(deadline=None)
@given(st.binary(max_size=80), st.none() | st.integers(0, 90).map(str) | st.text(max_size=5))
def test_any_bytes(send: Any, body: bytes, header: str | None) -> None:
    reply = send(body, header)
    assert reply.status == 400
    assert set(json.loads(reply.body)) == {"error"}


WHOLE = request(b"", 1, 5, True)


@settings(deadline=None)
@given(st.integers(0, len(WHOLE)), st.integers(0, 255), st.integers(-2, 2))
def test_a_request_with_one_wrong_byte(send: Any, place: int, byte: int, off: int) -> None:
    head = WHOLE[:place] + bytes([byte]) + WHOLE[place + 1 :]
    data = oip_binary.write(["a"])
    reply = send(head + data, str(len(head) + off))
    assert reply.status in (200, 400, 413, 422)
