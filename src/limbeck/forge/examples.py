"""Labelled texts -> a training set with numbered labels and a digest."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError, TrainingError
from limbeck.forge.rows import UNLABELLED as UNLABELLED
from limbeck.forge.rows import digest_of, taken
from limbeck.forge.rows import split_off as split_off
from limbeck.forge.tokenised import TokenisedSet, from_encoded
from limbeck.spec import Problem, Task
from limbeck.text import Tokenizer

# The one output of a regression model.
SCORE = ("score",)
# A label as a file has it: one name, several names, or a number in text.
Label = str | tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSet:
    """N texts (or pairs of texts) and what is right for each of them.

    labels, by problem: "single_label" [N] int64, an index into `names`, or UNLABELLED;
    "multi_label" [N, L] float32 of 0 and 1, a row of NaN where nothing is known; "regression" [N]
    float32, or NaN.
    """

    texts: tuple[str, ...]
    labels: npt.NDArray[Any]
    names: tuple[str, ...]
    pairs: tuple[str, ...] | None = None
    problem: Problem = "single_label"
    task: ClassVar[Task] = "text-classification"

    def __post_init__(self) -> None:
        assert len(self.texts) == len(self.labels)
        assert self.pairs is None or len(self.pairs) == len(self.texts)
        assert self.labels.ndim == (2 if self.problem == "multi_label" else 1)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """[N]: whether the row has a label."""
        return is_labelled(self.labels)

    def without_labels(self) -> TrainingSet:
        """The same texts, as if nobody had said what is right."""
        nothing = UNLABELLED if self.problem == "single_label" else np.nan
        return replace(self, labels=np.full_like(self.labels, nothing))

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def text_digest(self) -> str:
        """SHA-256 over the texts alone, what a teacher's logits depend on."""
        return digest_of(self.texts, self.pairs)

    @property
    def digest(self) -> str:
        """SHA-256 over texts, labels and label names."""
        if self.problem == "single_label":
            labels = [str(int(label)) for label in self.labels]
            return digest_of(self.texts, self.pairs, labels, self.names)
        labels = [str(label.tolist()) for label in self.labels]
        return digest_of(self.texts, self.pairs, labels, self.names, (self.problem,))

    def take(self, indexes: Sequence[int] | npt.NDArray[np.int64]) -> TrainingSet:
        """The rows at these places, in this order."""
        return replace(
            self,
            texts=taken(self.texts, indexes),
            labels=self.labels[np.asarray(indexes, dtype=np.int64)],
            pairs=None if self.pairs is None else taken(self.pairs, indexes),
        )

    def joined(self, other: TrainingSet) -> TrainingSet:
        """The rows of both, in order; they have the same label names.

        Raises:
            InputError: one has pairs of texts and the other has not.
        """
        assert (self.names, self.problem) == (other.names, other.problem)
        if (self.pairs is None) != (other.pairs is None):
            raise InputError("some of the rows are pairs of texts and some are not")
        pairs = None if self.pairs is None or other.pairs is None else self.pairs + other.pairs
        return replace(
            self,
            texts=self.texts + other.texts,
            labels=np.concatenate([self.labels, other.labels]),
            pairs=pairs,
        )

    def nothing_to_learn(self) -> str | None:
        """Why labelled rows teach nothing; None: they do."""
        if len(np.unique(self.labels, axis=0)) >= 2:
            return None
        if self.problem == "regression":
            return f"every row has the number {self.labels[0]:g}; there is nothing to learn"
        if self.problem == "multi_label":
            return "every row has the same labels; there is nothing to tell apart"
        name = self.names[int(self.labels[0])]
        return f"the training data has the one label {name!r}; a classifier needs two or more"

    def keys(self) -> Sequence[Hashable]:
        """[N]: equal texts are equal."""
        return self.texts if self.pairs is None else list(zip(self.texts, self.pairs, strict=True))

    def strata(self) -> npt.NDArray[np.int64]:
        """[N]: the label, where there is one."""
        if self.problem == "single_label":
            return self.labels
        return np.zeros(len(self), dtype=np.int64)

    def tokenised(self, tokenizer: Tokenizer, max_tokens: int) -> TokenisedSet:
        """One sequence a row; longer ones are cut."""
        return from_encoded(tokenizer.encode(self.texts, self.pairs, max_tokens=max_tokens))


