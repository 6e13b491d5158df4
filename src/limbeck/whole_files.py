"""Files that take their name whole or not at all: written beside it, put on disk, renamed.

In: a path and what to write. Out: the file, or what was there before. Neighbours: whatever writes
results uses this; directories are `limbeck.artifact.replace`'s, and `limbeck.forge` has writers of
its own, in which tests plant faults.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

from limbeck.errors import InputError


def check_replaceable(path: Path) -> None:
    """Whether a file may take this name.

    Raises:
        InputError: a directory, a device or a pipe has it: renaming to /dev/null would end it for
            all who use it.
    """
    if path.exists() and not path.is_file():
        what = "a directory" if path.is_dir() else "a device or a pipe"
        raise InputError(f"{path} is {what}; name a file")


@contextlib.contextmanager
def whole_file(path: Path, mode: Literal["w", "wb"] = "wb") -> Iterator[IO[Any]]:
    """A file that takes its name when the block ends well; until then whatever has it keeps it.

    Text is UTF-8, and line ends stay as they are written.

    Raises:
        OSError: the system refuses a step; what was there is as it was.
    """
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    text = {"encoding": "utf-8", "newline": ""} if mode == "w" else {}
    try:
        with draft.open(mode.replace("w", "x"), **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Put what a finished file holds on disk."""
    _sync(path, os.O_RDONLY | os.O_CLOEXEC)


def sync_directory(directory: Path) -> None:
    """Put the names in a directory on disk."""
    _sync(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
