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


def say_own(text: str) -> None:
    """`say`, with our name before it."""
    say(f"limbeck: {text}")


def console() -> Console:
    """A rich console on standard error; plain text where that is no terminal."""
    from rich.console import Console

    return Console(stderr=True)
