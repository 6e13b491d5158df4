"""Sentences for tests, and files of rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

WORDS = ("good", "bad", "warm", "cold", "old", "new", "small", "large", "quiet", "house")


def sentences(count: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(2, 9))) for _ in range(count)]


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
