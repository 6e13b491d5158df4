"""Rows -> batches: full ones where rows are plenty, small ones where they drip in."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")

# How long a reader thread may wait for room before it looks whether anybody still listens.
_LOOK_UP_SECONDS = 0.2


def in_batches(rows: Iterator[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` rows, in order.

    A thread reads ahead, at most one batch: whoever types or pipes a line gets its answer at once,
    and a file is read in full batches while the model computes.
    """
    ready: Queue[T | None] = Queue(maxsize=size)
    failed: list[BaseException] = []
    stop = Event()

    def read() -> None:
        try:
            for row in rows:
                if not _put(ready, row, stop):
                    return
        except BaseException as error:  # is raised again by the reader of the queue
            failed.append(error)
        _put(ready, None, stop)

    Thread(target=read, name="limbeck-reader", daemon=True).start()
    try:
        while (first := ready.get()) is not None:
            batch = [first]
            ended = False
            while len(batch) < size and not ended:
                try:
                    row = ready.get_nowait()
                except Empty:
                    break
                ended = row is None
                if row is not None:
                    batch.append(row)
            yield batch
            if ended:
                break
        if failed:
            raise failed[0]
    finally:
        stop.set()


def _put(queue: Queue[T | None], row: T | None, stop: Event) -> bool:
    from queue import Full

    while not stop.is_set():
        try:
            queue.put(row, timeout=_LOOK_UP_SECONDS)
        except Full:
            continue
        return True
    return False
