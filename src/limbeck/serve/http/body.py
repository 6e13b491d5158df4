"""The body of a request, read within its limits, or refused before more of it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from limbeck.serve.refused import RefusedError
from limbeck.serve.settings import LimitSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# How long, and for how many bytes, the rest of a refused body is read and thrown away. Closing at
# once would reset the connection, and the client could lose the answer that says why.
_LINGER_S = 2.0
_LINGER_BYTES = 64 << 20
_MAX_LENGTH_DIGITS = 18


# JSON and the names that it comes by: what curl says of --data, what browsers say of plain text,
# and binary tensors behind their JSON.
_CONTENT_TYPES = frozenset(
    {
        "application/json",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "binary/octet-stream",
        "text/json",
        "text/plain",
    }
)


class GoneError(Exception):
    """The client left before its request was whole."""


def expects_body(headers: Mapping[str, str]) -> bool:
    """Whether a request of HTTP/1.1 with this head has a body."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


async def read(receive: Receive, headers: Mapping[str, str], limits: LimitSettings) -> bytes:
    """The whole body.

    Raises:
        RefusedError: too_large, slow_client, bad_request, unsupported_media (compressed, or of a
            Content-Type that is none of JSON's).
        GoneError: the client left.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind not in _CONTENT_TYPES and not kind.endswith("+json"):
        raise RefusedError(
            "unsupported_media", f"Content-Type {kind[:80]!r} is not taken; send application/json"
        )
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise RefusedError(
            "unsupported_media", f"Content-Encoding {encoding[:40]!r} is not taken; send it plain"
        )
    if headers.get("transfer-encoding", "chunked").strip().lower() != "chunked":
        raise RefusedError("bad_request", "of Transfer-Encoding only 'chunked' is taken")
    length = headers.get("content-length", "").lstrip("0")
    if length.isdecimal() and (len(length) > _MAX_LENGTH_DIGITS or int(length) > limits.body_bytes):
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.read_timeout_s):
            parts, size, more = [], 0, True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                part: bytes = message.get("body", b"")
                parts.append(part)
                size += len(part)
                if size > limits.body_bytes:
                    raise _too_large(limits)
                more = message.get("more_body", False)
            return b"".join(parts)
    except TimeoutError:
        raise RefusedError(
            "slow_client", f"the body did not arrive within {limits.read_timeout_s:g} s"
        ) from None


async def linger(receive: Receive) -> None:
    """Throw away what a refused client still sends, until it has read the answer and leaves."""
    size = 0
    try:
        async with asyncio.timeout(_LINGER_S):
            while size < _LINGER_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                size += len(message.get("body", b""))
    except TimeoutError:
        return


def _too_large(limits: LimitSettings) -> RefusedError:
    return RefusedError("too_large", f"the body is larger than {limits.body_bytes} bytes")
