"""Opening the files of an artifact without following links and without waiting on pipes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from limbeck.errors import ArtifactError


def reason(error: OSError | ValueError) -> str:
    """What the system says, in words."""
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def opened_directory(directory: Path) -> Iterator[int]:
    """A descriptor of the directory itself: it stays the same one when its name is given away.

    Raises:
        ArtifactError: no directory, or one that may not be read.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:
        raise ArtifactError(f"{directory} is a file; an artifact is a directory") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot open the artifact {directory}: {reason(error)}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_file(directory: int, name: str) -> Iterator[tuple[int, int]]:
    """(descriptor, size in bytes) of a regular file in an open directory.

    Raises:
        ArtifactError: missing, unreadable, or no regular file.
    """
    try:
        # Looked at before it is opened: opening a device can already do something.
        kind = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        if not stat.S_ISREG(kind):
            raise ArtifactError(_not_regular(name, kind))
        # O_NONBLOCK: should the name become a pipe in between, opening must not wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=directory)
    except FileNotFoundError:
        raise ArtifactError(
            f"{name} is missing; copy the whole artifact again or export it again"
        ) from None
    except OSError as error:
        raise ArtifactError(f"cannot open {name}: {reason(error)}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError(_not_regular(name, status.st_mode))
        yield descriptor, status.st_size
    finally:
        os.close(descriptor)


def _not_regular(name: str, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return (
            f"{name} is a symbolic link, which could lead out of the artifact; "
            "copy the directory with its links resolved: cp -rL"
        )
    what = "a directory" if stat.S_ISDIR(mode) else "a pipe, socket or device"
    return f"{name} is {what}; it must be a regular file"


def read_whole(descriptor: int, size: int, *, what: str, max_bytes: int) -> bytes:
    """All bytes of an open file.

    Raises:
        ArtifactError: larger than `max_bytes`, or it cannot be read.
    """
    if size > max_bytes:
        raise ArtifactError(f"{what} has {size} bytes; at most {max_bytes} are allowed")
    return read_span(descriptor, 0, size, what=what)


def read_span(descriptor: int, offset: int, count: int, *, what: str) -> bytes:
    """`count` bytes from `offset`.

    Raises:
        ArtifactError: the file ends before, or it cannot be read.
    """
    chunks: list[bytes] = []
    while count:
        try:
            chunk = os.pread(descriptor, min(count, 1 << 24), offset)
        except OSError as error:
            raise ArtifactError(f"cannot read {what}: {reason(error)}") from None
        if not chunk:
            raise ArtifactError(f"{what} ended while it was being read; is it being rewritten?")
        chunks.append(chunk)
        offset += len(chunk)
        count -= len(chunk)
    return b"".join(chunks)
