"""An event loop as the server's in a thread of its own, for tests whose clients block."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import uvloop

from waiting import PATIENCE_S

_Made = TypeVar("_Made")


@contextlib.contextmanager
def in_thread(
    serve: Callable[[Callable[[_Made], None]], Coroutine[Any, Any, None]],
    stop: Callable[[_Made], object],
) -> Iterator[_Made]:
    """Run a server for the length of a block, and let it end as it likes to.

    serve: calls what it is given with what the block gets, once it is up. stop: tells it, in its
    loop, to end. What it raises is raised here.
    """
    up = threading.Event()
    made: list[_Made] = []
    loops: list[asyncio.AbstractEventLoop] = []
    failed: list[BaseException] = []

    def begun(value: _Made) -> None:
        made.append(value)
        up.set()

    async def whole() -> None:
        loops.append(asyncio.get_running_loop())
        await serve(begun)

    def run() -> None:
        try:
            uvloop.run(whole())
        except BaseException as error:
            failed.append(error)
        finally:
            up.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert up.wait(PATIENCE_S), "the server did not start"
    try:
        if made:
            yield made[0]
    finally:
        # Closed where it has ended by itself.
        with contextlib.suppress(RuntimeError):
            if made:
                loops[0].call_soon_threadsafe(stop, made[0])
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the server did not end"
    if failed:
        raise failed[0]
