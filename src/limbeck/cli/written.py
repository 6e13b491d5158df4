"""A file of results, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from limbeck.errors import InputError
from limbeck.whole_files import check_replaceable, whole_file


def write_whole(path: Path, text: str) -> None:
    """Write under another name, sync, rename.

    Raises:
        InputError: it cannot be written, or is something that a rename would put away.
    """
    check_replaceable(path)
    try:
        with whole_file(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error}") from None
