"""Bytes <-> JSON where a file may be hostile: one meaning, bounded depth, finite numbers."""

from __future__ import annotations

import json
import math
import reprlib
from typing import Any, NoReturn

import numpy as np

from limbeck.artifact.format import MAX_JSON_DEPTH
from limbeck.errors import ArtifactError

# No float64 needs more than 25 characters, and the exact decimal of a common fraction takes 57.
# A number of a million digits would cost the parser quadratic time.
_MAX_NUMBER_CHARS = 100
_MAX_INTEGER_BITS = 256

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 100


def shown(value: object) -> str:
    """repr() for messages, cut where a hostile file would make it endless."""
    return _short.repr(value)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {shown(key)} appears twice in one object")
            seen.add(key)
    return found


def _float(text: str) -> float:
    value = float(text) if len(text) <= _MAX_NUMBER_CHARS else math.inf
    if not math.isfinite(value):
        raise ValueError(f"the number {shown(text)} is out of range")
    return value


def _int(text: str) -> int:
    if len(text) > _MAX_NUMBER_CHARS:
        raise ValueError(f"the number {shown(text)} is out of range")
    return int(text)


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _depth(data: bytes) -> int:
    """Deepest nesting of arrays and objects.

    Exact up to the first syntax error, behind which no parser goes. Counting first keeps the
    parser's recursion bounded whatever the interpreter's own limit is set to.
    """
    if data.count(b"[") + data.count(b"{") <= MAX_JSON_DEPTH:
        return 0
    outside = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    text = np.frombuffer(b"".join(outside), dtype=np.uint8)
    opened = (text == ord("[")) | (text == ord("{"))
    closed = (text == ord("]")) | (text == ord("}"))
    steps = opened.astype(np.int8) - closed.astype(np.int8)
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))


def parse_object(data: bytes, *, what: str, max_bytes: int) -> dict[str, Any]:
    """Parse a JSON object; `what` names it in messages.

    Raises:
        ArtifactError: not UTF-8, not JSON, no object, a key twice, deeper than MAX_JSON_DEPTH,
            longer than `max_bytes`, or a number that is not finite.
    """
    if len(data) > max_bytes:
        raise ArtifactError(f"{what} has {len(data)} bytes; at most {max_bytes} are allowed")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{what} is not UTF-8 at byte {error.start}") from None
    if _depth(data) > MAX_JSON_DEPTH:
        raise ArtifactError(f"{what} nests deeper than {MAX_JSON_DEPTH} levels")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_float=_float,
            parse_int=_int,
            parse_constant=_constant,
        )
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{what} is damaged: {error}") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{what} must hold a JSON object, found {shown(value)}")
    if b"\\u" in data:
        try:
            canonical(value)
        except UnicodeEncodeError:
            raise ArtifactError(f"{what} holds half of a surrogate pair in a string") from None
    return value


def canonical(value: Any) -> bytes:
    """The one byte string of a JSON value: keys sorted, no spaces, UTF-8.

    Raises:
        UnicodeEncodeError: a string holds half of a surrogate pair.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8")


def checked_value(value: Any, where: str, depth: int = 0) -> Any:
    """A copy of `value` made of JSON's own types; tuples become lists.

    Raises:
        ArtifactError: naming the place of the first value that JSON cannot hold.
    """
    if depth > MAX_JSON_DEPTH - 2:  # the value sits inside a document
        raise ArtifactError(f"{where} nests too deep to be stored")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ArtifactError(f"{where} holds half of a surrogate pair") from None
        return str(value)
    if isinstance(value, int):
        if value.bit_length() > _MAX_INTEGER_BITS:
            raise ArtifactError(f"{where} is too large a number")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ArtifactError(f"{where} is {value}, which JSON cannot hold")
        return float(value)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ArtifactError(f"{where} has the key {key!r}; keys must be strings")
        return {
            checked_value(key, f"a key of {where}"): checked_value(
                item, f"{where}.{key}", depth + 1
            )
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [
            checked_value(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)
        ]
    raise ArtifactError(
        f"{where} is of type {type(value).__name__}, which JSON cannot hold; "
        "convert it to a string, a number, a list or a dict"
    )
