"""Cutting a very long text before it is tokenised, where that cannot change the answer.

A megabyte takes about half a second to tokenise, and truncation throws nearly all of it away. Where
every part of the tokenizer works on words and a single space always ends a word, the tokens of
`text[:i]` are the first tokens of `text`, for a space at `i` between two ASCII letters or digits.
`cuts_at_spaces` recognises those tokenizers, part by part; for all others nothing is cut.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer as RawTokenizer

# Both neighbours are ASCII, so the space stands alone in its grapheme and in its run of spaces, and
# no accent, look-ahead or contraction reaches across it.
_BOUNDARY = re.compile(r"(?<=[A-Za-z0-9]) (?=[A-Za-z0-9])")

# Each of these changes one character, or one grapheme, at a time.
_LOCAL_NORMALIZERS = frozenset(
    {
        "BertNormalizer",
        "Lowercase",
        "NFC",
        "NFD",
        "NFKC",
        "NFKD",
        "Nmt",
        "Precompiled",
        "StripAccents",
    }
)
_WORD_SPLITTERS = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})
_MODELS = frozenset({"BPE", "Unigram", "WordLevel", "WordPiece"})


def _parts(component: Any, key: str) -> list[dict[str, Any]]:
    """The parts of a normalizer or pre-tokenizer, sequences flattened; none for None."""
    if component is None:
        return []
    pending: list[dict[str, Any]] = [json.loads(component.__getstate__())]
    flat = []
    while pending:
        part = pending.pop(0)
        if part["type"] == "Sequence":
            pending = [*part[key], *pending]
        else:
            flat.append(part)
    return flat


def _normalizer_is_local(part: dict[str, Any]) -> bool:
    if part["type"] == "Replace":  # sentencepiece files collapse runs of spaces
        return bool(part.get("pattern") == {"Regex": " {2,}"})
    return part["type"] in _LOCAL_NORMALIZERS


def _splits_at_spaces(part: dict[str, Any]) -> bool:
    if part["type"] == "ByteLevel":
        return bool(part.get("use_regex", True))
    if part["type"] == "Metaspace":
        return bool(part.get("split", True))
    return part["type"] in _WORD_SPLITTERS


def cuts_at_spaces(raw: RawTokenizer) -> bool:
    """Whether the tokens before a space between ASCII letters never depend on what follows it."""
    model = raw.model
    if type(model).__name__ not in _MODELS:
        return False
    if getattr(model, "dropout", None) or getattr(model, "nbest_size", None):
        return False  # tokenises at random
    splitters = _parts(raw.pre_tokenizer, "pretokenizers")
    if not splitters or not _splits_at_spaces(splitters[0]):
        return False
    if not all(map(_normalizer_is_local, _parts(raw.normalizer, "normalizers"))):
        return False
    if raw.normalizer is not None and raw.normalizer.normalize_str("a b") != "a b":
        return False
    return not any(
        character.isspace()
        for token in raw.get_added_tokens_decoder().values()
        for character in token.content
    )


def boundary_from(text: str, position: int) -> int | None:
    """The first space at or after `position` where the text may be cut, None if there is none."""
    found = _BOUNDARY.search(text, max(position, 1))
    return None if found is None else found.start()
