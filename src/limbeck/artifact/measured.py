"""measured.json: accuracy, latency, host and time, beside the artifact and outside its digest."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limbeck.artifact.files import opened_directory, opened_file, read_whole, reason
from limbeck.artifact.format import MAX_JSON_BYTES, MEASURED_FILE
from limbeck.artifact.read import is_artifact
from limbeck.artifact.strict_json import checked_value, parse_object
from limbeck.errors import ArtifactError
from limbeck.whole_files import whole_file


def write_measured(directory: str | os.PathLike[str], measured: Mapping[str, Any]) -> None:
    """Put measurements beside an artifact, in place of those before.

    Raises:
        ArtifactError: no artifact there, values that JSON cannot hold, or a write that failed; the
            old file is then as it was.
    """
    if not is_artifact(directory):
        raise ArtifactError(f"{directory} is no artifact; write one there first")
    value = checked_value(dict(measured), MEASURED_FILE)
    text = json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"
    if len(text) > MAX_JSON_BYTES:
        raise ArtifactError(f"{MEASURED_FILE} would have {len(text)} bytes; shorten it")
    target = Path(directory) / MEASURED_FILE
    try:
        with whole_file(target) as file:
            file.write(text)
    except OSError as error:
        raise ArtifactError(f"cannot write {target}: {reason(error)}") from None


def read_measured(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """The measurements of an artifact; empty when none have been written.

    Raises:
        ArtifactError: no directory, or a measured.json that is damaged.
    """
    path = Path(directory)
    with opened_directory(path) as descriptor:
        if not os.path.lexists(path / MEASURED_FILE):
            return {}
        try:
            with opened_file(descriptor, MEASURED_FILE) as (file, size):
                text = read_whole(file, size, what=MEASURED_FILE, max_bytes=MAX_JSON_BYTES)
            return parse_object(text, what=MEASURED_FILE, max_bytes=MAX_JSON_BYTES)
        except ArtifactError as error:
            raise ArtifactError(f"artifact {path}: {error}") from None
