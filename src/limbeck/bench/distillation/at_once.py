"""Several trainings side by side, each in a process of its own."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

import torch

from limbeck.bench.distillation.plan import Run
from limbeck.bench.distillation.sets import Rows
from limbeck.bench.distillation.work import Workshop
from limbeck.forge import side_by_side
from limbeck.forge.side_by_side import Piece, Tell

# Told of a run: None when it begins, and its minutes when it ends.
Hear = Callable[[Run, float | None], None]


def train(wanted: Sequence[tuple[Run, Rows]], shop: Workshop, jobs: int, hear: Hear) -> None:
    """Train these runs, so many side by side, each with its share of the threads.

    Raises:
        TrainingError: a process died, or what a training failed with.
    """
    by_name = {str(run): run for run, _ in wanted}
    threads = side_by_side.threads_each(jobs)
    pieces = [
        Piece(
            name=str(run),
            work=functools.partial(_train, shop, run, rows, threads),
            needs=frozenset(str(needed) for needed in run.needs) & by_name.keys(),
        )
        for run, rows in wanted
    ]
    side_by_side.run(pieces, jobs, lambda name, minutes: hear(by_name[name], minutes))


def _train(shop: Workshop, run: Run, rows: Rows, threads: int, tell: Tell) -> None:
    """In a process of its own, which could not import a function of `__main__`."""
    torch.set_num_threads(threads)
    tell(None)
    began = time.perf_counter()
    shop.train(run, rows)
    tell((time.perf_counter() - began) / 60)
