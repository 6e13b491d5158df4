"""A timer for an event loop that is right to some ten microseconds.

The loops' own timers count in milliseconds, which would add half of one to every latency.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """Calls `ring` at times of `time.monotonic`, through Linux's timerfd (timerfd_create(2)).

    Raises:
        OSError: the system gives no timer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._handle = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._handle < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._setting = _Setting()
        self._pointer = ctypes.byref(self._setting)
        self._ring = ring
        self._loop = loop
        loop.add_reader(self._handle, self._ready)

    def set(self, when: float) -> None:
        """Ring once at `when`, or at once if that has passed."""
        nanoseconds = max(int(when * 1e9), 1)  # zero would switch it off
        value = self._setting.value
        value.seconds, value.nanoseconds = divmod(nanoseconds, 1_000_000_000)
        if self._libc.timerfd_settime(self._handle, _ABSOLUTE, self._pointer, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        self._loop.remove_reader(self._handle)
        os.close(self._handle)

    def _ready(self) -> None:
        try:
            os.read(self._handle, 8)
        except BlockingIOError:
            return
        self._ring()
