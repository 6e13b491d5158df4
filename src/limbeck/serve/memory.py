"""The memory guard: when the process grows beyond a soft limit, it gives back what it can.

First the cache shrinks, then the allocator returns what it keeps, then models are loaded anew; no
request is lost to any of it. The decision is apart from the watch, which knows no rules.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal, Protocol

_log = logging.getLogger("limbeck.serve.memory")

Action = Literal["shrink_cache", "trim", "reload", "restore_cache"]

# Below this share of the soft limit all is well again.
CALM: Final = 0.85
# Loading models anew doubles their memory for a while, and takes processor time from requests.
RELOAD_EVERY_S: Final = 600.0
# Share of a container's limit that is the soft limit where none is given.
CONTAINER_SHARE: Final = 0.9
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Decision:
    """What to do next. Pure: times and sizes come from outside.

    Each look above the soft limit takes the next step, so that each gets the time until the next
    look to work. Between calm and the limit nothing is done, or memory near the limit would set
    it off again and again.
    """

    def __init__(self, soft_limit_bytes: int, *, reload_every_s: float = RELOAD_EVERY_S) -> None:
        self._limit_bytes = soft_limit_bytes
        self._reload_every_s = reload_every_s
        self._steps_taken = 0
        self._shrunk = False
        self._reloaded_s: float | None = None

    def next(self, now_s: float, memory_bytes: int, cache_bytes: int) -> Action | None:
        """What is to be done now, None for nothing."""
        if memory_bytes <= self._limit_bytes:
            if memory_bytes <= self._limit_bytes * CALM:
                self._steps_taken = 0
                if self._shrunk:
                    self._shrunk = False
                    return "restore_cache"
            return None
        steps: tuple[Action, ...] = ("shrink_cache", "trim", "reload")
        while self._steps_taken < len(steps):
            step = steps[self._steps_taken]
            if step == "reload" and not self._may_reload(now_s):
                return None
            self._steps_taken += 1
            if step == "shrink_cache":
                if cache_bytes == 0:
                    continue
                self._shrunk = True
            elif step == "reload":
                self._reloaded_s = now_s
                # What is still too much then is looked at from the beginning.
                self._steps_taken = 0
            return step
        return None

    def cache_target_bytes(self, memory_bytes: int, cache_bytes: int) -> int:
        """How small the cache has to be for calm, at most half of what it is now."""
        excess_bytes = memory_bytes - int(self._limit_bytes * CALM)
        return max(0, min(cache_bytes // 2, cache_bytes - excess_bytes))

    def _may_reload(self, now_s: float) -> bool:
        return self._reloaded_s is None or now_s - self._reloaded_s >= self._reload_every_s


class Cache(Protocol):
    """What the guard needs of the cache."""

    @property
    def size_bytes(self) -> int: ...

    def shrink(self, to_bytes: int) -> None: ...

    def restore(self) -> None: ...


class Guard:
    """Looks every so often, and does what is decided."""

    def __init__(
        self,
        soft_limit_bytes: int,
        *,
        check_s: float,
        cache: Cache,
        reload: Callable[[], Awaitable[None]],
        on_action: Callable[[str], None] = lambda action: None,
        memory: Callable[[], int] | None = None,
        trim: Callable[[], None] | None = None,
        reload_every_s: float = RELOAD_EVERY_S,
    ) -> None:
        """Args: reload: loads all models anew. on_action: told of each step that was taken."""
        self.decision = Decision(soft_limit_bytes, reload_every_s=reload_every_s)
        self._limit_bytes = soft_limit_bytes
        self._check_s = check_s
        self._cache = cache
        self._reload = reload
        self._on_action = on_action
        self._memory = memory or own_bytes
        self._trim = trim or trim_allocator

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._check_s)
            try:
                await self.look()
            except Exception as error:
                # The old models stay when new ones cannot be loaded; the next look is soon.
                _log.error("the memory guard could not do its work: %s", error)

    async def look(self) -> Action | None:
        """Once: what was done."""
        memory_bytes = self._memory()
        cache_bytes = self._cache.size_bytes
        now_s = asyncio.get_running_loop().time()
        action = self.decision.next(now_s, memory_bytes, cache_bytes)
        if action is None:
            return None
        if action == "restore_cache":
            self._cache.restore()
            return action
        _log.warning(
            "memory is at %d MB, above the soft limit of %d MB: %s",
            memory_bytes >> 20,
            self._limit_bytes >> 20,
            action,
        )
        self._on_action(action)
        if action == "shrink_cache":
            self._cache.shrink(self.decision.cache_target_bytes(memory_bytes, cache_bytes))
        elif action == "trim":
            # It holds the allocator's locks, not ours.
            await asyncio.to_thread(self._trim)
        else:
            await self._reload()
            await asyncio.to_thread(self._trim)
        return action


def own_bytes() -> int:
    """Memory that only this process could give back. Pages of mapped files are not among it: the
    system takes those by itself when memory is short."""
    found = 0
    with open("/proc/self/status", "rb") as file:
        for line in file:
            name, _, value = line.partition(b":")
            if name in (b"RssAnon", b"RssShmem"):
                found += int(value.split()[0]) << 10
    return found


def resident_bytes(process: int | str = "self") -> int:
    """Memory of a process that is in use, mapped files included."""
    with open(f"/proc/{process}/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES


def trim_allocator() -> None:
    """Let glibc return free memory to the system; other libraries do so by themselves."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(ctypes.c_size_t(0))


def container_limit_bytes(
    root: Path = Path("/sys/fs/cgroup"), own: str | None = None
) -> int | None:
    """The least limit on memory of this process's cgroups (version 2); None without one.

    own: the process's place below root; None to look it up.
    """
    if own is None:
        own = _own_cgroup()
    limits = []
    folder = root / own.lstrip("/")
    if not folder.is_relative_to(root) or ".." in folder.parts:
        folder = root
    for place in (folder, *folder.parents):
        try:
            text = (place / "memory.max").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            text = "max"
        if text.isdecimal():
            limits.append(int(text))
        if place == root:
            break
    return min(limits, default=None)


def _own_cgroup() -> str:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line[3:] for line in lines if line.startswith("0::")), "")


def soft_limit_bytes(
    configured_bytes: int | None, container_bytes: int | None, *, processes: int = 1
) -> int | None:
    """For each process: what is configured, else its part of most of the container's limit; None
    where there is neither.
    """
    if configured_bytes is not None:
        return configured_bytes
    if container_bytes is None:
        return None
    return int(container_bytes * CONTAINER_SHARE) // processes
