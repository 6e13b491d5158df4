"""Runs the points of a curve: one after another, or several lines at once.

A line is a dense model, or what is pruned from it in one pattern, each point from the one before.
Lines of the same model share nothing but what they begin with. So with several jobs a line is run
by a process of its own, which tells this one what it would have said, and what it made. Such a
process may go at any moment, as any run may: what it finished is kept.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from limbeck.errors import LimbeckError, TrainingError
from limbeck.forge import progress
from limbeck.forge.recipe import state
from limbeck.forge.recipe.curve.plan import Point
from limbeck.forge.recipe.finish import Finished
from limbeck.forge.recipe.runner import Options, Say, run

_Voice = Literal["say", "lenient"]
_PATIENCE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """What all points of a curve share. begin: the state that a new run of one begins with."""

    home: Path
    planned: Sequence[Point]
    options: Options
    begin: state.RunState

    def run(self, index: int, say: Say, lenient: Say | None) -> Finished:
        """Run one point, or go on with it."""
        # the nearest first; a run of the recipe itself may have made some stages
        before = (one.recipe.run.out for one in reversed(self.planned[:index]))
        return run(
            self.planned[index].recipe,
            self.options,
            say=say,
            lenient=lenient,
            begin=self.begin,
            siblings=(*before, self.home),
            shared=self.home,
        )


@dataclass(frozen=True, kw_only=True)
class _Line:
    """Points that are run one after another. needs: the line that has to be done before."""

    name: str
    points: tuple[int, ...]
    needs: str | None


@dataclass(kw_only=True, eq=False)
class _Worker:
    """A process at work on a line."""

    line: _Line
    process: Any
    pipe: multiprocessing.connection.Connection[Any, Any]


@dataclass(kw_only=True)
class _Lines:
    """Lines that wait, that are being run, and the names of those that are done."""

    waiting: list[_Line]
    running: list[_Worker] = field(default_factory=list)
    done: set[str] = field(default_factory=set)

    def next(self) -> _Line | None:
        """The first line that nothing holds up; a dense model first, for others wait for it."""
        ready = [line for line in self.waiting if line.needs is None or line.needs in self.done]
        return min(ready, key=lambda line: line.needs is not None, default=None)


def at_once(
    place: Place, first: int, jobs: int, say: Say, lenient: Say | None
) -> dict[int, Finished]:
    """Run all points from `first` on, as many lines at once as there are jobs.

    Raises:
        TrainingError: a process died; or what a point failed with. The others are stopped, and go
            on from there when the curve is made again.
    """
    lines = _Lines(waiting=_lines(place.planned, first))
    voices: dict[_Voice, Say | None] = {"say": say, "lenient": lenient}
    found: dict[int, Finished] = {}
    total = len(place.planned) - first
    with progress.bar("making the curve", total) as shown, _all_stopped(lines.running):
        while lines.waiting or lines.running:
            while len(lines.running) < jobs and (line := lines.next()) is not None:
                lines.waiting.remove(line)
                lines.running.append(_started(place, line, lenient is not None))
            for worker in _heard(lines.running):
                kind, told = _received(worker)
                if kind == "failed":
                    raise told
                if kind == "point":
                    index, finished = told
                    found[index] = finished
                    shown.advance(note=place.planned[index].name)
                elif kind == "done":
                    _ended(worker)
                    lines.running.remove(worker)
                    lines.done.add(worker.line.name)
                elif (voice := voices[kind]) is not None:
                    voice(told)
    return found


def _lines(planned: Sequence[Point], first: int) -> list[_Line]:
    made = {point.line for point in planned[:first]}
    dense = {point.base: point.line for point in planned if point.pattern is None}
    found: dict[str, _Line] = {}
    for index, point in enumerate(planned[first:], first):
        before = found[point.line].points if point.line in found else ()
        body = dense[point.base]
        needs = None if body in made or body == point.line else body
        found[point.line] = _Line(name=point.line, points=(*before, index), needs=needs)
    return list(found.values())


def _heard(running: Sequence[_Worker]) -> list[_Worker]:
    ready = multiprocessing.connection.wait([worker.pipe for worker in running])
    return [worker for worker in running if worker.pipe in ready]


def _received(worker: _Worker) -> Any:
    try:
        return worker.pipe.recv()
    except EOFError:
        worker.process.join()
        raise TrainingError(
            f"the process that made {worker.line.name} died (exit code {worker.process.exitcode}); "
            "each of several jobs holds models of its own, so that fewer take less memory. Start "
            "again: what is done is kept"
        ) from None


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


def _started(place: Place, line: _Line, lenient: bool) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_work, args=(theirs, place, line, lenient), name=line.name, daemon=True
    )
    process.start()
    theirs.close()
    return _Worker(line=line, process=process, pipe=ours)


# In the process of a line


def _work(
    pipe: multiprocessing.connection.Connection[Any, Any],
    place: Place,
    line: _Line,
    lenient: bool,
) -> None:
    """Run a line's points. Ctrl-C reaches this process through its parent alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    progress.hide()

    def voice(kind: _Voice) -> Say:
        return lambda message: pipe.send((kind, message))

    try:
        for index in line.points:
            heard = voice("lenient") if lenient else None
            pipe.send(("point", (index, place.run(index, voice("say"), heard))))
    except LimbeckError as error:
        pipe.send(("failed", error))
        return
    pipe.send(("done", None))


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
