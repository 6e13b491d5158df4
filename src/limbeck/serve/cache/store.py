"""Answers of the past, the most recently used of them, within a number of bytes.

cachetools has both the bound and the time to live, but fixes the bound when a cache is made, where
ours must shrink; it asks a clock where ours is told the time; and its TTLCache lets thousands of
entries expire inside one look-up, takes 300 bytes for each beside its value (an ordered dictionary:
105) and ten times as long.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

from limbeck.serve.cache.sizes import ENTRY_BYTES, size_bytes


class Hit:
    """A stored answer: of one row, with its number of tokens. To be read, never changed."""

    __slots__ = ("expires_s", "size_bytes", "tokens", "value")

    def __init__(self, value: Any, tokens: int, *, size_bytes: int, expires_s: float) -> None:
        self.value = value
        self.tokens = tokens
        self.size_bytes = size_bytes
        self.expires_s = expires_s


class Store:
    """bound_bytes: never exceeded; 0 stores nothing. ttl_s: None: answers do not expire."""

    def __init__(self, bound_bytes: int, ttl_s: float | None = None) -> None:
        self.bound_bytes = bound_bytes
        self.size_bytes = 0
        self.evictions = 0
        self._ttl_s = math.inf if ttl_s is None else ttl_s
        self._entries: OrderedDict[bytes, Hit] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now_s: float) -> Hit | None:
        """The answer, unless it has expired; it is then the most recently used."""
        found = self._entries.get(key)
        if found is None:
            return None
        if now_s >= found.expires_s:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return found

    def put(self, key: bytes, value: Any, tokens: int, now_s: float) -> None:
        """Keep an answer; what is larger than the whole bound is not kept."""
        if key in self._entries:
            self._drop(key)
        size = ENTRY_BYTES + len(key) + size_bytes(value)
        if size > self.bound_bytes:
            return
        self._evict(self.bound_bytes - size)
        expires_s = math.inf if self._ttl_s == math.inf else now_s + self._ttl_s
        self._entries[key] = Hit(value, tokens, size_bytes=size, expires_s=expires_s)
        self.size_bytes += size

    def resize(self, bound_bytes: int) -> None:
        """From now on within this bound."""
        shrinks = bound_bytes < self.size_bytes
        self.bound_bytes = bound_bytes
        self._evict(bound_bytes)
        if shrinks:  # a dictionary keeps the room that it once had; a copy does not
            self._entries = OrderedDict(self._entries)

    def _evict(self, to_bytes: int) -> None:
        while self.size_bytes > to_bytes:
            _, gone = self._entries.popitem(last=False)
            self.size_bytes -= gone.size_bytes
            self.evictions += 1

    def _drop(self, key: bytes) -> None:
        self.size_bytes -= self._entries.pop(key).size_bytes
