"""Texts -> requests in the shape of a protocol, and what an answer to each looks like."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from limbeck.errors import InputError
from limbeck.loadtest.target import UNIQUE, Check, Request

Protocol = Literal["own", "classic", "oip", "openai", "hf", "decision", "raw"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
# Texts are repeated up to so many requests, so that a mix has its shares.
_LEAST_OF_A_MIX = 1000


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A deadline and a priority, and how often they come, relative to the others.

    priority: a class by name, or a whole number as text.
    """

    deadline_ms: float | None = None
    priority: str | None = None
    weight: float = 1.0

    @property
    def name(self) -> str:
        parts = [] if self.deadline_ms is None else [f"{self.deadline_ms:g} ms"]
        parts += [] if self.priority is None else [f"priority {self.priority}"]
        return ", ".join(parts) or "no deadline"


def variants(deadlines: str | None, priorities: str | None) -> tuple[Variant, ...]:
    """Every pair of two mixes written as `250`, `50,250` or `50:1,250:3` (value:weight).

    Raises:
        InputError: a mix that cannot be read.
    """
    found = []
    for deadline, first in _mix(deadlines, "deadline"):
        for priority, second in _mix(priorities, "priority"):
            try:
                deadline_ms = None if deadline is None else float(deadline)
            except ValueError:
                raise InputError(f"{deadline!r} is no deadline in milliseconds") from None
            if deadline_ms is not None and not 0 < deadline_ms < float("inf"):
                raise InputError(f"a deadline must be positive, found {deadline} ms")
            found.append(Variant(deadline_ms=deadline_ms, priority=priority, weight=first * second))
    return tuple(found)


