"""An artifact appears whole or not at all, whatever fails and whenever the power goes."""

from __future__ import annotations

import errno
import importlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import artifact_files as samples
from limbeck import artifact
from limbeck.errors import ArtifactError

writing = importlib.import_module("limbeck.artifact.write")
replacing = importlib.import_module("limbeck.artifact.replace")


def listing(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


class Fault:
    """Calls through `count` times, then fails once."""

    def __init__(self, real: Callable[..., Any], count: int, error: BaseException) -> None:
        self.real, self.left, self.error, self.fired = real, count, error, False

    def __call__(self, *args: Any, **options: Any) -> Any:
        if self.left == 0 and not self.fired:
            self.fired = True
            raise self.error
        self.left -= 1
        return self.real(*args, **options)


class FaultyFile:
    """A file whose write is a Fault."""

    def __init__(self, file: Any, fault: Fault) -> None:
        self.file, self.fault = file, fault

    def __enter__(self) -> FaultyFile:
        return self

    def __exit__(self, *details: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, chunk: Any) -> Any:
        self.fault.real = self.file.write
        return self.fault(chunk)


def inject(monkeypatch: pytest.MonkeyPatch, where: str, count: int, error: BaseException) -> Fault:
    if where == "write":
        fault = Fault(lambda chunk: None, count, error)

        def faulty_open(*args: Any, **options: Any) -> Any:
            return FaultyFile(open(*args, **options), fault)

        monkeypatch.setattr(writing, "open", faulty_open, raising=False)
    elif where == "exchange":
        fault = Fault(replacing._rename_exchange, count, error)
        monkeypatch.setattr(replacing, "_rename_exchange", fault)
    else:
        fault = Fault(getattr(os, where), count, error)
        monkeypatch.setattr(os, where, fault)
    return fault


def attempt(target: Path) -> str:
    """Write; the error's text, or an empty one."""
    try:
        samples.write(target, seed=1)
    except ArtifactError as error:
        return str(error)
    return ""


STEPS = ("write", "fsync", "rename", "mkdir", "open", "link")


@pytest.mark.parametrize(
    ("where", "swap"),
    [("exchange", "exchange")]
    + [(step, swap) for step in STEPS for swap in ("exchange", "two renames")],
)
def test_failure_leaves_the_old_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, swap: str
) -> None:
    if swap == "two renames":
        monkeypatch.setattr(replacing, "_rename_exchange", lambda first, second: False)
    target = tmp_path / "a"
    old = samples.write(target, seed=0)
    (target / "README.md").write_text("mine")
    before = {name: (target / name).read_bytes() for name in listing(target)}
    fired = 0
    for count in range(100):
        with monkeypatch.context() as patch:
            fault = inject(patch, where, count, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            message = attempt(target)
        failed = "No space left" in message
        assert failed or not message
        if failed:
            assert listing(tmp_path) == ["a"], "nothing is left beside it"
            assert {name: (target / name).read_bytes() for name in listing(target)} == before
        if not fault.fired:
            break
        fired += failed
        if not failed:  # a step that may fail: the lock, a hard link, deleting the old one
            assert artifact.read(target).digest != old
            samples.write(target, seed=0)
            assert listing(tmp_path) == ["a"]
    expected = {
        "write": 6,
        "fsync": 5,
        "rename": 0 if swap == "exchange" else 2,
        "mkdir": 1,
        "exchange": 1,
        "open": 3,
        "link": 0,
    }
    assert fired >= expected[where]
    assert artifact.read(target).digest != old


@pytest.mark.parametrize("where", ["write", "fsync", "rename", "mkdir", "open"])
def test_failure_leaves_nothing_where_nothing_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    failures = 0
    for count in range(100):
        target = tmp_path / str(count) / "a"
        target.parent.mkdir()
        with monkeypatch.context() as patch:
            fault = inject(patch, where, count, OSError(errno.EIO, os.strerror(errno.EIO)))
            try:
                samples.write(target)
            except ArtifactError:
                assert listing(target.parent) == []
                failures += 1
            else:
                assert listing(target.parent) == ["a"]
        if not fault.fired:
            break
    assert failures > 0
    assert not fault.fired


@pytest.mark.parametrize("where", ["write", "fsync", "exchange"])
def test_interrupt_cleans_up_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    old = samples.write(tmp_path / "a", seed=0)
    with monkeypatch.context() as patch:
        inject(patch, where, 0, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            samples.write(tmp_path / "a", seed=1)
    assert listing(tmp_path) == ["a"]
    assert artifact.read(tmp_path / "a").digest == old


def test_disk_full_for_real(tmp_path: Path) -> None:
    old = samples.write(tmp_path / "a", seed=0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(ArtifactError, match="File too large"):
            samples.write(tmp_path / "a", seed=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert listing(tmp_path) == ["a"]
    assert artifact.read(tmp_path / "a").digest == old


_WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
import artifact_files as samples
print("ready", flush=True)
seed = 0
while True:
    seed += 1
    samples.write(sys.argv[2], seed=seed % 2)
"""


def test_killed_writers_leave_a_whole_artifact(tmp_path: Path) -> None:
    target = tmp_path / "a"
    digests = {samples.write(tmp_path / "b", seed=seed) for seed in (0, 1)}
    samples.write(target)
    rng = random.Random(0)
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(Path(samples.__file__).parent), str(target)],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.0, 0.05))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert artifact.read(target).digest in digests
    (tmp_path / ".limbeck-tmp-0000").mkdir()  # one orphan at least, whatever the dice said
    samples.write(target)
    assert listing(tmp_path) == ["a", "b"], "the next writer cleans up"


def test_writer_spares_what_another_one_is_filling(tmp_path: Path) -> None:
    with replacing.replaced(tmp_path / "slow") as staging:
        (staging / "limbeck.json").write_text("{}")
        samples.write(tmp_path / "quick")
        assert listing(staging) == ["limbeck.json"]
    assert listing(tmp_path) == ["quick", "slow"]


def test_readers_never_see_half(tmp_path: Path) -> None:
    target = tmp_path / "a"
    digests = {samples.write(target, seed=seed) for seed in (1, 0)}
    stop = threading.Event()
    failures: list[BaseException] = []

    def keep_writing() -> None:
        seed = 0
        try:
            while not stop.is_set():
                seed += 1
                samples.write(target, seed=seed % 2)
                time.sleep(0.005)
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    seen = set()
    try:
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            with artifact.read(target) as found:
                seen.add(found.digest)
                assert found.tokenizer_bytes() == samples.TOKENIZER
    finally:
        stop.set()
        writer.join()
    assert not failures
    assert seen == digests


def test_what_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    samples.write(tmp_path / "empty")
    samples.write(tmp_path / "deep" / "er")
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.safetensors").write_text("x")
    for name, message in (
        ("file", "is a file"),
        ("other", "no artifact"),
        ("file/below", "is a file"),
        ("a\0b", "no path"),
        ("x" * 300, "too long"),
    ):
        with pytest.raises(ArtifactError, match=message):
            samples.write(tmp_path / name)
        if message != "too long":
            with pytest.raises(ArtifactError, match=message):
                artifact.check_target(tmp_path / name)
    assert (tmp_path / "other" / "model.safetensors").read_text() == "x"
    assert listing(tmp_path) == ["deep", "empty", "file", "other"]


def test_replacing_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    samples.write(tmp_path / "v1", seed=0)
    (tmp_path / "current").symlink_to("v1")
    digest = samples.write(tmp_path / "current", seed=1)
    assert (tmp_path / "current").is_symlink()
    assert artifact.read(tmp_path / "v1").digest == digest


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digest = artifact.write(
        "a",
        spec=samples.spec(),
        weights=samples.weights(samples.spec()),
        tokenizer_json=samples.TOKENIZER,
        lineage={},
    )
    assert artifact.read("a").digest == digest
    assert artifact.read(Path("./a/")).digest == digest


def test_files_of_others_stay_and_old_measurements_go(tmp_path: Path) -> None:
    target = tmp_path / "a"
    samples.write(target)
    artifact.write_measured(target, {"accuracy": 0.9})
    (target / "report.html").write_text("<p>")
    (target / "notes").mkdir()
    (target / "notes" / "one.txt").write_text("1")
    (target / "notes" / "link").symlink_to("one.txt")
    (target / "dangling").symlink_to("nowhere")
    samples.write(target, seed=1)
    assert (target / "report.html").read_text() == "<p>"
    assert (target / "notes" / "link").is_symlink()
    assert (target / "notes" / "one.txt").read_text() == "1"
    assert (target / "dangling").is_symlink()
    assert artifact.read_measured(target) == {}
    artifact.read(target)


def test_pipe_in_the_old_directory_is_refused(tmp_path: Path) -> None:
    old = samples.write(tmp_path / "a")
    os.mkfifo(tmp_path / "a" / "pipe")
    with samples.no_hang(), pytest.raises(ArtifactError, match="pipe"):
        samples.write(tmp_path / "a", seed=1)
    assert artifact.read(tmp_path / "a").digest == old
    assert listing(tmp_path) == ["a"]


def test_new_files_have_ordinary_permissions(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        samples.write(tmp_path / "a")
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "a" / "limbeck.json").stat().st_mode & 0o777 == 0o640
