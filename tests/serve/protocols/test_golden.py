"""What clients rely on stays as it is, to the letter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from golden.serve.exchanges import FILES, exchange, models, read
from limbeck.serve.protocols import oip, openai
from live_server import Live, live

KEPT = [(name, one) for name in FILES for one in read(name)]


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live([oip, openai], models()) as server:
        yield server


@pytest.mark.parametrize(("name", "kept"), KEPT, ids=[f"{name} {o['name']}" for name, o in KEPT])
def test_answers_are_the_same_to_the_letter(server: Live, name: str, kept: dict[str, Any]) -> None:
    assert exchange(server.address, kept["request"]) == kept["answer"]


def test_the_files_hold_answers_and_refusals() -> None:
    for name in FILES:
        statuses = [one["answer"]["status"] for one in read(name)]
        assert statuses.count(200) >= 3
        assert {400, 404, 405} <= set(statuses)
