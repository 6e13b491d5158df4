"""What rows of every task have in common, and how a part of them is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from limbeck.forge.tokenised import TokenisedSet
from limbeck.spec import Problem, Task
from limbeck.text import Tokenizer

# What torch's cross entropy leaves out by default; whatever is unlabelled carries it, or, where
# labels are numbers, NaN.
UNLABELLED = -100


class Rows(Protocol):
    """N rows to train on: texts and, for some or all of them, what is right."""

    @property
    def task(self) -> Task:
        """Whose rows these are."""

    @property
    def problem(self) -> Problem:
        """What the labels are: one of several, several, or a number."""

    @property
    def names(self) -> tuple[str, ...]:
        """The labels in order; none for sentence embedding."""

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """[N]: whether the row says what is right."""

    @property
    def text_digest(self) -> str:
        """SHA-256 over the texts alone, what a teacher's answers depend on."""

    @property
    def digest(self) -> str:
        """SHA-256 over texts, labels and label names."""

    def __len__(self) -> int: ...

    def take(self, indexes: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """The rows at these places, in this order."""

    def without_labels(self) -> Self:
        """The same texts, as if nobody had said what is right."""

    def joined(self, other: Self) -> Self:
        """The rows of both, in order; they have the same label names.

        Raises:
            InputError: the rows do not fit together.
        """

    def nothing_to_learn(self) -> str | None:
        """Why labelled rows teach nothing, such as one class alone; None: they do."""

    def keys(self) -> Sequence[Hashable]:
        """[N]: rows with equal keys are held out together, or not at all."""

    def strata(self) -> npt.NDArray[np.int64]:
        """[N]: of each of these the same share is held out."""

    def tokenised(self, tokenizer: Tokenizer, max_tokens: int) -> TokenisedSet:
        """Token ids as inference reads them, in windows of at most `max_tokens`.

        Raises:
            InputError: a row that does not fit.
        """


AnyRows = TypeVar("AnyRows", bound=Rows)


def digest_of(*columns: Sequence[str] | None) -> str:
    """SHA-256 over columns of texts."""
    hasher = hashlib.sha256()
    for column in columns:
        hasher.update(b"absent" if column is None else f"column {len(column)}".encode())
        for value in column or ():
            data = value.encode("utf-8", "surrogatepass")
            hasher.update(len(data).to_bytes(8, "little"))
            hasher.update(data)
    return hasher.hexdigest()


def split_off(
    rows: AnyRows, share: float, seed: int, at_most: int | None = None
) -> tuple[AnyRows, AnyRows]:
    """Hold out a share of the rows at random, label by label where there is one: (kept, held out).

    Equal texts (for questions: equal contexts) always land on one side, so that the held-out rows
    are unseen ones.
    """
    by_key: dict[Hashable, list[int]] = {}
    for index, key in enumerate(rows.keys()):
        by_key.setdefault(key, []).append(index)
    strata = rows.strata()
    groups: dict[int, list[list[int]]] = {}
    for members in by_key.values():
        groups.setdefault(int(strata[members[0]]), []).append(members)
    held: list[int] = []
    kept: list[int] = []
    generator = np.random.default_rng(seed)
    share = share if at_most is None else min(share, at_most / len(rows))
    for stratum in sorted(groups):
        group = groups[stratum]
        order = generator.permutation(len(group))
        cut = round(share * len(group))
        for place, index in enumerate(order):
            (held if place < cut else kept).extend(group[index])
    return rows.take(sorted(kept)), rows.take(sorted(held))


def taken(values: Sequence[Any], indexes: Sequence[int] | npt.NDArray[np.int64]) -> tuple[Any, ...]:
    """The values at these places."""
    return tuple(values[index] for index in indexes)
