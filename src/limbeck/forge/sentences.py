"""Sentences, and how alike two of them are -> rows for sentence embedding."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError, TrainingError
from limbeck.forge.rows import digest_of, taken
from limbeck.forge.tokenised import TokenisedSet
from limbeck.spec import Problem, Task
from limbeck.text import Tokenizer

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class SentenceSet:
    """N sentences or pairs of them. pairs: the second one, None where there is none; labels: [N]
    float32, the similarity that their cosine should have, or NaN."""

    texts: tuple[str, ...]
    pairs: tuple[str | None, ...]
    labels: npt.NDArray[np.float32]
    task: ClassVar[Task] = "sentence-embedding"
    problem: ClassVar[Problem] = "regression"
    names: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        assert len(self.texts) == len(self.pairs) == len(self.labels)
        assert all(pair is not None for pair, known in zip(self.pairs, self.labelled) if known)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """[N]: whether it is a pair whose similarity is known."""
        known: npt.NDArray[np.bool_] = ~np.isnan(self.labels)
        return known

    @property
    def text_digest(self) -> str:
        """SHA-256 over the texts; which of them are pairs is part of it."""
        second = [pair or "" for pair in self.pairs]
        return digest_of(self.texts, second, [str(pair is None) for pair in self.pairs])

    @property
    def digest(self) -> str:
        """SHA-256 over texts and similarities."""
        return digest_of([self.text_digest], [str(float(label)) for label in self.labels])

    def take(self, indexes: Sequence[int] | Integers) -> SentenceSet:
        """The rows at these places, in this order."""
        return replace(
            self,
            texts=taken(self.texts, indexes),
            pairs=taken(self.pairs, indexes),
            labels=self.labels[np.asarray(indexes, dtype=np.int64)],
        )

    def without_labels(self) -> SentenceSet:
        """The same sentences, as if nobody had said how alike they are."""
        return replace(self, labels=np.full_like(self.labels, np.nan))

    def joined(self, other: SentenceSet) -> SentenceSet:
        """The rows of both, in order."""
        return replace(
            self,
            texts=self.texts + other.texts,
            pairs=self.pairs + other.pairs,
            labels=np.concatenate([self.labels, other.labels]),
        )

    def nothing_to_learn(self) -> str | None:
        """Why labelled pairs teach nothing; None: they do."""
        if len(np.unique(self.labels)) >= 2:
            return None
        return f"every pair has the similarity {self.labels[0]:g}; there is nothing to learn"

    def keys(self) -> Sequence[Hashable]:
        """[N]: equal pairs are equal."""
        return list(zip(self.texts, self.pairs, strict=True))

    def strata(self) -> Integers:
        """[N]: all alike."""
        return np.zeros(len(self), dtype=np.int64)

    def tokenised(self, tokenizer: Tokenizer, max_tokens: int) -> TokenisedSet:
        """One window a row; its second sentence is the window's partner."""
        second = [pair for pair in self.pairs if pair is not None]
        encoded = tokenizer.encode([*self.texts, *second], max_tokens=max_tokens)
        partners = np.full(len(self), -1, dtype=np.int64)
        paired = np.array([pair is not None for pair in self.pairs], dtype=np.bool_)
        partners[paired] = len(self) + np.arange(len(second))
        return TokenisedSet(
            ids=[list(one.ids) for one in encoded],
            type_ids=[list(one.type_ids) for one in encoded],
            partners=partners,
        )


def sentence_set(
    rows: Iterable[tuple[str, str | None, float | None]],
    scale: tuple[float, float] | None = None,
) -> SentenceSet:
    """(text, second text, similarity) rows.

    Args:
        scale: the lowest and the highest similarity, such as (0, 5), which become 0 and 1; None:
            they are between -1 and 1 as they are.

    Raises:
        InputError: a similarity outside the scale, or of one sentence alone.
        TrainingError: there are no rows.
    """
    found = list(rows)
    if not found:
        raise TrainingError("the training data has no rows")
    labels = np.full(len(found), np.nan, dtype=np.float32)
    for row, (_, pair, similarity) in enumerate(found):
        if similarity is None:
            continue
        if pair is None:
            raise InputError(f"row {row + 1} has a similarity and no second text")
        try:
            labels[row] = scaled(similarity, scale)
        except InputError as error:
            raise InputError(f"row {row + 1}: {error}") from None
    return SentenceSet(
        texts=tuple(text for text, *_ in found),
        pairs=tuple(pair for _, pair, _ in found),
        labels=labels,
    )


def check_scale(scale: tuple[float, float] | None) -> None:
    """Raises InputError where the lowest similarity is not below the highest."""
    if scale is not None and not scale[0] < scale[1]:
        raise InputError(f"similarities from {scale[0]:g} to {scale[1]:g} are no range")


def scaled(similarity: float, scale: tuple[float, float] | None) -> float:
    """A similarity as a cosine should have it.

    Raises:
        InputError: it lies outside the scale.
    """
    check_scale(scale)
    low, high = scale or (-1.0, 1.0)
    if not low <= similarity <= high:
        raise InputError(
            f"similarity {similarity:g} lies outside {low:g} to {high:g}; say what range the "
            "file has, such as 0 to 5"
        )
    return similarity if scale is None else (similarity - low) / (high - low)
