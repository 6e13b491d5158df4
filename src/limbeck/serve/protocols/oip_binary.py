"""The binary tensor extension: what stands behind the JSON of a request or an answer, as bytes.

A header, Inference-Header-Content-Length, says where the JSON ends. Then come the tensors, in the
order in which the JSON names them, each of the length that it gives: BYTES as elements with their
length before them (uint32), numbers as they lie in memory; all little-endian.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.serve.refused import RefusedError

HEADER = "Inference-Header-Content-Length"
_LENGTH = struct.Struct("<I")


def split(body: bytes, header: str | None) -> tuple[bytes, bytes]:
    """The JSON of a body and the bytes of its tensors.

    header: the value of `HEADER`; None where there is none, and all is JSON.

    Raises:
        RefusedError: bad_request: no number, or more than there is.
    """
    if header is None:
        return body, b""
    digits = header.strip()
    # isdecimal takes the digits of all scripts; and int() takes signs, underscores and any length.
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
        raise RefusedError(
            "bad_request", f"{HEADER} must be the length of the JSON in bytes, found {header!r}"
        )
    length = int(digits)
    if length > len(body):
        raise RefusedError(
            "bad_request", f"{HEADER} is {length}, but the body has {len(body)} bytes"
        )
    return body[:length], body[length:]


def read_strings(data: bytes, count: int, where: str) -> list[str]:
    """The elements of a BYTES tensor, which must fill `data`.

    where: names the tensor in messages.

    Raises:
        RefusedError: bad_request: fewer or more elements, bytes that are cut off, or no UTF-8.
    """
    texts: list[str] = []
    at, end = 0, len(data)
    while at < end:
        if len(texts) == count:
            raise RefusedError(
                "bad_request",
                f"{where}: {end - at} bytes are left after the {count} elements of its shape",
            )
        if end - at < _LENGTH.size:
            raise RefusedError(
                "bad_request",
                f"{where}: the length of element {len(texts)} is cut off; each element is 4 bytes "
                "of length (little-endian) and then so many bytes",
            )
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if size > end - at:
            raise RefusedError(
                "bad_request",
                f"{where}: element {len(texts)} says that it has {size} bytes, and {end - at} "
                "are left",
            )
        try:
            texts.append(data[at : at + size].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RefusedError(
                "bad_request",
                f"{where}: element {len(texts)} is not UTF-8 at its byte {error.start}",
            ) from None
        at += size
    if len(texts) != count:
        raise RefusedError(
            "bad_request",
            f"{where}: {len(texts)} elements in its bytes, but {count} by its shape",
        )
    return texts


def write(values: list[str] | npt.NDArray[Any]) -> bytes:
    """A tensor as bytes: str as BYTES, arrays as they are."""
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
    parts: list[bytes] = []
    for value in values:
        data = value.encode("utf-8")
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)
