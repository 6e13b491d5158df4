"""Lines for people, on standard error: results have standard output to themselves."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def say(text: str) -> None:
    """Print one line to standard error, where it can be written to: a server goes on without."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


class LeftOut:
    """Tells of bad rows, which are left out, and in the end of how many there were."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, message: str) -> None:
        self.count += 1
        say(f"limbeck: {message}")

    def close(self) -> None:
        """Say how many, if any."""
        if self.count:
            say(f"limbeck: bad rows that were left out: {self.count}")


def console() -> Console:
    """A rich console on standard error; plain text where that is no terminal."""
    from rich.console import Console

    return Console(stderr=True)
