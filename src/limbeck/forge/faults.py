"""Points at which a test lets the process die or the disk fill up; elsewhere they cost one look.

LIMBECK_FAULT="fsync:3:kill": at the third passing of point "fsync" the process is gone, as if it
had been killed; "rename:1:ENOSPC": an OSError of that name is raised there instead.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field

from limbeck.errors import InputError

VARIABLE = "LIMBECK_FAULT"
# What a shell reports for a process that was killed by signal 9.
KILLED = 137


@dataclass(kw_only=True)
class _Plan:
    point: str
    number: int
    what: str
    passed: Counter[str] = field(default_factory=Counter)


_plan: _Plan | None = None


def arm(text: str) -> None:
    """Plan a fault, or with "" none.

    Raises:
        InputError: it is not POINT:NUMBER:kill or POINT:NUMBER:ERRNO.
    """
    global _plan
    if not text:
        _plan = None
        return
    point_name, _, rest = text.partition(":")
    number, _, what = rest.partition(":")
    if not number.isdecimal() or not (what == "kill" or hasattr(errno, what)):
        raise InputError(f"{VARIABLE} is POINT:NUMBER:kill or POINT:NUMBER:ENOSPC, found {text!r}")
    _plan = _Plan(point=point_name, number=int(number), what=what)


def passed() -> dict[str, int]:
    """How often each point has been passed since `arm`; empty where nothing is planned."""
    return {} if _plan is None else dict(_plan.passed)


def point(name: str) -> None:
    """A place where the planned fault may happen.

    Raises:
        OSError: one is planned for now.
    """
    if _plan is None:
        return
    _plan.passed[name] += 1
    if name != _plan.point or _plan.passed[name] != _plan.number:
        return
    if _plan.what == "kill":
        os._exit(KILLED)
    code = getattr(errno, _plan.what)
    raise OSError(code, os.strerror(code))


arm(os.environ.get(VARIABLE, ""))
