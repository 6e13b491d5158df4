"""Files and directories that appear whole or not at all, and the digests of what is in them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import InputError, TrainingError
from limbeck.forge import faults

DONE = "done.json"
# In here lies what is not finished; whoever holds the lock may delete it.
SCRATCH = ".unfinished"
_LOCK = ".lock"


def canonical(value: Any) -> bytes:
    """JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def digest_of(value: Any) -> str:
    """SHA-256 of a value that JSON can hold."""
    return hashlib.sha256(canonical(value)).hexdigest()


def digest(directory: Path) -> str:
    """SHA-256 over names and contents of all files in a directory, done.json left out.

    Hidden files and folders do not count: they hold what version control and caches leave.
    """
    hasher = hashlib.sha256()
    files = {
        path.relative_to(directory).as_posix(): path
        for path in directory.rglob("*")
        if path.is_file()
    }
    for name in sorted(files):
        if name == DONE or any(part.startswith(".") for part in Path(name).parts):
            continue
        hasher.update(f"{name}\n{file_digest(files[name])}\n".encode())
    return hasher.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _told(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"cannot write {target}: {error.strerror or error}; what was there before is as it "
            "was. Start again once that is mended: the run goes on from its last finished step"
        ) from error


def _sync(path: Path) -> None:
    faults.point("fsync")
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Put a file in its place, on disk, whole or not at all.

    Raises:
        TrainingError: the system refused a step; the old file is then as it was.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with _told(path):
        try:
            faults.point("write")
            draft.write_bytes(data)
            _sync(draft)
            faults.point("rename")
            os.replace(draft, path)
            _sync(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def make_directory(path: Path) -> None:
    """A directory, unless it is there.

    Raises:
        TrainingError: the system refuses it.
    """
    with _told(path):
        path.mkdir(exist_ok=True)


def write_json(path: Path, value: Any) -> None:
    """As `write_file`, for people to read."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    write_file(path, text.encode("utf-8", "surrogatepass") + b"\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is no such file.

    Raises:
        InputError: the file holds no JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete it, and start again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no object; delete it, and start again")
    return value


@contextlib.contextmanager
def scratch(run: Path) -> Iterator[Path]:
    """An empty directory for something unfinished; gone after the block, whatever is in it."""
    draft = run / SCRATCH / secrets.token_hex(8)
    with _told(draft):
        draft.mkdir(parents=True)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def put_in_place(draft: Path, target: Path) -> None:
    """Sync all files of a finished directory and give it its name, in place of one before.

    Raises:
        TrainingError: the system refused a step; the old directory is then as it was.
    """
    old = draft.with_name(draft.name + "-old")
    with _told(target):
        for path in sorted(draft.rglob("*")):
            _sync(path)
        _sync(draft)
        replaces = target.exists()
        if replaces:
            os.rename(target, old)
        try:
            faults.point("rename")
            os.rename(draft, target)
        except OSError:
            if replaces:
                os.rename(old, target)
            raise
        _sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class Done:
    """What done.json says: which stage this was, from what (key), and what came of it (output)."""

    stage: str
    kind: str
    key: str
    output: str
    seconds: float
    figures: Mapping[str, Any]
    versions: Mapping[str, str]

    def write(self, directory: Path) -> None:
        fields = asdict(self)
        write_json(directory / DONE, fields | {"seal": digest_of(fields)})


def read_done(directory: Path) -> Done | None:
    """What is said about a finished stage; None where there is none.

    Raises:
        InputError: done.json is not as it was written.
    """
    fields = read_json(directory / DONE)
    if fields is None:
        return None
    seal = fields.pop("seal", None)
    try:
        done = Done(**fields)
        if seal != digest_of(asdict(done)):
            raise ValueError("its seal is broken")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{directory / DONE} was changed ({error}); delete {directory} to have the stage run "
            "again"
        ) from None
    return done


def check_output(directory: Path, done: Done) -> None:
    """Whether the files are those that done.json speaks of.

    Raises:
        InputError: they are not.
    """
    if digest(directory) != done.output:
        raise InputError(
            f"the files in {directory} are not those that its {DONE} speaks of; delete the "
            "directory to have the stage run again"
        )


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the run's directory for this process alone, with no scraps of earlier ones in it.

    Raises:
        InputError: another process is at work there, or it cannot be written to.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        handle = os.open(run / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InputError(f"cannot work in {run}: {error.strerror}; name another with out") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"another run is at work in {run}; wait for it, or name another directory with out"
            ) from None
        shutil.rmtree(run / SCRATCH, ignore_errors=True)
        yield
    finally:
        os.close(handle)


def frozen(run: Path, source: Path, name: str) -> Path:
    """The run's own copy of a file, made when it is first asked for: what a later run, or another
    machine, does to the original changes nothing here.

    Raises:
        InputError: there is neither a copy nor the file.
        TrainingError: it cannot be written.
    """
    kept = run / "inputs" / name
    if not kept.is_file():
        try:
            data = source.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {source}: {error.strerror}") from None
        make_directory(kept.parent)
        write_file(kept, data)
    return kept
