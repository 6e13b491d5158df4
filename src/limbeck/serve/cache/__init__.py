"""Answers that need not be computed again: those of the past, those on their way, those prepared.

In: a key for each row (`Keys`). Out: `Hit`, or who computes it (`Lead`), or whom to wait for
(`Wait`). Lives in one event loop, has neither locks nor threads, and is told the time.
"""

from __future__ import annotations

from limbeck.serve.cache.cache import Cache, Claim, Stats
from limbeck.serve.cache.flights import Lead, Wait
from limbeck.serve.cache.keys import Keys, RowKeys
from limbeck.serve.cache.store import Hit

__all__ = ["Cache", "Claim", "Hit", "Keys", "Lead", "RowKeys", "Stats", "Wait"]
