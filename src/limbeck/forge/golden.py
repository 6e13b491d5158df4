"""The inputs on which a converted model must answer as its source does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limbeck.batch import PackedBatch, pack
from limbeck.spec import EncoderSpec
from limbeck.text import Tokenizer

# Token counts, special tokens included: single tokens, both sides of the widths that kernels and
# tiles have (4, 8, 16, 32, 64), and long ones. Those beyond the model's positions are left out.
LENGTHS = (1, 2, 3, 5, 8, 16, 17, 33, 64, 65, 100, 129, 257, 512)

TEXTS = (
    "",
    "Hello.",
    "A quiet flat above a bakery, five minutes from the harbour.",
    "Call me on 555-0142 before you book, or write to host@example.com!",
    "The metro (line 4) runs until 00:30; tickets cost 2.80 a ride, 14.00 for ten.",
    "Grüße aus Köln, ça va? Ελληνικά, 日本語, עברית 🙂",
    "WIFI: yes. PARKING: no. " * 12,
    "Check-in is at 3 pm and check-out at 11 am, though we can often be flexible. " * 8,
)
PAIRS = (
    ("Is there a lift?", "The flat is on the fourth floor, without a lift."),
    ("How far is the beach?", "Ten minutes on foot."),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class GoldenInputs:
    """Token id sequences, for every engine alike; `type_ids` is None for models without types."""

    ids: tuple[tuple[int, ...], ...]
    type_ids: tuple[tuple[int, ...], ...] | None

    @property
    def tokens(self) -> int:
        return sum(len(row) for row in self.ids)

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(sorted({len(row) for row in self.ids}))

    def packed(self) -> PackedBatch:
        return pack(self.ids, self.type_ids)

    def single(self, index: int) -> PackedBatch:
        """One sequence as a batch of its own."""
        types = None if self.type_ids is None else [self.type_ids[index]]
        return pack([self.ids[index]], types)


def golden_inputs(encoder: EncoderSpec, tokenizer: Tokenizer | None, seed: int = 0) -> GoldenInputs:
    """Texts and pairs through the tokenizer, and random tokens of many lengths.

    Random tokens reach parts of the vocabulary and mixtures of token types that no text does.
    """
    generator = np.random.default_rng(seed)
    longest = encoder.max_tokens
    ids: list[tuple[int, ...]] = []
    types: list[tuple[int, ...]] = []
    if tokenizer is not None:
        encoded = tokenizer.encode(TEXTS, max_tokens=longest)
        encoded += tokenizer.encode(
            [first for first, _ in PAIRS], [second for _, second in PAIRS], max_tokens=longest
        )
        ids += [tuple(row.ids) for row in encoded]
        types += [tuple(row.type_ids) for row in encoded]
    for length in LENGTHS:
        if length > longest:
            continue
        row = generator.integers(0, encoder.vocab, length)
        # RoBERTa gives padding a position of its own; no text contains it
        row[row == encoder.pad_id] = (encoder.pad_id + 1) % encoder.vocab
        ids.append(tuple(int(token) for token in row))
        types.append(tuple(int(t) for t in generator.integers(0, max(1, encoder.types), length)))
    return GoldenInputs(ids=tuple(ids), type_ids=tuple(types) if encoder.types > 1 else None)
