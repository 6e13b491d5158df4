"""The demo's steps, timed and shown one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(kw_only=True)
class Stages:
    """Times named steps and says what each found. `seconds` holds them in order."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Notes]:
        """Time the block; what it notes is printed behind its name when it ends."""
        notes = Notes()
        start = time.perf_counter()
        with self.console.status(f"{name} ..."):
            yield notes
        taken = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + taken
        self.console.print(f"[bold]{name}[/bold] [dim]{taken:.1f} s[/dim]  {notes.text}")

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    def table(self) -> Table:
        table = Table("step", "seconds", title="Where the time went")
        table.columns[1].justify = "right"
        for name, taken in self.seconds.items():
            table.add_row(name, f"{taken:.1f}")
        table.add_section()
        table.add_row("total", f"{self.total:.1f}")
        return table


@dataclass(kw_only=True)
class Notes:
    """What a step wants said about itself."""

    text: str = ""

    def say(self, text: str) -> None:
        self.text = text
