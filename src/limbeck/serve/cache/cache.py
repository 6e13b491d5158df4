"""The cache as the service sees it: one claim for each row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from limbeck.serve.cache.flights import Lead, Wait
from limbeck.serve.cache.keys import KEY_BYTES
from limbeck.serve.cache.store import Hit, Store

Claim = Hit | Lead | Wait


class Prepared(Protocol):
    """Answers computed before the server started; see `limbeck.serve.cache.precomputed`."""

    def find(self, key: bytes) -> Hit | None:
        """The answer to a key of `KEY_BYTES`."""

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts since the start, and what there is now.

    hits: answered from what was stored; prepared_hits: from what was computed beforehand; joined:
    waited for another request's row; misses: to be computed. in_flight: rows that somebody
    computes. size_bytes, entries: of what is stored, without what is prepared.
    """

    hits: int
    prepared_hits: int
    joined: int
    misses: int
    evictions: int
    size_bytes: int
    bound_bytes: int
    entries: int
    prepared: int
    in_flight: int


class Cache:
    """Answers by the keys of rows.

    size_bytes: bound of what is stored; 0: nothing is stored, but equal rows in flight are still
        computed once.
    ttl_s: how long an answer is given, counted from its claim; None: as long as it is stored.
    prepared: answers in mapped files: outside the bound, for their pages are the system's, shared
        by all processes and given back when memory is short. They do not expire.
    """

    def __init__(
        self, size_bytes: int, *, ttl_s: float | None = None, prepared: Sequence[Prepared] = ()
    ) -> None:
        self._configured_bytes = size_bytes
        self._store = Store(size_bytes, ttl_s)
        self._prepared = tuple(prepared)
        self._leads: dict[bytes, Lead] = {}
        self._hits = self._prepared_hits = self._joined = self._misses = 0

    def claim(self, key: bytes, now: float, *, by_s: float = math.inf) -> Claim:
        """The stored answer, or whether to compute the row or to wait for it.

        A request with many rows first settles all its `Lead`s, and only then awaits its `Wait`s:
        it may be waiting for itself, or for another that waits for it.

        now, by_s: of one clock, in seconds; by_s: when the answer is needed. Who needs it sooner
        than the one that computes does not wait for that one, and computes it too.
        """
        found = self._store.get(key, now)
        if found is not None:
            self._hits += 1
            return found
        for prepared in self._prepared:
            found = prepared.find(key[:KEY_BYTES])
            if found is not None:
                self._prepared_hits += 1
                return found
        lead = self._leads.get(key)
        if lead is not None and lead.by_s <= by_s:
            self._joined += 1
            return Wait(lead)
        self._misses += 1

        def ended(lead: Lead, value: Any, tokens: int | None) -> None:
            if self._leads.get(key) is lead:
                del self._leads[key]
            if tokens is not None:
                self._store.put(key, value, tokens, now)

        lead = self._leads[key] = Lead(by_s, ended)
        return lead

    def prepare(self, prepared: Sequence[Prepared]) -> None:
        """Take these prepared answers in place of those there were."""
        self._prepared = tuple(prepared)

    def shrink(self, to_bytes: int) -> None:
        """Let go of what was used longest ago, and stay within so many bytes until `restore`."""
        self._store.resize(max(0, min(to_bytes, self._store.bound_bytes)))

    def restore(self) -> None:
        """Back to the size that was configured."""
        self._store.resize(self._configured_bytes)

    @property
    def stats(self) -> Stats:
        store = self._store
        return Stats(
            hits=self._hits,
            prepared_hits=self._prepared_hits,
            joined=self._joined,
            misses=self._misses,
            evictions=store.evictions,
            size_bytes=store.size_bytes,
            bound_bytes=store.bound_bytes,
            entries=len(store),
            prepared=sum(map(len, self._prepared)),
            in_flight=len(self._leads),
        )
