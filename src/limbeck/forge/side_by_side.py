"""Pieces of work side by side, each in a process of its own, some behind others.

In: pieces that can be pickled, and how many may run at once. Out: what they tell, one message at a
time, in this process. A piece may be gone at any moment, with whoever started it or because another
one failed: it is for work that keeps what it has finished. Neighbours: a recipe's curve, and the
benchmark of distillation. Processes that train one model together are `limbeck.forge.processes`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from typing import Any

from limbeck.errors import LimbeckError, TrainingError
from limbeck.forge import progress

Tell = Callable[[Any], None]
_Pipe = multiprocessing.connection.Connection
_PATIENCE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Piece:
    """work: called in its process with a function that tells something to this one; it can be
    pickled, as can what it tells. needs: names of the pieces that have to be done before."""

    name: str
    work: Callable[[Tell], None]
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Worker:
    piece: Piece
    process: SpawnProcess
    pipe: _Pipe[Any, Any]


def threads_each(jobs: int) -> int:
    """Threads of each of so many pieces that run at once: this process's, shared out."""
    import torch

    return max(1, torch.get_num_threads() // jobs)


def run(pieces: Sequence[Piece], jobs: int, hear: Callable[[str, Any], None]) -> None:
    """Run all pieces, so many at once: of those that nothing holds up, the first.

    Args:
        hear: is told each message and the name of the piece that it is from.

    Raises:
        TrainingError: a process died.
        LimbeckError: what a piece failed with. In both cases the others are stopped.
        ValueError: pieces that wait for one another, or for none of these.
    """
    waiting, done = list(pieces), set[str]()
    running: list[_Worker] = []
    with _all_stopped(running):
        while waiting or running:
            for piece in [one for one in waiting if one.needs <= done][: jobs - len(running)]:
                waiting.remove(piece)
                running.append(_started(piece))
            if not running:
                raise ValueError(f"nothing will ever be ready for {[one.name for one in waiting]}")
            for worker in _heard(running):
                kind, told = _received(worker)
                if kind == "failed":
                    raise told
                if kind == "told":
                    hear(worker.piece.name, told)
                else:
                    running.remove(worker)
                    _ended(worker)
                    done.add(worker.piece.name)


def _started(piece: Piece) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, piece), name=piece.name, daemon=True)
    process.start()
    theirs.close()
    return _Worker(piece=piece, process=process, pipe=ours)


def _heard(running: Sequence[_Worker]) -> list[_Worker]:
    ready = multiprocessing.connection.wait([worker.pipe for worker in running])
    return [worker for worker in running if worker.pipe in ready]


def _received(worker: _Worker) -> tuple[str, Any]:
    try:
        found: tuple[str, Any] = worker.pipe.recv()
    except EOFError:
        worker.process.join()
        raise TrainingError(
            f"the process of {worker.piece.name} died (exit code {worker.process.exitcode}). Each "
            "of several jobs holds models of its own, so that fewer take less memory. Start again: "
            "what is done is kept"
        ) from None
    return found


def _ended(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.join()


@contextlib.contextmanager
def _all_stopped(running: list[_Worker]) -> Iterator[None]:
    """Nothing is left running behind the block."""
    try:
        yield
    finally:
        for worker in running:
            worker.process.terminate()
        for worker in running:
            worker.process.join(_PATIENCE_S)
            if worker.process.is_alive():
                worker.process.kill()
            _ended(worker)


# In the process of a piece


def _work(pipe: _Pipe[Any, Any], piece: Piece) -> None:
    """Do a piece. Ctrl-C reaches this process through its parent alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_go_with_parent, daemon=True).start()
    progress.hide()
    try:
        piece.work(lambda told: pipe.send(("told", told)))
    except LimbeckError as error:
        pipe.send(("failed", error))
    else:
        pipe.send(("done", None))


def _go_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
