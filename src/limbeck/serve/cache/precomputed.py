"""Embeddings in a file: `limbeck embed` writes it, `cache.preload` maps it.

The container is safetensors (https://huggingface.co/docs/safetensors), so that other tools can read
it too; nothing in it is ever executed. N texts, in the order in which they were computed:

    vectors [N, C] f32      tokens [N] u32
    rows    [N] u32         of vectors, in the order of keys
    keys    [N, 20] u8      ascending; see `limbeck.serve.cache.keys`

The metadata say what computed them: `computed` (digest, task, numbers, runtime), `options`, the
SHA-256 of the data, and the version of the format.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import stat
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from limbeck.errors import ArtifactError, InputError
from limbeck.serve.cache.keys import KEY_BYTES, Keys, canonical
from limbeck.serve.cache.store import Hit

FORMAT: Final = "limbeck-embeddings-1"
_LENGTH: Final = struct.Struct("<Q")
_ALIGNMENT = 64
_MAX_HEADER_BYTES = 1 << 24
_HASHED_BYTES = 1 << 22
_AGAIN = "write it again with: limbeck embed"
_U32 = np.dtype("<u4")
_F32 = np.dtype("<f4")


def layout(count: int, width: int) -> dict[str, tuple[str, tuple[int, ...], int, int]]:
    """Name -> (dtype, shape, begin, end) of the parts behind the header, in their order."""
    parts: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
    begin = 0
    for name, dtype, shape, size in (
        ("vectors", "F32", (count, width), 4 * count * width),
        ("tokens", "U32", (count,), 4 * count),
        ("rows", "U32", (count,), 4 * count),
        ("keys", "U8", (count, KEY_BYTES), KEY_BYTES * count),
    ):
        parts[name] = dtype, shape, begin, begin + size
        begin += size
    return parts


def header(metadata: Mapping[str, str], count: int, width: int, *, size: int = 0) -> bytes:
    """The header, filled up with spaces to a multiple of the alignment, and to `size` at least."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    for name, (dtype, shape, begin, end) in layout(count, width).items():
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":")).encode("ascii")
    whole = max(_LENGTH.size + len(text), size)
    text += b" " * (whole + -whole % _ALIGNMENT - _LENGTH.size - len(text))
    return _LENGTH.pack(len(text)) + text


class _About:
    """What the file says of the model behind it."""

    def __init__(self, computed: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self.computed = computed
        self.options = options

    def differs(self, keys: Keys) -> str | None:
        """What another model has otherwise; None: its answers are the file's."""
        model = json.loads(canonical(keys.computed))
        if self.computed["digest"] != model["digest"]:
            return (
                f"it was computed by the model {self.computed['digest'][:12]}, and this one is "
                f"{model['digest'][:12]}; {_AGAIN}"
            )
        for name in ("task", "quant", "runtime", "device"):
            there, here = self.computed[name], model[name]
            if there != here:
                return f"it was computed with {name} {_said(there)}, the model has {_said(here)}"
        options = json.loads(canonical(keys.options()))
        names = sorted({*options, *self.options})
        other = [name for name in names if options.get(name) != self.options.get(name)]
        if other:
            name = other[0]
            return (
                f"it was computed with {name}={self.options.get(name)!r}, the model's options say "
                f"{options.get(name)!r}"
            )
        return None


def _said(value: Any) -> str:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)


class Precomputed:
    """A mapped file. Looking up copies nothing: a vector is a read-only view of the file."""

    def __init__(
        self, path: Path, mapped: mmap.mmap, start: int, count: int, width: int, about: _About
    ) -> None:
        """Use `read`."""
        self.path = path
        self.width = width
        self._about = about
        parts = layout(count, width)

        def part(name: str, dtype: Any) -> npt.NDArray[Any]:
            _, shape, begin, _ = parts[name]
            size = int(np.prod(shape))
            return np.frombuffer(mapped, dtype, size, start + begin).reshape(shape)

        self._vectors = part("vectors", _F32)
        self._tokens = part("tokens", _U32)
        self._rows = part("rows", _U32)
        self._keys = part("keys", np.uint8)
        # The first 8 bytes of each key as one number, which a binary search in C can compare.
        heads = np.ascontiguousarray(self._keys[:, :8]).view(">u8")[:, 0]
        self._heads = heads.astype(np.uint64)
        if np.any(self._heads[1:] < self._heads[:-1]) or np.any(self._rows >= count):
            raise ArtifactError(f"{path} is damaged: its keys are out of order; {_AGAIN}")

    def __len__(self) -> int:
        return len(self._heads)

    def find(self, key: bytes) -> Hit | None:
        """The vector of a text, by its key of `KEY_BYTES`."""
        head = np.uint64(int.from_bytes(key[:8], "big"))
        place = int(self._heads.searchsorted(head))
        while place < len(self._heads) and self._heads[place] == head:
            if self._keys[place].tobytes() == key:
                row = int(self._rows[place])
                tokens = int(self._tokens[row])
                return Hit(self._vectors[row], tokens, size_bytes=0, expires_s=float("inf"))
            place += 1
        return None

    def check(self, models: Iterable[Keys]) -> None:
        """Look whether one of these models gives the answers that the file holds.

        Raises:
            InputError: none does, so nothing of the file would ever be found.
        """
        reasons: list[str] = []
        for keys in models:
            reason = self._about.differs(keys)
            if reason is None:
                return
            reasons.append(reason)
        said = "; ".join(dict.fromkeys(reasons)) or "no model is loaded"
        raise InputError(f"{self.path} is of no use here: {said}")


