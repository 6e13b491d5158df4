"""Conversions that a peer makes once and keeps, until source or versions change."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path


def kept(
    directory: Path, source: Path, versions: Mapping[str, str], make: Callable[[Path], None]
) -> Path:
    """`directory`, filled by `make` unless it holds what `make` made of the same source before.

    Args:
        source: a file, or a directory whose safetensors count.
        versions: what else the result depends on.
        make: fills an empty directory.
    """
    digest = hashlib.sha256(json.dumps(dict(versions), sort_keys=True).encode())
    for file in sorted(source.glob("*.safetensors")) if source.is_dir() else [source]:
        with file.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    record = directory / "source.txt"
    if record.is_file() and record.read_text(encoding="ascii") == digest.hexdigest():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    try:
        make(new)
        (new / record.name).write_text(digest.hexdigest(), encoding="ascii")
        if directory.exists():
            shutil.rmtree(directory)
        new.rename(directory)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return directory
