"""Directory -> Artifact: checked once, then memory-mapped views."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np

from limbeck.artifact.check import (
    check_parts,
    check_spec,
    check_table,
    check_tensor,
    check_values,
    numpy_dtype,
)
from limbeck.artifact.codec import decode
from limbeck.artifact.digest import content_digest, file_sha256
from limbeck.artifact.files import opened_directory, opened_file, read_whole, reason
from limbeck.artifact.format import (
    DOCUMENT_FILE,
    FORMAT_VERSION,
    MAX_JSON_BYTES,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    Document,
    FileRecord,
    TableEntry,
)
from limbeck.artifact.header import Part, read_header
from limbeck.artifact.strict_json import parse_object, shown
from limbeck.errors import ArtifactError
from limbeck.spec import ModelSpec
from limbeck.tensors import Tensor, Weights

# How often a reader starts over when a writer swaps the directory under its hands; only then. Ten
# swaps within one reading are a writer gone mad.
_ATTEMPTS = 10


class Artifact:
    """An artifact that has passed its checks.

    `weights` are read-only views of the mapped file: nothing is copied, and pages come in when
    they are touched. Arrays taken from it stay valid behind `close()`; the map lives as long as
    they do. `size_bytes` counts limbeck.json, weights and tokenizer.

    The files must not be edited in place while they are mapped; `write` never does so.
    """

    def __init__(
        self,
        *,
        directory: Path,
        document: Document,
        weights: Weights,
        weights_map: mmap.mmap,
        tokenizer_map: mmap.mmap,
        size_bytes: int,
    ) -> None:
        self.directory = directory
        self.spec: ModelSpec = document.spec
        self.digest: str = document.digest
        self.lineage: dict[str, Any] = document.lineage
        self.size_bytes = size_bytes
        # The maps are never closed, only let go of: numpy's views do not stop mmap.close(), and a
        # view of a closed map would crash the process. The last view takes the map with it.
        self._open: tuple[Weights, mmap.mmap, mmap.mmap] | None = (
            MappingProxyType(dict(weights)),
            weights_map,
            tokenizer_map,
        )

    def _opened(self) -> tuple[Weights, mmap.mmap, mmap.mmap]:
        if self._open is None:
            raise ArtifactError(f"the artifact {self.directory} has been closed")
        return self._open

    @property
    def weights(self) -> Weights:
        """Name -> tensor, exactly those of limbeck.tensors.expected_tensors."""
        return self._opened()[0]

    @property
    def tokenizer_path(self) -> Path:
        return self.directory / TOKENIZER_FILE

    def tokenizer_bytes(self) -> bytes:
        """tokenizer.json as it was when the artifact was read."""
        return self._opened()[2][:]

    def release(self) -> None:
        """Give the pages back to the system; views stay valid and read them again when touched."""
        if self._open is not None:
            for mapping in self._open[1:]:
                mapping.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Let go of weights and tokenizer. Harmless when called twice."""
        self._open = None

    def __enter__(self) -> Artifact:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def is_artifact(path: str | os.PathLike[str]) -> bool:
    """Whether this is a directory with a limbeck.json; says nothing about its health."""
    return os.path.lexists(os.path.join(path, DOCUMENT_FILE)) and os.path.isdir(path)


def read(directory: str | os.PathLike[str], *, verify: bool = True) -> Artifact:
    """Open an artifact.

    Structure, sizes, scales and bitmaps are always checked, so that no reader of the arrays can be
    led outside them. `verify` also reads every byte: hashes of weights and tokenizer, weights
    that are not finite.

    Raises:
        ArtifactError: the directory is no artifact, or not a sound one.
    """
    path = Path(directory)
    for attempt in range(_ATTEMPTS):
        with opened_directory(path) as descriptor:
            try:
                return _read(path, descriptor, verify)
            except ArtifactError as error:
                if attempt + 1 < _ATTEMPTS and _was_replaced(path, descriptor):
                    continue
                raise ArtifactError(f"artifact {path}: {error}") from None
    raise AssertionError("the last attempt returns or raises")


