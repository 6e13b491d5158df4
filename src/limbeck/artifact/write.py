"""ModelSpec + weights + tokenizer -> directory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.artifact.check import (
    check_parts,
    check_spec,
    check_table,
    check_tensor,
    check_values,
    dtype_name,
    numpy_dtype,
)
from limbeck.artifact.codec import decode, encode
from limbeck.artifact.digest import content_digest
from limbeck.artifact.format import (
    DOCUMENT_FILE,
    FORMAT_VERSION,
    MAX_JSON_BYTES,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    Document,
    Dtype,
    Encoding,
    FileRecord,
    Files,
    TableEntry,
    part_names,
)
from limbeck.artifact.header import build_header
from limbeck.artifact.replace import replaced
from limbeck.artifact.strict_json import checked_value
from limbeck.errors import ArtifactError
from limbeck.spec import ModelSpec
from limbeck.tensors import Tensor, Weights

Array = npt.NDArray[Any]

_WRITE_CHUNK = 1 << 23


def write(
    directory: str | os.PathLike[str],
    *,
    spec: ModelSpec,
    weights: Weights,
    tokenizer_json: bytes,
    lineage: Mapping[str, Any],
) -> str:
    """Write an artifact and return its digest; the same content gives the same bytes anywhere.

    The directory appears whole or not at all. An existing one is replaced when it is empty or an
    artifact; other people's files in it stay, measured.json, which spoke of the old weights,
    goes.

    Args:
        weights: exactly the tensors of limbeck.tensors.expected_tensors for this spec.
        tokenizer_json: the content of a `tokenizers` JSON file.
        lineage: where the model comes from (teacher digest, data digests, recipe, versions); any
            JSON object. It is stored, and stays outside the digest.

    Raises:
        ArtifactError: spec, weights, tokenizer or lineage do not make a sound artifact, or the
            directory cannot be written.
    """
    spec = decode(ModelSpec, encode(ModelSpec, spec, "spec"), "spec")
    check_spec(spec)
    entries = _entries(weights)
    check_table(spec, entries)
    arrays: dict[str, Array] = {}
    for entry in entries:
        arrays.update(_checked_arrays(entry, weights[entry.name]))
    _check_tokenizer(tokenizer_json)
    if not isinstance(lineage, Mapping):
        raise ArtifactError(f"lineage must be a JSON object, found {type(lineage).__name__}")
    story = checked_value(dict(lineage), "lineage")
    with replaced(directory) as staging:
        files = Files(
            weights=_write_weights(staging / WEIGHTS_FILE, arrays),
            tokenizer=_write_file(staging / TOKENIZER_FILE, [tokenizer_json]),
        )
        document = _sealed(spec, files, entries, story)
        text = document_text(document)
        if len(text) > MAX_JSON_BYTES:
            raise ArtifactError(
                f"{DOCUMENT_FILE} would have {len(text)} bytes, {MAX_JSON_BYTES} are allowed; "
                "shorten the lineage"
            )
        _write_file(staging / DOCUMENT_FILE, [text])
    return document.digest


def _entries(weights: Weights) -> tuple[TableEntry, ...]:
    entries = []
    for name in sorted(weights):
        tensor = weights[name]
        dtype: Dtype
        if tensor.values.dtype == np.float32:
            dtype = "F32"
        elif tensor.values.dtype == np.int8:
            dtype = "I8"
        else:
            raise ArtifactError(
                f"{name} has values of {tensor.values.dtype}; they must be float32 or int8"
            )
        encoding: Encoding = "dense" if tensor.block is None else "blocks"
        entries.append(
            TableEntry(
                name=name,
                shape=tuple(int(size) for size in tensor.shape),
                dtype=dtype,
                encoding=encoding,
                block=tensor.block,
                parts=part_names(name, encoding, dtype),
            )
        )
    return tuple(entries)


def _checked_arrays(entry: TableEntry, tensor: Tensor) -> dict[str, Array]:
    roles: dict[str, Array | None] = {
        "values": tensor.values,
        "scale": tensor.scale,
        "bitmap": tensor.bitmap,
    }
    arrays = {role: array for role, array in roles.items() if array is not None}
    if spare := sorted(set(arrays) - set(entry.parts)):
        raise ArtifactError(
            f"{entry.name} has a {spare[0]}, which {entry.dtype} {entry.encoding} does not"
        )
    check_parts(
        entry,
        {
            role: (dtype_name(array.dtype) or str(array.dtype), array.shape)
            for role, array in arrays.items()
        },
    )
    check_tensor(entry, tensor)
    check_values(entry, tensor)
    return {entry.parts[role]: array for role, array in arrays.items()}


def _check_tokenizer(tokenizer_json: bytes) -> None:
    advice = "pass the content of a tokenizer.json"
    if not isinstance(tokenizer_json, bytes):
        raise ArtifactError(f"the tokenizer must be bytes; {advice}")
    try:
        whole = json.loads(tokenizer_json)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the tokenizer is not JSON ({error}); {advice}") from None
    if not isinstance(whole, dict):
        raise ArtifactError(f"the tokenizer is not a JSON object; {advice}")


def _sealed(
    spec: ModelSpec, files: Files, entries: tuple[TableEntry, ...], lineage: dict[str, Any]
) -> Document:
    def document(digest: str) -> Document:
        return Document(
            format=FORMAT_VERSION,
            digest=digest,
            spec=spec,
            files=files,
            tensors=entries,
            lineage=lineage,
        )

    return document(content_digest(document("")))


def document_text(document: Document) -> bytes:
    """limbeck.json for people: indented, one tensor a line."""
    fields = encode(Document, document, DOCUMENT_FILE)
    blocks = []
    for key, value in fields.items():
        if key == "tensors":
            rows = (json.dumps(entry, ensure_ascii=False) for entry in value)
            text = "[\n  " + ",\n  ".join(rows) + "\n ]"
        else:
            text = json.dumps(value, ensure_ascii=False, indent=1).replace("\n", "\n ")
        blocks.append(f' "{key}": {text}')
    return ("{\n" + ",\n".join(blocks) + "\n}\n").encode("utf-8")


def _write_weights(path: Path, arrays: Mapping[str, Array]) -> FileRecord:
    described = []
    for name, array in arrays.items():
        dtype = dtype_name(array.dtype)
        assert dtype is not None
        described.append((name, dtype, array.shape))
    header, order = build_header(described)

    def chunks() -> Iterable[bytes | memoryview]:
        yield header
        for name in order:
            dtype = dtype_name(arrays[name].dtype)
            assert dtype is not None
            flat = np.ascontiguousarray(arrays[name], dtype=numpy_dtype(dtype)).reshape(-1)
            data = flat.view(np.uint8).data
            for first in range(0, len(data), _WRITE_CHUNK):
                yield data[first : first + _WRITE_CHUNK]

    return _write_file(path, chunks())


def _write_file(path: Path, chunks: Iterable[bytes | memoryview]) -> FileRecord:
    digest, size = hashlib.sha256(), 0
    with open(path, "xb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return FileRecord(size_bytes=size, sha256=digest.hexdigest())
