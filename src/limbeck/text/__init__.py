"""Text -> token ids, and back to characters.

In: text and a tokenizer file (or vocab.txt). Out: `Encoded` values, cut or in windows, with
character offsets; length statistics. Neighbours: `tasks` and `pipeline` above use them.
"""

from __future__ import annotations

from limbeck.text.encoded import Encoded
from limbeck.text.lengths import (
    LengthReport,
    LengthRow,
    length_statistics,
    resolve_max_tokens,
)
from limbeck.text.tokenizer import Tokenizer, check_text
from limbeck.text.vocabulary import read_tokenizer_json

__all__ = [
    "Encoded",
    "LengthReport",
    "LengthRow",
    "Tokenizer",
    "check_text",
    "length_statistics",
    "read_tokenizer_json",
    "resolve_max_tokens",
]
