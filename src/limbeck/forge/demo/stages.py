"""The demo's steps, timed and shown one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape


@dataclass(kw_only=True)
class Notes:
    """What a step says about itself when it is done."""

    text: str = ""

    def say(self, text: str) -> None:
        self.text = text


@dataclass(kw_only=True)
class Stages:
    """Times named steps. `seconds` holds them in the order in which they began."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Notes]:
        """Time the block; what it notes is printed behind its name."""
        notes = Notes()
        start = time.perf_counter()
        yield notes
        taken = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + taken
        self.console.print(f"[bold]{name}[/bold] [cyan]{taken:.1f} s[/cyan]  {escape(notes.text)}")

    @property
    def total(self) -> float:
        return sum(self.seconds.values())
