"""A contestant in a process of its own, driven over pipes; `protocol` is the other end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

import limbeck
from limbeck.bench.contestants import contestant
from limbeck.bench.models import token_ids
from limbeck.bench.protocol import F32, Output, Rows
from limbeck.bench.workloads import Batch, Point
from limbeck.errors import EngineError

# Where `make peers` puts one environment a peer.
PEERS = Path(".peers")


def interpreter(environment: str | None) -> Path:
    """The Python of a peer's environment; this one's own for None.

    Raises:
        EngineError: the environment is not there.
    """
    if environment is None:
        return Path(sys.executable)
    python = PEERS / environment / "bin" / "python"
    # tools/peers.py writes the record when everything is installed.
    if not python.exists() or not (PEERS / environment / "installed.txt").exists():
        raise EngineError(
            f"there is no environment {PEERS / environment} for peer {environment!r}; "
            f"make it with: make peers"
        )
    return python


def _variables(environment: str | None, threads: int) -> dict[str, str]:
    variables = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        # Peers report home unless told not to.
        "NM_DISABLE_ANALYTICS": "1",
        "NNCF_CI": "1",
        "HF_HUB_OFFLINE": "1",
    }
    if environment is not None:
        variables |= own_packages()
    return variables


def own_packages() -> dict[str, str]:
    """A peer's own packages and this one's code, and nothing of this environment."""
    return {"PYTHONPATH": str(Path(limbeck.__file__).parents[1]), "PYTHONNOUSERSITE": "1"}


class Worker:
    """A contestant loaded in a process of its own; a context manager that ends it.

    Raises:
        InputError: no contestant has that name.
        EngineError: its environment is missing, it could not be loaded, or its process died; with
            what it said.
    """

    def __init__(self, name: str, paths: Mapping[str, str], *, threads: int) -> None:
        self.name = name
        environment = contestant(name).environment
        python = interpreter(environment)
        # Closed by close(), with the process that writes to it.
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._prepared: set[str] = set()
        self._process = subprocess.Popen(
            [str(python), "-m", "limbeck.bench.protocol"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=_variables(environment, threads),
        )
        try:
            self.facts: dict[str, str] = self._ask(
                "load", name=name, paths=dict(paths), threads=threads
            )
        except BaseException:
            self.close()
            raise

    def _ask(self, what: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": what, "with": arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            said = self._log.read()[-2000:].strip()
            raise EngineError(f"{self.name}: its process ended with status {code}. It said: {said}")
        reply = json.loads(line)
        if "error" in reply:
            raise EngineError(f"{self.name}: {reply['error']}")
        return reply["result"]

    def time_batches(
        self, key: str, batches: Sequence[Batch], output: Output, *, calls: int
    ) -> list[float]:
        """Seconds of each of `calls` runs over all batches, which are prepared once a key."""
        if key not in self._prepared:
            given = [
                {"ids": batch.ids, "pad_to": batch.pad_to, "static": batch.static}
                for batch in batches
            ]
            self._ask("prepare", key=key, batches=given, output=output)
            self._prepared.add(key)
        seconds: list[float] = self._ask("time", key=key, calls=calls)
        return seconds

    def time(self, point: Point, output: Output, *, vocab: int, calls: int) -> list[float]:
        """Seconds of each of `calls` calls on the token ids of `point`."""
        ids = token_ids(point.batch, point.tokens, vocab=vocab)
        return self.time_batches(f"{point} {output}", [Batch(ids=ids)], output, calls=calls)

    def forget(self) -> None:
        """Let the process drop what it prepared: graphs compiled for one shape take memory."""
        self._ask("forget")
        self._prepared.clear()

    def answer(self, point: Point, output: Output, *, vocab: int) -> F32:
        """[B, L] logits or [T, C] hidden states for the token ids of `point`."""
        return self.answer_ids(token_ids(point.batch, point.tokens, vocab=vocab), output)

    def answer_ids(self, ids: Rows, output: Output) -> F32:
        """[B, L] logits or [T, C] hidden states."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "answer.npy"
            self._ask("answer", ids=ids, output=output, path=str(path))
            values: F32 = np.load(path)
        return values

    def close(self) -> None:
        """End the process; also after an error."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