def _was_replaced(path: Path, descriptor: int) -> bool:
    try:
        return not os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def _read(path: Path, directory: int, verify: bool) -> Artifact:
    with opened_file(directory, DOCUMENT_FILE) as (descriptor, document_size):
        text = read_whole(descriptor, document_size, what=DOCUMENT_FILE, max_bytes=MAX_JSON_BYTES)
    document = read_document(text)
    with opened_file(directory, TOKENIZER_FILE) as (descriptor, size):
        _check_file(TOKENIZER_FILE, descriptor, size, document.files.tokenizer, verify)
        tokenizer_map = _map(descriptor, TOKENIZER_FILE)
    with opened_file(directory, WEIGHTS_FILE) as (descriptor, size):
        _check_size(WEIGHTS_FILE, size, document.files.weights)
        parts = read_header(descriptor, size)
        _check_file(WEIGHTS_FILE, descriptor, size, document.files.weights, verify)
        weights_map = _map(descriptor, WEIGHTS_FILE)
    weights = _tensors(document, parts, weights_map, verify)
    return Artifact(
        directory=path,
        document=document,
        weights=weights,
        weights_map=weights_map,
        tokenizer_map=tokenizer_map,
        size_bytes=document_size
        + document.files.weights.size_bytes
        + document.files.tokenizer.size_bytes,
    )


def read_document(text: bytes) -> Document:
    """limbeck.json -> Document, its specs and tensor table checked, its digest recomputed.

    Raises:
        ArtifactError: another version, damaged, or not consistent in itself.
    """
    raw = parse_object(text, what=DOCUMENT_FILE, max_bytes=MAX_JSON_BYTES)
    version = raw.get("format")
    if type(version) is not int:
        raise ArtifactError(f"{DOCUMENT_FILE} does not say its format version")
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"format {version} is unknown; this limbeck reads format {FORMAT_VERSION}. "
            "Install the limbeck that wrote it, or export the model again"
        )
    document = decode(Document, raw, DOCUMENT_FILE)
    check_spec(document.spec)
    check_table(document.spec, document.tensors)
    digest = content_digest(document)
    if document.digest != digest:
        raise ArtifactError(
            f"wrong digest: {DOCUMENT_FILE} says {shown(document.digest)}, "
            f"but its content has '{digest}'"
        )
    return document


def _check_size(name: str, size: int, record: FileRecord) -> None:
    if size != record.size_bytes:
        raise ArtifactError(
            f"{name} has {size} bytes, {DOCUMENT_FILE} says {record.size_bytes}; "
            "it is truncated or from another artifact, copy it again"
        )


def _check_file(name: str, descriptor: int, size: int, record: FileRecord, verify: bool) -> None:
    _check_size(name, size, record)
    if verify:
        try:
            found = file_sha256(descriptor)
        except OSError as error:
            raise ArtifactError(f"cannot read {name}: {reason(error)}") from None
        if found != record.sha256:
            raise ArtifactError(
                f"wrong digest: {name} has SHA-256 {found}, {DOCUMENT_FILE} says "
                f"{shown(record.sha256)}; it is damaged or changed, copy it again"
            )


def _map(descriptor: int, name: str) -> mmap.mmap:
    try:
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot map {name}: {reason(error)}") from None


def _tensors(
    document: Document, parts: Mapping[str, Part], mapping: mmap.mmap, verify: bool
) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    used: set[str] = set()
    for entry in document.tensors:
        found = {role: parts[name] for role, name in entry.parts.items() if name in parts}
        check_parts(entry, {role: (part.dtype, part.shape) for role, part in found.items()})
        tensor = _tensor(entry, found, mapping)
        check_tensor(entry, tensor)
        if verify:
            check_values(entry, tensor)
            mapping.madvise(mmap.MADV_DONTNEED)  # looked at, not needed: keep memory flat
        weights[entry.name] = tensor
        used.update(entry.parts.values())
    if extra := sorted(set(parts) - used):
        raise ArtifactError(
            f"{WEIGHTS_FILE} holds {len(extra)} parts that no tensor owns: "
            f"{', '.join(map(shown, extra[:3]))}"
        )
    return weights


def _tensor(entry: TableEntry, parts: Mapping[str, Part], mapping: mmap.mmap) -> Tensor:
    views: dict[str, Any] = {
        role: np.ndarray(part.shape, numpy_dtype(part.dtype), mapping, part.begin)
        for role, part in parts.items()
    }
    return Tensor(
        shape=entry.shape,
        values=views["values"],
        scale=views.get("scale"),
        block=entry.block,
        bitmap=views.get("bitmap"),
    )