def is_ours(path: Path) -> bool:
    """Whether a file begins as `limbeck embed` begins them, of whatever version, whole or not."""
    begins = b'{"__metadata__":{"format":"limbeck-embeddings-'
    try:
        with path.open("rb") as file:
            return file.read(_LENGTH.size + len(begins))[_LENGTH.size :] == begins
    except OSError:
        return False


def read(path: str | os.PathLike[str]) -> Precomputed:
    """Map a file of `limbeck embed`. Reads it once, to see that it is whole.

    Raises:
        InputError: there is no such file, or it may not be read.
        ArtifactError: it is none of these files, or it is damaged.
    """
    place = Path(path)
    try:
        # O_NONBLOCK: opening a pipe must not wait for a writer.
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InputError(f"cannot open {place}: {error.strerror or error}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{place} is no regular file; name one that limbeck embed wrote")
        return _mapped(place, descriptor, status.st_size)
    except OSError as error:
        raise InputError(f"cannot read {place}: {error.strerror or error}") from None
    finally:
        os.close(descriptor)


def _mapped(path: Path, descriptor: int, size: int) -> Precomputed:
    head = os.pread(descriptor, _LENGTH.size, 0)
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
    start = _LENGTH.size + length
    if not 0 < length <= _MAX_HEADER_BYTES or start > size:
        raise ArtifactError(f"{path} is no file that limbeck embed wrote, or it was cut short")
    raw = os.pread(descriptor, length, _LENGTH.size)
    metadata, count, width = _parsed(path, raw)
    # The header is what we would write for these sizes, or it is not ours.
    if header(metadata, count, width, size=start) != head + raw:
        raise ArtifactError(f"{path} has a header that limbeck embed does not write; {_AGAIN}")
    end = start + layout(count, width)["keys"][3]
    if end != size:
        raise ArtifactError(
            f"{path} has {size} bytes where {end} belong: it was cut short or is damaged; {_AGAIN}"
        )
    about = _about(path, metadata)
    mapped = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    digest = hashlib.sha256()
    with memoryview(mapped) as view:
        for begin in range(start, size, _HASHED_BYTES):
            digest.update(view[begin : begin + _HASHED_BYTES])
    if digest.hexdigest() != metadata["sha256"]:
        raise ArtifactError(f"{path} is damaged: its content has another SHA-256; {_AGAIN}")
    return Precomputed(path, mapped, start, count, width, about)


def _parsed(path: Path, raw: bytes) -> tuple[dict[str, str], int, int]:
    """(metadata, N, C) as the header has them; nothing in it is trusted yet."""
    try:
        entries = json.loads(raw)
        metadata = dict(entries["__metadata__"])
        count, width = entries["vectors"]["shape"]
        format = metadata["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ArtifactError(f"{path} is no file that limbeck embed wrote") from None
    if format != FORMAT:
        raise ArtifactError(
            f"{path} has the format {str(format)[:60]!r}, this version reads {FORMAT}; {_AGAIN}"
        )
    sizes = (count, width)
    if not all(type(one) is int and 0 < one < 2**32 for one in sizes):
        raise ArtifactError(f"{path} says that it holds {str(sizes)[:60]} numbers; {_AGAIN}")
    return metadata, count, width


def _about(path: Path, metadata: Mapping[str, str]) -> _About:
    try:
        computed = json.loads(metadata["computed"])
        options = json.loads(metadata["options"])
        known = {"digest", "task", "quant", "runtime", "device"} <= set(computed)
        whole = known and isinstance(computed["digest"], str) and isinstance(options, dict)
        whole = whole and isinstance(metadata["sha256"], str)
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise ArtifactError(f"{path} does not say what computed it; {_AGAIN}")
    return _About(computed, options)
