"""Labelled texts -> a training set with numbered labels and a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError, TrainingError

# What torch's cross entropy leaves out by default; an unlabelled row carries it.
UNLABELLED = -100


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSet:
    """N texts (or pairs of texts) for sequence classification.

    labels: [N] int64, an index into `names`, or UNLABELLED.
    """

    texts: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]
    pairs: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        assert len(self.texts) == len(self.labels)
        assert self.pairs is None or len(self.pairs) == len(self.texts)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def text_digest(self) -> str:
        """SHA-256 over the texts alone, what a teacher's logits depend on."""
        return _digest(self.texts, self.pairs)

    @property
    def digest(self) -> str:
        """SHA-256 over texts, labels and label names."""
        labels = [str(int(label)) for label in self.labels]
        return _digest(self.texts, self.pairs, labels, self.names)

    def take(self, indexes: Sequence[int] | npt.NDArray[np.int64]) -> TrainingSet:
        """The rows at these places, in this order."""
        return TrainingSet(
            texts=tuple(self.texts[i] for i in indexes),
            labels=self.labels[np.asarray(indexes, dtype=np.int64)],
            names=self.names,
            pairs=None if self.pairs is None else tuple(self.pairs[i] for i in indexes),
        )


def _digest(*columns: Sequence[str] | None) -> str:
    hasher = hashlib.sha256()
    for column in columns:
        hasher.update(b"absent" if column is None else f"column {len(column)}".encode())
        for value in column or ():
            data = value.encode("utf-8", "surrogatepass")
            hasher.update(len(data).to_bytes(8, "little"))
            hasher.update(data)
    return hasher.hexdigest()


def training_set(
    rows: Iterable[tuple[str, str | None, str | None]], names: Sequence[str] | None = None
) -> TrainingSet:
    """Number the labels of (text, pair, label) rows.

    Args:
        rows: label None marks an unlabelled row, which only distillation can use.
        names: the labels in order; None: those found, numbers by value and words by alphabet.

    Raises:
        InputError: a label is not among the names, or only some rows have a pair.
        TrainingError: there are no rows.
    """
    found = list(rows)
    if not found:
        raise TrainingError("the training data has no rows")
    paired = [pair is not None for _, pair, _ in found]
    if any(paired) and not all(paired):
        row = paired.index(not paired[0])
        raise InputError(f"row {row + 1}: some rows have a second text and this one differs")
    if names is None:
        names = sorted({label for *_, label in found if label is not None}, key=_label_order)
    number = {name: index for index, name in enumerate(names)}
    labels = np.full(len(found), UNLABELLED, dtype=np.int64)
    for index, (*_, label) in enumerate(found):
        if label is None:
            continue
        if label not in number:
            raise InputError(f"row {index + 1} has label {label!r}; the labels are {list(names)}")
        labels[index] = number[label]
    return TrainingSet(
        texts=tuple(text for text, *_ in found),
        labels=labels,
        names=tuple(names),
        pairs=tuple(pair or "" for _, pair, _ in found) if all(paired) else None,
    )


def _label_order(name: str) -> tuple[int, float, str]:
    try:
        return (0, float(name), name)
    except ValueError:
        return (1, 0.0, name)


def split_off(
    rows: TrainingSet, share: float, seed: int, at_most: int | None = None
) -> tuple[TrainingSet, TrainingSet]:
    """Hold out a share of the rows at random, label by label: (kept, held out).

    Equal texts always land on one side, so that the held-out rows are unseen ones.
    """
    by_text: dict[tuple[str, str], list[int]] = {}
    for index, text in enumerate(rows.texts):
        pair = "" if rows.pairs is None else rows.pairs[index]
        by_text.setdefault((text, pair), []).append(index)
    groups: dict[int, list[list[int]]] = {}
    for members in by_text.values():
        groups.setdefault(int(rows.labels[members[0]]), []).append(members)
    held: list[int] = []
    kept: list[int] = []
    generator = np.random.default_rng(seed)
    share = share if at_most is None else min(share, at_most / len(rows))
    for label in sorted(groups):
        group = groups[label]
        order = generator.permutation(len(group))
        cut = round(share * len(group))
        for place, index in enumerate(order):
            (held if place < cut else kept).extend(group[index])
    return rows.take(sorted(kept)), rows.take(sorted(held))
