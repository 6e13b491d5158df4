"""What an answer weighs in memory, and answers that nobody can change."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

# A place in the ordered dictionary, the key, the entry itself and its numbers, as tracemalloc
# shows them; a test compares.
ENTRY_BYTES = 290


def frozen(value: Any) -> Any:
    """The value with its arrays read-only, and each on memory of its own: a row of a batch would
    keep the whole batch alive."""
    if isinstance(value, np.ndarray):
        if value.base is not None:
            value = value.copy()
        value.setflags(write=False)
        return value
    if isinstance(value, dict):
        return {name: frozen(one) for name, one in value.items()}
    if isinstance(value, list):
        return [frozen(one) for one in value]
    return value


def size_bytes(value: Any) -> int:
    """Bytes of an answer: its arrays, numbers, texts, lists and dictionaries.

    Names of fields are constants of the code and weigh nothing.
    """
    if isinstance(value, np.ndarray):
        return sys.getsizeof(value)
    if isinstance(value, dict):
        return sys.getsizeof(value) + sum(size_bytes(one) for one in value.values())
    if isinstance(value, list | tuple):
        return sys.getsizeof(value) + sum(size_bytes(one) for one in value)
    if value is None or isinstance(value, bool):
        return 0
    return sys.getsizeof(value)