def is_labelled(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """[N]: whether a row of labels says something."""
    if np.issubdtype(labels.dtype, np.integer):
        known: npt.NDArray[np.bool_] = labels != UNLABELLED
        return known
    nothing: npt.NDArray[np.bool_] = np.isnan(labels)
    if labels.ndim == 2:
        nothing = np.any(nothing, axis=1)
    return ~nothing


def class_weights(rows: TrainingSet) -> npt.NDArray[np.float32] | None:
    """[L] weights with which all classes weigh the same: N / (L * rows of the class), or, where
    labels do not exclude one another, rows without the label / rows with it. None for numbers.

    A class that does not occur has weight 1.
    """
    if rows.problem == "regression":
        return None
    labels = rows.labels[rows.labelled]
    if rows.problem == "multi_label":
        found = labels.sum(axis=0)
        weights = (len(labels) - found) / np.maximum(found, 1)
    else:
        found = np.bincount(labels, minlength=len(rows.names))
        weights = len(labels) / (len(rows.names) * np.maximum(found, 1))
    return np.where(found > 0, weights, 1.0).astype(np.float32)


def training_set(
    rows: Iterable[tuple[str, str | None, Label]],
    names: Sequence[str] | None = None,
    problem: Problem = "single_label",
) -> TrainingSet:
    """Number the labels of (text, pair, label) rows.

    Args:
        rows: label None marks an unlabelled row, which only distillation can use; a tuple of names
            for "multi_label", of none where none is right; a number in text for "regression".
        names: the labels in order; None: those found, numbers by value and words by alphabet.

    Raises:
        InputError: a label is not among the names or no number, or only some rows have a pair.
        TrainingError: there are no rows.
    """
    found = list(rows)
    if not found:
        raise TrainingError("the training data has no rows")
    paired = [pair is not None for _, pair, _ in found]
    if any(paired) and not all(paired):
        row = paired.index(not paired[0])
        raise InputError(f"row {row + 1}: some rows have a second text and this one differs")
    given = [label for *_, label in found]
    if problem == "regression":
        names, labels = SCORE, _numbers(given)
    else:
        if names is None:
            some = {one for label in given for one in _names_in(label)}
            names = sorted(some, key=_label_order)
        labels = _numbered(given, names, problem)
    return TrainingSet(
        texts=tuple(text for text, *_ in found),
        labels=labels,
        names=tuple(names),
        pairs=tuple(pair or "" for _, pair, _ in found) if all(paired) else None,
        problem=problem,
    )


def _names_in(label: Label) -> tuple[str, ...]:
    if label is None:
        return ()
    return (label,) if isinstance(label, str) else label


def _numbered(given: Sequence[Label], names: Sequence[str], problem: Problem) -> npt.NDArray[Any]:
    """Names as numbers; for several labels a row of 0 and 1."""
    number = {name: index for index, name in enumerate(names)}
    for row, label in enumerate(given, start=1):
        unknown = [one for one in _names_in(label) if one not in number]
        if unknown:
            raise InputError(f"row {row} has label {unknown[0]!r}; the labels are {list(names)}")
    if problem == "multi_label":
        table = np.full((len(given), len(names)), np.nan, dtype=np.float32)
        for row, label in enumerate(given):
            if label is not None:
                table[row] = 0.0
                table[row, [number[one] for one in _names_in(label)]] = 1.0
        return table
    column = np.full(len(given), UNLABELLED, dtype=np.int64)
    for row, label in enumerate(given):
        if label is not None:
            (name,) = _names_in(label)
            column[row] = number[name]
    return column


def _numbers(given: Sequence[Label]) -> npt.NDArray[np.float32]:
    column = np.full(len(given), np.nan, dtype=np.float32)
    for row, label in enumerate(given, start=1):
        if label is None:
            continue
        try:
            value = float(label) if isinstance(label, str) else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"row {row} has label {label!r}, which is no number")
        column[row - 1] = value
    return column


def _label_order(name: str) -> tuple[int, float, str]:
    try:
        return (0, float(name), name)
    except ValueError:
        return (1, 0.0, name)
