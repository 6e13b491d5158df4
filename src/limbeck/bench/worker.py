"""A contestant in a process of its own, driven over pipes.

Run as `python -m limbeck.bench.worker`, it reads one JSON request a line from its standard input
and answers each with one line: a result, or {"error": text}. It keeps its own time, so that the
pipe is in no figure. What libraries print goes to standard error. `Worker` is the other end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np

from limbeck.bench.contestants import F32, Loaded, Output, contestant
from limbeck.bench.models import token_ids
from limbeck.bench.workloads import Point
from limbeck.errors import EngineError


class _Server:
    def __init__(self) -> None:
        self._model: Loaded | None = None
        self._calls: dict[tuple[int, int, int, Output], Callable[[], object]] = {}

    def load(self, *, name: str, paths: Mapping[str, str], threads: int) -> dict[str, str]:
        self._model = contestant(name).load(paths, threads)
        return self._model.facts()

    def time(
        self, *, batch: int, tokens: int, vocab: int, output: Output, calls: int
    ) -> list[float]:
        assert self._model is not None
        key = (batch, tokens, vocab, output)
        if key not in self._calls:
            self._calls[key] = self._model.prepare(token_ids(batch, tokens, vocab=vocab), output)
        call = self._calls[key]
        seconds = []
        for _ in range(calls):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return seconds

    def answer(self, *, batch: int, tokens: int, vocab: int, output: Output, path: str) -> None:
        assert self._model is not None
        np.save(path, self._model.answer(token_ids(batch, tokens, vocab=vocab), output))


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until the other end closes."""
    server = _Server()
    for line in requests:
        request = json.loads(line)
        try:
            result = getattr(server, request["do"])(**request["with"])
            reply = {"result": result}
        except Exception as error:  # whatever a peer raises goes to the other end as text
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


class Worker:
    """A contestant loaded in a process of its own; a context manager that ends it.

    Raises:
        EngineError: the contestant could not be loaded, or its process died; with what it said.
    """

    def __init__(self, name: str, paths: Mapping[str, str], *, threads: int) -> None:
        self.name = name
        # Closed by close(), with the process that writes to it.
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "limbeck.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
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

    def time(self, point: Point, output: Output, *, vocab: int, calls: int) -> list[float]:
        """Seconds of each of `calls` calls on the token ids of `point`."""
        seconds: list[float] = self._ask(
            "time",
            batch=point.batch,
            tokens=point.tokens,
            vocab=vocab,
            output=output,
            calls=calls,
        )
        return seconds

    def answer(self, point: Point, output: Output, *, vocab: int) -> F32:
        """[B, L] logits or [T, C] hidden states for the token ids of `point`."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "answer.npy"
            self._ask(
                "answer",
                batch=point.batch,
                tokens=point.tokens,
                vocab=vocab,
                output=output,
                path=str(path),
            )
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


def main() -> None:
    """Serve the pipes; prints of libraries are led to standard error first."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
