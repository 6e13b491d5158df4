"""A contestant's side of the pipe, in a process and, for most peers, an environment of its own.

Run as `python -m limbeck.bench.protocol`, it reads one JSON request a line from its standard input
and answers each with one line: a result, or {"error": text}. It keeps its own time, so that the
pipe is in no figure. What libraries print goes to standard error. `worker.Worker` is the other end.

A peer's environment has numpy, of whatever version, and the peer: this module and what it imports
make do with that.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TextIO

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Rows = Sequence[Sequence[int]]
Output = Literal["logits", "hidden"]


class Loaded(Protocol):
    """A model in memory. Answers are [B, L] logits or [T, C] packed hidden states."""

    def prepare(
        self, ids: Rows, output: Output, *, pad_to: int | None = None, static: bool = True
    ) -> Callable[[], object]:
        """Inputs made ready, and the call that is timed.

        Args:
            pad_to: for peers that pad: to this length at least.
            static: the shape comes again, so that a graph compiled for it alone pays off.
        """

    def answer(self, ids: Rows, output: Output) -> F32: ...

    def facts(self) -> dict[str, str]:
        """isa and whatever else tells one build of the contestant from another."""


class Server:
    """What can be asked for: each public method is a request, and returns what JSON can carry."""

    def __init__(self) -> None:
        self._model: Loaded | None = None
        self._work: dict[str, list[Callable[[], object]]] = {}

    def load(self, *, name: str, paths: Mapping[str, str], threads: int) -> dict[str, str]:
        from limbeck.bench.contestants import contestant

        self._model = contestant(name).load(paths, threads)
        return self._model.facts()

    def prepare(self, *, key: str, batches: Sequence[Mapping[str, Any]], output: Output) -> None:
        """Get `batches` ready under a name; a call of that work runs all of them in turn."""
        assert self._model is not None
        model = self._model
        self._work[key] = [
            model.prepare(batch["ids"], output, pad_to=batch["pad_to"], static=batch["static"])
            for batch in batches
        ]

    def forget(self) -> None:
        """Drop all prepared work, and the graphs that were compiled for it."""
        self._work.clear()
        gc.collect()

    def time(self, *, key: str, calls: int) -> list[float]:
        work = self._work[key]
        seconds = []
        for _ in range(calls):
            start = time.perf_counter()
            for call in work:
                call()
            seconds.append(time.perf_counter() - start)
        return seconds

    def answer(self, *, ids: Rows, output: Output, path: str) -> None:
        assert self._model is not None
        np.save(path, self._model.answer(ids, output))


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until the other end closes."""
    server = Server()
    for line in requests:
        try:
            request = json.loads(line)
            reply = {"result": getattr(server, request["do"])(**request["with"])}
        except Exception as error:  # whatever a peer raises goes to the other end as text
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def main() -> None:
    """Serve the pipes; prints of libraries are led to standard error first."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
