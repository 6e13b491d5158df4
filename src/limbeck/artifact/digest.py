"""The name of an artifact's content: SHA-256 over specs, tensor table, weights and tokenizer."""

from __future__ import annotations

import hashlib
import os

from limbeck.artifact.codec import encode
from limbeck.artifact.format import Document
from limbeck.artifact.strict_json import canonical

# Large enough that a call costs nothing beside the hashing, small enough for the L2 cache.
_CHUNK_BYTES = 1 << 20


def content_digest(document: Document) -> str:
    """SHA-256, in hexadecimal, of the document without its digest and lineage.

    The document holds the hashes of the weights and of the tokenizer, so this covers both.
    """
    fields = encode(Document, document, "limbeck.json")
    covered = {key: fields[key] for key in ("format", "spec", "files", "tensors")}
    return hashlib.sha256(canonical(covered)).hexdigest()


def file_sha256(descriptor: int) -> str:
    """SHA-256 of a whole open file.

    Reads through a small buffer instead of a map, so that resident memory stays where it is.
    """
    digest = hashlib.sha256()
    buffer = bytearray(_CHUNK_BYTES)
    view = memoryview(buffer)
    offset = 0
    while count := os.preadv(descriptor, [buffer], offset):
        digest.update(view[:count])
        offset += count
    return digest.hexdigest()
