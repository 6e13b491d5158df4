"""The token ids on which peers with static scales are calibrated: others than are compared."""

from __future__ import annotations

from limbeck.bench.models import token_ids

_BATCHES = 12
_SEED = 1


def calibration_ids(vocab: int) -> list[list[list[int]]]:
    """Batches of 4 rows of 16 to 64 ids, so that padding is among what is seen."""
    rows = token_ids(4 * _BATCHES, 64, vocab=vocab, seed=_SEED)
    cut = [row[: 64 - 16 * (number % 4)] for number, row in enumerate(rows)]
    return [cut[start : start + 4] for start in range(0, len(cut), 4)]
