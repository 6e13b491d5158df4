"""Who asks, where a proxy stands between: the address that a trusted one names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from http_server import body_of, get, running
from limbeck.bench import soak
from limbeck.bench.soak_mix import MODEL
from serving_program import Program, ask
from waiting import until

# Letters are whole words; with what marks both ends.
TEXT, TOKENS = "a b", 4


@pytest.fixture(scope="module", params=["127.0.0.1", "127.0.0.0/8"])
def server(request):
    with running(trusted_proxies=[request.param, "10.0.0.0/8", "2001:db8::/32"]) as found:
        yield found


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7:4711"], "192.0.2.7"),
        (["[2001:db9::1]:4711"], "2001:db9::1"),
        # what a client writes itself stands before what the first trusted proxy adds
        (["6.6.6.6, 192.0.2.7, 10.1.2.3"], "192.0.2.7"),
        (["6.6.6.6", "192.0.2.7", "2001:db8::5"], "192.0.2.7"),
        # a client in the network of the proxies
        (["10.1.2.3"], "10.1.2.3"),
        ([""], "127.0.0.1"),
        ([], "127.0.0.1"),
        # no address, but what the proxy says: bounded, for it is kept and logged
        (["unknown"], "unknown"),
        (["x" * 5000], "x" * 64),
    ],
)
def test_the_last_address_that_is_no_proxys(server, forwarded, client):
    heads = [f"X-Forwarded-For: {value}" for value in forwarded]
    assert body_of(server.send(get("/open", *heads)))["client"] == client
    until(lambda: len(server.recorder.all) == server.recorder.count)
    assert server.recorder.all[-1].client == client


@pytest.mark.parametrize("trusted", [(), ("192.0.2.7",), ("10.0.0.0/8",)])
def test_nobody_else_is_believed(trusted):
    with running(trusted_proxies=trusted) as server:
        answer = server.send(get("/open", "X-Forwarded-For: 192.0.2.7"))
    assert body_of(answer)["client"] == "127.0.0.1"


def test_behind_a_proxy_each_client_has_its_share(
    program: Callable[..., Program], tmp_path: Path
) -> None:
    config = soak.write_config(tmp_path)
    told = config.read_text().replace("[server]", '[server]\ntrusted_proxies = ["127.0.0.1"]')
    config.write_text(f"{told}\n[rate]\ntokens_per_s = 0.001\nburst_tokens = {2 * TOKENS}\n")
    url = program("--config", config, "--port", "0").ready()

    def status(client: str) -> int:
        body = json.dumps({"inputs": TEXT}).encode()
        return ask(url, f"/v1/models/{MODEL}/predict", body, **{"X-Forwarded-For": client})[0]

    assert [status("192.0.2.1") for _ in range(3)] == [200, 200, 429]
    assert status("192.0.2.2") == 200
