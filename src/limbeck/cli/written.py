"""A file of results, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from limbeck.errors import InputError


def replaceable(path: Path) -> None:
    """Whether a file may take this name.

    Raises:
        InputError: a directory, a device or a pipe has it: renaming to /dev/null would end it.
    """
    if path.exists() and not path.is_file():
        what = "a directory" if path.is_dir() else "a device or a pipe"
        raise InputError(f"{path} is {what}; name a file")


def write_whole(path: Path, text: str) -> None:
    """Write under another name, sync, rename.

    Raises:
        InputError: it cannot be written, or is something that a rename would put away.
    """
    replaceable(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error}") from None
