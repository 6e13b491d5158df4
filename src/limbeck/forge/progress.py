"""Progress of a long step: a bar with the time left on a terminal, silence elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from limbeck.forge import faults

_hidden = False


def hide() -> None:
    """No bars in this process from here on: it is one of several, and another one shows its own."""
    global _hidden
    _hidden = True


class Bar:
    """What a step reports to; `advance` may be called as often as it likes."""

    def __init__(self, progress: Progress | None, task: int) -> None:
        self._progress = progress
        self._task = task

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        faults.point("progress")
        if self._progress is not None:
            self._progress.update(self._task, advance=amount, note=note)  # type: ignore[arg-type]


@contextmanager
def bar(description: str, total: float, console: Console | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs; on something that is no terminal, show nothing."""
    console = console or Console(stderr=True)
    if _hidden or not console.is_terminal:
        yield Bar(None, 0)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress, progress.add_task(description, total=total, note=""))
