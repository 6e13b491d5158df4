"""Requests of all kinds in a fixed order: what many clients send over a long time."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_WORDS = (
    *("a", "quiet", "flat", "near", "the", "station", "with", "garden", "view", "of", "river"),
    *("call", "me", "at", "noon", "never", "again"),
)
MODEL = "soak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request. expected: the statuses that it may get, None for none. leaves: the client does
    not wait.
    """

    path: str
    body: bytes
    expected: tuple[int | None, ...]
    leaves: bool = False


def requests(seed: int = 0) -> Iterator[Sent]:
    """Without end. Lengths are mixed as those of real texts are: most short, a few very long."""
    luck = random.Random(seed)
    common = [_text(luck) for _ in range(50)]
    for number in itertools.count():
        yield _one(luck, common, number)


def _one(luck: random.Random, common: list[str], number: int) -> Sent:
    kind = luck.random()
    own = f"/v1/models/{MODEL}/predict"
    # Some are asked again and again; those come from the cache.
    text = luck.choice(common) if luck.random() < 0.4 else _text(luck)
    if kind < 0.55:
        return _json(own, {"inputs": text})
    if kind < 0.65:
        return _json("/classify", {"text": [text, *(_text(luck) for _ in range(3))]})
    if kind < 0.75:
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
        return _json(f"/v2/models/{MODEL}/infer", {"id": str(number), "inputs": [tensor]})
    if kind < 0.80:
        context = {"transactionId": f"t{number}", "attributes": {"listingDescription": text}}
        return _json("/decision", {"transactionContext": context})
    if kind < 0.84:
        return _json(own, {"inputs": text, "parameters": {"top_k": None}, "priority": "low"})
    if kind < 0.86:
        # Some are too quick to be left.
        return _json(own, {"inputs": text}, None, 200, 503, leaves=True)
    if kind < 0.88:
        # In time or not, as it happens.
        return _json(own, {"inputs": text, "timeout_ms": 0.5}, 200, 429, 504)
    return _bad(luck, number, own, text)


def _bad(luck: random.Random, number: int, own: str, text: str) -> Sent:
    kinds = (
        Sent(path=own, body=b'{"inputs": "half', expected=(400,)),
        Sent(path=own, body=b"\xff\xfe", expected=(400,)),
        _json(own, {"inputs": number}, 400, 422),
        _json(own, {"inputs": text, "unknown": 1}, 400, 422),
        _json(f"/v1/models/none{number}/predict", {"inputs": text}, 404),
        _json(f"/nothing/{number}", {}, 404),
        _json(own, {"inputs": ["a"] * 2000}, 413),
    )
    return luck.choice(kinds)


def _text(luck: random.Random) -> str:
    words = min(400, int(luck.lognormvariate(2.3, 1.0)) + 1)
    return " ".join(luck.choices(_WORDS, k=words)) + f" {luck.getrandbits(40)}"


def _json(path: str, body: Any, *expected: int | None, leaves: bool = False) -> Sent:
    data = json.dumps(body).encode()
    return Sent(path=path, body=data, expected=expected or (200,), leaves=leaves)
