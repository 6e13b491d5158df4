"""A directory appears, or takes another's place, whole or not at all.

The new directory is filled beside the target and put on disk; then one rename makes it visible.
Where the target exists, Linux's RENAME_EXCHANGE swaps the two names in one step; a file system
without it gets two renames, and between those two a crash leaves the old directory under the name
`.limbeck-old-*` beside the target.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from limbeck.artifact.files import reason
from limbeck.artifact.format import OWN_FILES
from limbeck.artifact.read import is_artifact
from limbeck.errors import ArtifactError
from limbeck.whole_files import sync_directory

_STAGING_PREFIX = ".limbeck-tmp-"
_BACKUP_PREFIX = ".limbeck-old-"


def check_target(directory: str | os.PathLike[str]) -> None:
    """Whether an artifact may be written here; call it before hours of work.

    Raises:
        ArtifactError: the path is a file or a directory with other things in it, or the place
            cannot be written to.
    """
    target = _resolved(directory)
    try:
        if not os.path.lexists(target):
            home = next(parent for parent in target.parents if os.path.lexists(parent))
        elif not target.is_dir():
            raise ArtifactError(f"{target} is a file; name a directory for the artifact")
        elif any(target.iterdir()) and not is_artifact(target):
            raise ArtifactError(
                f"{target} holds files but no artifact; empty it or name another directory"
            )
        else:
            home = target.parent
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot look at {target}: {reason(error)}") from None
    if not home.is_dir():
        raise ArtifactError(f"{home} is a file; the artifact {target} cannot lie in it")
    if not os.access(home, os.W_OK | os.X_OK):
        raise ArtifactError(f"{home} may not be written to; name another directory")


def _resolved(directory: str | os.PathLike[str]) -> Path:
    """Links followed, so that a link keeps pointing at what is replaced."""
    try:
        return Path(os.path.realpath(directory))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{os.fspath(directory)!r} is no path: {reason(error)}") from None


@contextlib.contextmanager
def replaced(directory: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty directory; on leaving the block it becomes `directory`.

    Files in an existing artifact that are none of ours (a README, a report) move along. Any
    failure, in the block or behind it, leaves `directory` as it was and nothing beside it.

    Raises:
        ArtifactError: see check_target; or the system refused a step (disk full, no permission).
    """
    check_target(directory)
    target = _resolved(directory)
    try:
        with filled(target, OWN_FILES.__contains__) as staging:
            yield staging
    except OSError as error:
        raise ArtifactError(
            f"cannot write {target}: {reason(error)}; what was there before is untouched"
        ) from None


@contextlib.contextmanager
def filled(target: Path, own: Callable[[str], bool]) -> Iterator[Path]:
    """Yield an empty directory; on leaving the block it becomes `target`, a path without links.

    Whoever fills it puts its files on disk; the names are this one's affair. Any failure leaves
    `target` as it was and nothing beside it.

    Args:
        own: whether what has this name in the old directory goes with it; all else moves along,
            unless the new one has something of that name.

    Raises:
        OSError: the system refused a step.
    """
    os.makedirs(target.parent, exist_ok=True)
    with _staging(target.parent) as staging:
        yield staging
        _carry_over(target, staging, own)
        sync_directory(staging)
        _swap_in(staging, target)


@contextlib.contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """A fresh directory in `parent`, gone when the block ends, whatever is in it by then.

    A killed writer cannot clean up. So each writer holds a shared lock on the parent, and the
    first who can have the lock alone knows that every staging directory there is an orphan.
    """
    lock = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Some network file systems have no locks; there, orphans stay until someone deletes them.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for orphan in parent.glob(_STAGING_PREFIX + "*"):
                _remove(orphan)
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH)
        staging = parent / (_STAGING_PREFIX + os.urandom(8).hex())
        os.mkdir(staging)
        try:
            yield staging
        finally:
            _remove(staging)
    finally:
        os.close(lock)


def _remove(directory: Path) -> None:
    import shutil  # pulls in the compression libraries, which reading never needs

    shutil.rmtree(directory, ignore_errors=True)


def _carry_over(target: Path, staging: Path, own: Callable[[str], bool]) -> None:
    if not target.is_dir():
        return
    import shutil

    for entry in os.scandir(target):
        if own(entry.name) or os.path.lexists(staging / entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.copytree(entry, staging / entry.name, symlinks=True, copy_function=_link)
        elif entry.is_symlink() or entry.is_file():
            _link(entry.path, os.fspath(staging / entry.name))
        else:
            raise OSError(errno.EINVAL, f"{entry.name} in it is a pipe, socket or device")


def _link(source: str, target: str) -> None:
    import shutil

    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target, follow_symlinks=False)


def _swap_in(staging: Path, target: Path) -> None:
    """Afterwards `staging` is what `target` was, or gone when there was none."""
    if not os.path.lexists(target):
        os.rename(staging, target)
        try:
            sync_directory(target.parent)
        except OSError:
            os.rename(target, staging)
            raise
        return
    _exchange(staging, target)
    try:
        sync_directory(target.parent)
    except OSError:
        _exchange(staging, target)
        raise


def _exchange(first: Path, second: Path) -> None:
    """Swap two names."""
    if _rename_exchange(first, second):
        return
    backup = second.parent / (_BACKUP_PREFIX + os.urandom(8).hex())
    os.rename(second, backup)
    try:
        os.rename(first, second)
        try:
            os.rename(backup, first)
        except BaseException:
            os.rename(second, first)
            raise
    except BaseException:
        os.rename(backup, second)
        raise


def _rename_exchange(first: Path, second: Path) -> bool:
    """renameat2(RENAME_EXCHANGE); False where libc, kernel or file system lacks it."""
    import ctypes

    at_fdcwd, rename_exchange = -100, 2
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    renameat2.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    )
    paths = os.fsencode(first), os.fsencode(second)
    if renameat2(at_fdcwd, paths[0], at_fdcwd, paths[1], rename_exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code))
