"""Sentences with a tag on every word -> rows for token classification."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError, TrainingError
from limbeck.forge.rows import UNLABELLED, digest_of, taken
from limbeck.forge.tokenised import TokenisedSet, from_encoded
from limbeck.spec import Problem, Task
from limbeck.text import Encoded, Tokenizer

OUTSIDE = "O"
# A text that comes without words is cut into these: words, and punctuation mark by mark.
_WORD = re.compile(r"\w+|[^\w\s]")

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class TaggedSet:
    """N sentences as words, and a tag for each of them.

    tags: for each sentence [words] int64, an index into `names`; None: nobody has said. Models read
    the words joined by spaces.
    """

    words: tuple[tuple[str, ...], ...]
    tags: tuple[Integers | None, ...]
    names: tuple[str, ...]
    task: ClassVar[Task] = "token-classification"
    problem: ClassVar[Problem] = "single_label"

    def __post_init__(self) -> None:
        assert len(self.words) == len(self.tags)

    def __len__(self) -> int:
        return len(self.words)

    @property
    def texts(self) -> tuple[str, ...]:
        """[N]: what models read."""
        return tuple(" ".join(words) for words in self.words)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """[N]: whether the sentence has tags."""
        return np.array([tags is not None for tags in self.tags], dtype=np.bool_)

    @property
    def text_digest(self) -> str:
        """SHA-256 over the texts alone."""
        return digest_of(self.texts)

    @property
    def digest(self) -> str:
        """SHA-256 over words, tags and tag names."""
        tags = ["" if some is None else str(some.tolist()) for some in self.tags]
        return digest_of(*self.words, tags, self.names)

    def take(self, indexes: Sequence[int] | Integers) -> TaggedSet:
        """The sentences at these places, in this order."""
        return replace(self, words=taken(self.words, indexes), tags=taken(self.tags, indexes))

    def without_labels(self) -> TaggedSet:
        """The same sentences without their tags."""
        return replace(self, tags=(None,) * len(self))

    def joined(self, other: TaggedSet) -> TaggedSet:
        """The sentences of both, in order; they have the same tag names."""
        assert self.names == other.names
        return replace(self, words=self.words + other.words, tags=self.tags + other.tags)

    def nothing_to_learn(self) -> str | None:
        """Why tagged sentences teach nothing; None: they do."""
        found = np.unique(np.concatenate([tags for tags in self.tags if tags is not None]))
        if len(found) >= 2:
            return None
        return f"every word has the tag {self.names[int(found[0])]!r}; there is nothing to tell"

    def keys(self) -> Sequence[Hashable]:
        """[N]: equal sentences are equal."""
        return self.words

    def strata(self) -> Integers:
        """[N]: whether there is a tag other than O, for sentences without one teach little."""
        outside = self.names.index(OUTSIDE) if OUTSIDE in self.names else -1
        some = [tags is not None and bool((tags != outside).any()) for tags in self.tags]
        return np.array(some, dtype=np.int64)

    def encoded(self, tokenizer: Tokenizer, max_tokens: int) -> list[Encoded]:
        """One sequence a sentence; longer ones are cut."""
        return tokenizer.encode(self.texts, max_tokens=max_tokens)

    def tokenised(self, tokenizer: Tokenizer, max_tokens: int) -> TokenisedSet:
        """One sequence a sentence; longer ones are cut."""
        return from_encoded(self.encoded(tokenizer, max_tokens))


def first_tokens(words: Sequence[str], encoded: Encoded) -> Integers:
    """[words]: the first token that begins in each word of the joined text; -1: there is none, for
    it was cut off or the tokenizer drops it."""
    starts = np.cumsum([0] + [len(word) + 1 for word in words])
    first = np.full(len(words), -1, dtype=np.int64)
    for place, ((begin, end), special) in enumerate(
        zip(encoded.offsets, encoded.special, strict=True)
    ):
        if special or end == begin:
            continue
        word = int(np.searchsorted(starts, begin, side="right")) - 1
        inside = word < len(words) and begin < starts[word] + len(words[word])
        if inside and first[word] < 0:
            first[word] = place
    return first


@dataclass(frozen=True, kw_only=True, eq=False)
class TaggedFeatures:
    """Sentences as tokens. first: for each sentence [words], `first_tokens`; scored, labels: [T]
    over all tokens laid end to end: the token that speaks for a word, and the word's tag or
    UNLABELLED."""

    tokens: TokenisedSet
    first: tuple[Integers, ...]
    scored: npt.NDArray[np.bool_]
    labels: Integers


def features(rows: TaggedSet, tokenizer: Tokenizer, max_tokens: int) -> TaggedFeatures:
    """Each word's tag goes to its first token; the others say nothing (Devlin et al. 2019, 5.3).

    Raises:
        InputError: no word of the sentences gives a token.
    """
    encoded = rows.encoded(tokenizer, max_tokens)
    tokens = from_encoded(encoded)
    first = tuple(first_tokens(words, one) for words, one in zip(rows.words, encoded, strict=True))
    scored = np.zeros(int(tokens.offsets[-1]), dtype=np.bool_)
    labels = np.full(len(scored), UNLABELLED, dtype=np.int64)
    for (start, _), places, tags in zip(pairwise(tokens.offsets), first, rows.tags, strict=True):
        seen = places >= 0
        scored[start + places[seen]] = True
        if tags is not None:
            labels[start + places[seen]] = tags[seen]
    if len(rows) and not scored.any():
        raise InputError("no word of the sentences gives a token; is this the right tokenizer?")
    return TaggedFeatures(tokens=tokens, first=first, scored=scored, labels=labels)


def tag_weights(rows: TaggedSet) -> npt.NDArray[np.float32]:
    """[L] weights with which all tags weigh the same: words / (L * words with the tag); 1 for a tag
    that does not occur."""
    given = [tags for tags in rows.tags if tags is not None]
    found = np.zeros(len(rows.names), dtype=np.int64)
    for tags in given:
        found += np.bincount(tags, minlength=len(rows.names))
    weights = found.sum() / (len(rows.names) * np.maximum(found, 1))
    return np.where(found > 0, weights, 1.0).astype(np.float32)


def tagged_set(
    sentences: Iterable[tuple[Sequence[str], Sequence[str] | None]],
    names: Sequence[str] | None = None,
) -> TaggedSet:
    """Number the tags of (words, tags) sentences; tags None: nobody has said.

    Args:
        names: the tags in order; None: those found, O first, then kind by kind.

    Raises:
        InputError: a tag is not among the names, or words and tags are not equally many.
        TrainingError: there are no sentences.
    """
    found = [(tuple(words), None if tags is None else tuple(tags)) for words, tags in sentences]
    if not found:
        raise TrainingError("the training data has no rows")
    if names is None:
        names = sorted({tag for _, tags in found for tag in tags or ()}, key=_tag_order)
    number = {name: index for index, name in enumerate(names)}
    tagged: list[Integers | None] = []
    for row, (words, tags) in enumerate(found, start=1):
        if tags is None:
            tagged.append(None)
            continue
        if len(words) != len(tags):
            raise InputError(f"row {row} has {len(words)} words but {len(tags)} tags")
        unknown = [tag for tag in tags if tag not in number]
        if unknown:
            raise InputError(f"row {row} has tag {unknown[0]!r}; the tags are {list(names)}")
        tagged.append(np.array([number[tag] for tag in tags], dtype=np.int64))
    return TaggedSet(
        words=tuple(words for words, _ in found), tags=tuple(tagged), names=tuple(names)
    )


def cut_into_words(text: str) -> tuple[str, ...]:
    """Words and punctuation marks of a text that comes without them."""
    return tuple(_WORD.findall(text))


def _tag_order(tag: str) -> tuple[bool, str, str]:
    return (tag != OUTSIDE, tag[2:] if tag[1:2] == "-" else tag, tag)