def _mix(text: str | None, what: str) -> list[tuple[str | None, float]]:
    if text is None:
        return [(None, 1.0)]
    mix: list[tuple[str | None, float]] = []
    for part in text.split(","):
        value, _, weight = part.strip().partition(":")
        try:
            share = float(weight) if weight else 1.0
        except ValueError:
            share = -1.0
        if not value or not 0 < share < float("inf"):
            raise InputError(f"{text!r} is no mix such as 50:1,250:3 ({what}:weight)")
        mix.append((value, share))
    if len({value for value, _ in mix}) < len(mix):
        raise InputError(f"{text!r} names a {what} twice")
    return mix


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How texts become requests.

    rows: texts in each. unique: put a number that no request had before in front of the first
    text, so that no cache knows it. deadline_header: carries the deadline where the body does
    not. path, body: of `raw`; the body is JSON in which the text "{text}" becomes the text (a
    list of texts where rows > 1), within a longer text too, "{id}" a number of its own and
    "{deadline_ms}" the deadline.

    Raises:
        InputError: what the protocol needs is not there, or cannot be said in it.
    """

    protocol: Protocol = "own"
    model: str | None = None
    path: str | None = None
    body: str | None = None
    rows: int = 1
    unique: bool = False
    headers: Sequence[tuple[str, str]] = ()
    deadline_header: str | None = "X-Request-Timeout-Ms"

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise InputError(f"protocol {self.protocol!r} is not one of {', '.join(PROTOCOLS)}")
        if self.protocol in ("own", "oip", "openai"):
            if self.model is None:
                raise InputError(f"protocol {self.protocol} names a model: give --model NAME")
            if self.protocol != "openai" and not re.fullmatch(r"[\w.\-]{1,128}", self.model):
                raise InputError(f"{self.model!r} is not the name of a model")
        raw = self.protocol == "raw"
        if raw and (self.path is None or self.body is None):
            raise InputError("protocol raw needs --path and --body")
        if not raw and self.body is not None:
            raise InputError("--body is for --protocol raw")
        if self.rows < 1:
            raise InputError(f"a request has at least one row, found {self.rows}")
        if self.rows > 1 and self.protocol == "decision":
            raise InputError("a decision is about one text: --rows 1")
        if raw and self.unique and "{id}" in (self.body or ""):
            raise InputError('a body with "{id}" differs every time already: leave --unique out')
        if raw:
            self._template()

    def _template(self) -> Any:
        try:
            parsed = json.loads(self.body or "")
        except (ValueError, RecursionError) as error:
            raise InputError(f"--body is not JSON: {error}") from None
        if "{text}" not in json.dumps(parsed):
            raise InputError('--body has no "{text}" where the text goes')
        return parsed

    def requests(self, texts: Sequence[str], mix: Sequence[Variant], seed: int) -> list[Request]:
        """One request for each text (for each `rows` of them, going round), with the variants in
        their shares.

        Raises:
            InputError: a priority that the protocol cannot carry.
        """
        if any(each.priority is not None for each in mix) and self.protocol not in ("own", "oip"):
            raise InputError(f"protocol {self.protocol} has no priority: own and oip have")
        count = len(texts) if len(mix) == 1 else max(len(texts), _LEAST_OF_A_MIX)
        chosen = _shares(mix, count, seed)
        check = AnswerCheck(protocol=self.protocol, rows=self.rows)
        return [
            self._request(
                [texts[(n * self.rows + k) % len(texts)] for k in range(self.rows)],
                chosen[n],
                check,
            )
            for n in range(count)
        ]

    def _request(self, texts: list[str], variant: Variant, check: Check) -> Request:
        if self.unique:
            texts = [f"{UNIQUE} {texts[0]}", *texts[1:]]
        path, body = self._filled(texts, variant)
        headers = list(self.headers)
        inside = self.protocol in ("own", "oip") or "{deadline_ms}" in (self.body or "")
        if variant.deadline_ms is not None and self.deadline_header and not inside:
            headers.append((self.deadline_header, f"{variant.deadline_ms:g}"))
        return Request(
            method="POST",
            path=path,
            headers=tuple(headers),
            body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
            check=None if self.protocol == "raw" else check,
            deadline_ms=variant.deadline_ms,
            group=variant.name,
            rows=self.rows,
        )

    def _filled(self, texts: list[str], variant: Variant) -> tuple[str, Any]:
        some: str | list[str] = texts[0] if self.rows == 1 else texts
        deadline_ms, priority = variant.deadline_ms, variant.priority
        match self.protocol:
            case "own":
                body: dict[str, Any] = {"inputs": some}
                if deadline_ms is not None:
                    body["timeout_ms"] = _plain(deadline_ms)
                if priority is not None:
                    body["priority"] = int(priority) if priority.isdecimal() else priority
                return self.path or f"/v1/models/{self.model}/predict", body
            case "classic":
                return self.path or "/classify", {"text": some}
            case "oip":
                parameters: dict[str, Any] = {}
                if deadline_ms is not None:
                    parameters["timeout"] = max(1, round(deadline_ms * 1e3))  # microseconds
                if priority is not None:
                    if not priority.isdecimal():
                        raise InputError(f"oip has priorities by number, not {priority!r}")
                    parameters["priority"] = int(priority)
                tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
                body = {"parameters": parameters} if parameters else {}
                return self.path or f"/v2/models/{self.model}/infer", {**body, "inputs": [tensor]}
            case "openai":
                return self.path or "/v1/embeddings", {"model": self.model, "input": some}
            case "hf":
                return self.path or "/", {"inputs": some}
            case "decision":
                context: dict[str, Any] = {
                    "transactionId": "load" if self.unique else UNIQUE,
                    "attributes": {"listingDescription": texts[0]},
                }
                return self.path or "/decision", {"transactionContext": context}
            case "raw":
                assert self.path is not None
                return self.path, _fill(self._template(), some, deadline_ms)


def _plain(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def _fill(node: Any, text: str | list[str], deadline_ms: float | None) -> Any:
    """The template with its places filled, whatever its shape."""
    if isinstance(node, dict):
        return {key: _fill(value, text, deadline_ms) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, text, deadline_ms) for value in node]
    if not isinstance(node, str):
        return node
    if node == "{text}":
        return text
    if node == "{deadline_ms}":
        return None if deadline_ms is None else _plain(deadline_ms)
    joined = text if isinstance(text, str) else "\n".join(text)
    # One pass: a text that has "{id}" in it stays as it is.
    return re.sub(r"\{(text|id)\}", lambda m: joined if m[1] == "text" else UNIQUE, node)


def _shares(mix: Sequence[Variant], count: int, seed: int) -> list[Variant]:
    """So many variants, each as often as its weight says (largest remainders), shuffled."""
    total = sum(each.weight for each in mix)
    exact = [count * each.weight / total for each in mix]
    whole = [int(each) for each in exact]
    by_rest = sorted(range(len(mix)), key=lambda n: whole[n] - exact[n])
    for n in by_rest[: count - sum(whole)]:
        whole[n] += 1
    found = [variant for variant, times in zip(mix, whole, strict=True) for _ in range(times)]
    random.Random(seed).shuffle(found)
    return found


@dataclass(frozen=True, kw_only=True)
class AnswerCheck:
    """Does a body with status 200 look like an answer of the protocol, with all rows in it?"""

    protocol: Protocol
    rows: int

    def __call__(self, body: bytes) -> bool:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return False
        if isinstance(answer, dict) and answer.get("error") is not None:
            return False
        match self.protocol:
            case "classic":
                return isinstance(answer, dict) and self._full(answer.get("predictions"))
            case "openai":
                return isinstance(answer, dict) and self._full(answer.get("data"))
            case "oip":
                return isinstance(answer, dict) and self._tensors(answer.get("outputs"))
            case "decision":
                return isinstance(answer, dict) and isinstance(answer.get("probabilityScore"), str)
            case "hf":
                return isinstance(answer, list | dict) and bool(answer)
            case _:
                return isinstance(answer, dict) and bool(answer)

    def _full(self, rows: Any) -> bool:
        return isinstance(rows, list) and len(rows) == self.rows

    def _tensors(self, outputs: Any) -> bool:
        if not isinstance(outputs, list) or not outputs:
            return False
        return all(
            isinstance(each, Mapping)
            and isinstance(each.get("shape"), list)
            and each["shape"][:1] == [self.rows]
            for each in outputs
        )
