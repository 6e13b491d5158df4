"""Waiting for what another thread or process does, in place of guessing how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")

# Longer than any machine should need; nothing waits for it but a test that fails.
PATIENCE_S = 90.0
_PAUSE_S = 0.005


def until(true: Callable[[], _Value], what: str = "it", timeout_s: float = PATIENCE_S) -> _Value:
    """Wait for something to be so; what `true` says then. what: for the message of a failure."""
    end = time.monotonic() + timeout_s
    while not (found := true()):
        assert time.monotonic() < end, f"{what} did not happen in {timeout_s:g} s: {found!r}"
        time.sleep(_PAUSE_S)
    return found


async def comes(
    true: Callable[[], _Value], what: str = "it", timeout_s: float = PATIENCE_S
) -> _Value:
    """As `until`, while the event loop goes on."""
    end = time.monotonic() + timeout_s
    while not (found := true()):
        assert time.monotonic() < end, f"{what} did not happen in {timeout_s:g} s: {found!r}"
        await asyncio.sleep(_PAUSE_S)
    return found
