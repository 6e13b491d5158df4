"""The header of a safetensors file, laid out the one way and read with every check.

The container is Hugging Face's: eight bytes of length, a JSON header, then the data without a
gap. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from limbeck.artifact.files import read_span
from limbeck.artifact.format import ALIGNMENT, ITEM_BYTES, MAX_HEADER_BYTES, WEIGHTS_FILE
from limbeck.artifact.strict_json import parse_object, shown
from limbeck.errors import ArtifactError

_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One array: bytes `begin` .. `end` of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def build_header(arrays: Iterable[tuple[str, str, tuple[int, ...]]]) -> tuple[bytes, list[str]]:
    """Header bytes for (name, dtype, shape) of each part, and the order in which the data follows.

    Parts that fill whole cache lines come first, each starting on one; within a group float32
    comes before the one-byte types, so that it stays aligned. The header is filled up with spaces
    to a multiple of the alignment.
    """
    ranks = {dtype: rank for rank, dtype in enumerate(ITEM_BYTES)}
    sized = [
        (name, dtype, shape, math.prod(shape) * ITEM_BYTES[dtype]) for name, dtype, shape in arrays
    ]
    sized.sort(key=lambda item: (item[3] % ALIGNMENT != 0, ranks[item[1]], item[0]))
    entries: dict[str, Any] = {}
    offset = 0
    for name, dtype, shape, size in sized:
        entries[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(entries, separators=(",", ":")).encode("ascii")
    text += b" " * (-(_LENGTH.size + len(text)) % ALIGNMENT)
    return _LENGTH.pack(len(text)) + text, list(entries)


def read_header(descriptor: int, file_size: int) -> Mapping[str, Part]:
    """Name -> part of an open safetensors file, every offset proven to lie inside it.

    Raises:
        ArtifactError: truncated, overlong or ambiguous header; a part that is misplaced,
            misaligned, overlapping, followed by a gap, or not as large as its shape says.
    """
    if file_size < _LENGTH.size:
        raise ArtifactError(f"{WEIGHTS_FILE} is truncated: {file_size} bytes hold no header")
    (length,) = _LENGTH.unpack(read_span(descriptor, 0, _LENGTH.size, what=WEIGHTS_FILE))
    if length > MAX_HEADER_BYTES:
        raise ArtifactError(
            f"{WEIGHTS_FILE} announces a header of {length} bytes; "
            f"at most {MAX_HEADER_BYTES} are allowed"
        )
    start = _LENGTH.size + length
    if start > file_size:
        raise ArtifactError(
            f"{WEIGHTS_FILE} is truncated: its header needs {start} bytes, the file has {file_size}"
        )
    what = f"the header of {WEIGHTS_FILE}"
    text = read_span(descriptor, _LENGTH.size, length, what=WEIGHTS_FILE)
    if not text.startswith(b"{"):
        raise ArtifactError(f"{what} does not start with a JSON object")
    header = parse_object(text, what=what, max_bytes=MAX_HEADER_BYTES)
    _check_metadata(header.pop(_METADATA, {}), what)
    parts = [_part(name, entry, start, what) for name, entry in header.items()]
    _check_layout(parts, start, file_size)
    return {part.name: part for part in parts}


def _check_metadata(metadata: Any, what: str) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ArtifactError(f"{_METADATA} in {what} must map strings to strings")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _part(name: str, entry: Any, start: int, what: str) -> Part:
    label = shown(name)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ArtifactError(f"{label} in {what} must have dtype, shape and data_offsets, no more")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ArtifactError(
            f"{label} has dtype {shown(dtype)}; this format knows {', '.join(ITEM_BYTES)}"
        )
    # At most two axes: a product of many large ones would cost more than it can tell.
    if not isinstance(shape, list) or len(shape) > 2 or not all(map(_is_count, shape)):
        raise ArtifactError(
            f"{label} has shape {shown(shape)}; it must be a list of at most two counts"
        )
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise ArtifactError(f"{label} has data_offsets {shown(offsets)}; it must be [begin, end]")
    begin, end = offsets
    if end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
        raise ArtifactError(
            f"{label} occupies {end - begin} bytes, "
            f"but {dtype} {shape} needs {math.prod(shape) * ITEM_BYTES[dtype]}"
        )
    return Part(name=name, dtype=dtype, shape=tuple(shape), begin=start + begin, end=start + end)


def _check_layout(parts: list[Part], start: int, file_size: int) -> None:
    for part in parts:
        if part.end > file_size:
            raise ArtifactError(
                f"{shown(part.name)} ends at byte {part.end}, outside {WEIGHTS_FILE}, which has "
                f"{file_size}; the file is truncated or damaged"
            )
    position = start
    for part in sorted(parts, key=lambda item: (item.begin, item.end)):
        label = shown(part.name)
        if part.begin != position:
            relation = "overlaps the part before it" if part.begin < position else "follows a gap"
            raise ArtifactError(f"{label} {relation} in {WEIGHTS_FILE}")
        if part.begin % ITEM_BYTES[part.dtype]:
            raise ArtifactError(f"{label} starts at byte {part.begin}, unaligned for float32")
        position = part.end
    if position != file_size:
        raise ArtifactError(
            f"{WEIGHTS_FILE} has {file_size - position} bytes behind its last tensor"
        )
