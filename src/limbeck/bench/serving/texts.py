"""What is asked: texts of unequal length, of which no two are the same.

A text that came before could be answered from a server's cache, so each request begins with sixteen
digits of its own (`loadtest.UNIQUE`), some ten tokens for everybody.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck.errors import InputError
from limbeck.loadtest import UNIQUE

# Log-normal numbers of words, as those of short descriptions and messages are: 48 in the middle,
# one in a hundred over 190. Cut at both ends.
MEDIAN_WORDS = 48
SIGMA = 0.6
FEWEST_WORDS, MOST_WORDS = 4, 240
COUNT = 2000


@dataclass(frozen=True, kw_only=True)
class Texts:
    """`name` stands in the rows; every text begins with UNIQUE."""

    name: str
    texts: Sequence[str]

    def numbered(self, count: int) -> list[str]:
        """The first `count` texts as they arrive at a server, with digits of their own."""
        draw = random.Random(1)
        chosen = [self.texts[number % len(self.texts)] for number in range(count)]
        return [text.replace(UNIQUE, f"{draw.getrandbits(64):016x}") for text in chosen]


def synthetic(tokenizer: Path, *, count: int = COUNT, seed: int = 0) -> Texts:
    """Random lower-case words that are single tokens, log-normal in number.

    Raises:
        InputError: the tokenizer has too few such words to make texts of.
    """
    vocabulary = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"]
    ordered = sorted(vocabulary, key=lambda word: int(vocabulary[word]))
    words = [word for word in ordered if re.fullmatch("[a-z]{2,}", word)]
    if len(words) < 100:
        raise InputError(f"{tokenizer} has only {len(words)} words that are single tokens")
    draw = random.Random(seed)
    texts = []
    for _ in range(count):
        length = round(math.exp(draw.gauss(math.log(MEDIAN_WORDS), SIGMA)))
        length = min(max(length, FEWEST_WORDS), MOST_WORDS)
        texts.append(" ".join([UNIQUE, *draw.choices(words, k=length)]))
    name = f"log-normal, median {MEDIAN_WORDS} words, sigma {SIGMA:g}"
    return Texts(name=name, texts=texts)


def from_file(file: Path, *, count: int = COUNT, seed: int = 0) -> Texts:
    """Texts drawn from a file, all of it where it has fewer.

    Raises:
        InputError: the file cannot be read, or holds no text.
    """
    from limbeck.data import read_rows

    everything = [row.text for row in read_rows(file) if row.text.strip()]
    if not everything:
        raise InputError(f"{file} holds no text")
    drawn = random.Random(seed).sample(everything, min(count, len(everything)))
    # "imdb/test.jsonl.gz" -> "imdb-test"
    name = f"{file.resolve().parent.name}-{file.name.split('.')[0]}"
    return Texts(name=name, texts=[f"{UNIQUE} {text.replace(UNIQUE, '')}" for text in drawn])
