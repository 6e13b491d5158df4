"""Bodies <-> JSON where the sender may be hostile: bounded depth, finite numbers, whole UTF-8.

A key that comes twice is tolerated and the last one counts, as in Python and in browsers: finding
out would cost every honest request a slower parser, and nothing before this parser decides by keys.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from limbeck.serve.refused import RefusedError


def parse(body: bytes, *, depth: int) -> Any:
    """The value of a JSON body. Integers beyond 64 bits come as float.

    Raises:
        RefusedError: bad_request: empty, not UTF-8, not JSON (NaN and infinities are none), or
            arrays and objects nested deeper than `depth`.
    """
    if not body or body.isspace():
        raise RefusedError("bad_request", "the body is empty; send a JSON value")
    if _too_deep(body, depth):
        raise RefusedError("bad_request", f"the JSON nests deeper than {depth} levels")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedError("bad_request", _reason(body, error)) from None


def dump(value: Any) -> bytes:
    """A value as JSON: built-in types, numpy arrays and scalars. Numbers that are none (NaN,
    infinities) become null; whoever must not say null checks before.
    """
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: Any) -> Any:
    """For what orjson does not know: arrays that do not lie in one piece, or of other types."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _too_deep(body: bytes, depth: int) -> bool:
    """Whether arrays and objects nest deeper; exact up to the first error of syntax, behind which
    no parser goes. Counting first spares us the parser's own recursion.
    """
    if body.count(b"[") + body.count(b"{") <= depth:
        return False
    outside = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    text = np.frombuffer(b"".join(outside), dtype=np.uint8)
    text = text[(text & 0xD9) == 0x59]  # the four brackets, and Y, [, ], _, {, }, y, DEL
    opened = (text == ord("[")) | (text == ord("{"))
    closed = (text == ord("]")) | (text == ord("}"))
    steps = opened.astype(np.int8) - closed.astype(np.int8)
    return bool(np.cumsum(steps, dtype=np.int32).max(initial=0) > depth)


def _reason(body: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as broken:
        return f"the body is not UTF-8 at byte {broken.start}"
    return f"the body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
