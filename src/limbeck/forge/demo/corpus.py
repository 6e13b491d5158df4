"""Where the demo's texts come from: the generator, given descriptions, or labelled texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from limbeck import data
from limbeck.data import listings
from limbeck.errors import InputError
from limbeck.forge.demo.marked import Cutter, MarkedRows, whole
from limbeck.forge.demo.settings import Sizes
from limbeck.forge.examples import TrainingSet, split_off, training_set

# Training texts are short: what makes a leak is its own sentence and the ones beside it, and a
# text of a quarter of the length trains four times as fast. One in `_LONG_EVERY` keeps more of its
# carrier, so that the model has seen whole windows too.
_SHORT_WORDS, _LONG_WORDS, _LONG_EVERY = 8, 60, 10
# Words that name the class that is looked for, in a user's own labels.
_POSITIVE_NAMES = ("leak", "1", "true", "yes", "positive", "pos", "spam", "bad")


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """Texts to measure on. labels: 1 for what is looked for; kinds: what sort of text each is."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def positives(self) -> int:
        return sum(self.labels)

    @property
    def negatives(self) -> int:
        return len(self.labels) - self.positives

    def first(self, count: int) -> LabelledTexts:
        return LabelledTexts(
            texts=self.texts[:count], labels=self.labels[:count], kinds=self.kinds[:count]
        )

    def __add__(self, other: LabelledTexts) -> LabelledTexts:
        return LabelledTexts(
            texts=self.texts + other.texts,
            labels=self.labels + other.labels,
            kinds=self.kinds + other.kinds,
        )

    def negatives_only(self) -> LabelledTexts:
        kept = [index for index, label in enumerate(self.labels) if label == 0]
        return LabelledTexts(
            texts=tuple(self.texts[index] for index in kept),
            labels=(0,) * len(kept),
            kinds=tuple(self.kinds[index] for index in kept),
        )


class Corpus(Protocol):
    """What the demo draws from. `names`: (negative label, positive label)."""

    names: tuple[str, str]
    description: str
    is_listings: bool

    def training(self, count: int, cut: Cutter = whole) -> MarkedRows:
        """The first `count` rows to train the teacher on, or all there are.

        Args:
            cut: what is kept of a generated text.
        """

    def transfer(self, count: int, cut: Cutter = whole) -> MarkedRows:
        """The first `count` rows on which the student learns from the teacher."""

    def validation(self) -> LabelledTexts: ...

    def test(self) -> LabelledTexts: ...

    def unseen(self) -> LabelledTexts | None:
        """A further test set of another kind, reported apart; None where there is none."""

    def long_texts(self, leak: bool) -> list[str]:
        """Texts of 2,000 words with a leak in the last sentence, or none; empty: does not apply."""


@dataclass(frozen=True, kw_only=True)
class ListingCorpus:
    """Leaks and harmless sentences of the generator, in given or generated descriptions."""

    seed: int
    sizes: Sizes
    carriers: Sequence[str] | None
    description: str
    names: tuple[str, str] = ("clean", "leak")
    is_listings: bool = True

    def training(self, count: int, cut: Cutter = whole) -> MarkedRows:
        return self._rows(count, self.seed, cut)

    def transfer(self, count: int, cut: Cutter = whole) -> MarkedRows:
        return self._rows(count, self.seed + 1, cut)

    def _rows(self, count: int, seed: int, cut: Cutter) -> MarkedRows:
        drawn = list(itertools.islice(self._mixed(count, seed), count))
        kept = [cut(example, number) for number, example in enumerate(drawn)]
        labels = [self.names[example.label] for example in drawn]
        texts = [one.text for one in kept]
        return MarkedRows(
            rows=training_set(
                ((text, None, label) for text, label in zip(texts, labels, strict=True)),
                self.names,
            ),
            marks=tuple(one.marks for one in kept),
        )

    def _mixed(self, count: int, seed: int) -> Iterator[listings.Example]:
        long_count = count // _LONG_EVERY + 1
        long = listings.generate(
            "train", long_count, 2 * seed, self.carriers, max_words=_LONG_WORDS
        )
        short = listings.generate(
            "train", count, 2 * seed + 1, self.carriers, max_words=_SHORT_WORDS
        )
        for index in itertools.count():
            yield next(long if index % _LONG_EVERY == 0 else short)

    def _drawn(self, split: listings.Split, count: int, leak_share: float) -> LabelledTexts:
        drawn = list(
            listings.generate(split, count, self.seed, self.carriers, leak_share=leak_share)
        )
        return LabelledTexts(
            texts=tuple(example.text for example in drawn),
            labels=tuple(example.label for example in drawn),
            kinds=tuple(example.kind for example in drawn),
        )

    def validation(self) -> LabelledTexts:
        return self._drawn("validation", self.sizes.validation, self.sizes.test_leak_share)

    def test(self) -> LabelledTexts:
        return self._drawn("test", self.sizes.test, self.sizes.test_leak_share)

    def unseen(self) -> LabelledTexts:
        return self._drawn("unseen_notation", self.sizes.unseen, 1.0)

    def long_texts(self, leak: bool) -> list[str]:
        return [
            listings.compose_long(
                self.seed + index, self.carriers, words=2000, leak_at="last" if leak else None
            ).text
            for index in range(self.sizes.long_texts)
        ]

    def examples_to_show(self, count: int) -> list[listings.Example]:
        """Fictional texts that may be printed and saved; their carriers are our own too."""
        return list(listings.generate("test", count, self.seed + 7, max_words=30, fictional=True))


@dataclass(frozen=True, kw_only=True)
class OwnCorpus:
    """A user's labelled texts with two classes, split by text into three parts."""

    names: tuple[str, str]
    description: str
    parts: tuple[TrainingSet, TrainingSet, TrainingSet]
    sizes: Sizes
    is_listings: bool = False

    def training(self, count: int, cut: Cutter = whole) -> MarkedRows:
        return MarkedRows(rows=self.parts[0].take(range(min(count, len(self.parts[0])))))

    def transfer(self, count: int, cut: Cutter = whole) -> MarkedRows:
        return self.training(count)

    def validation(self) -> LabelledTexts:
        return self._texts(self.parts[1])

    def test(self) -> LabelledTexts:
        return self._texts(self.parts[2])

    def _texts(self, rows: TrainingSet) -> LabelledTexts:
        labels = tuple(int(label) for label in rows.labels)
        return LabelledTexts(
            texts=rows.texts, labels=labels, kinds=tuple(self.names[label] for label in labels)
        )

    def unseen(self) -> None:
        return None

    def long_texts(self, leak: bool) -> list[str]:
        return []


def open_corpus(data_file: Path | None, seed: int, sizes: Sizes) -> ListingCorpus | OwnCorpus:
    """Look at the file and decide what it is.

    Raises:
        InputError: no such file, no texts in it, or labels that are not of two classes.
    """
    if data_file is None:
        return ListingCorpus(
            seed=seed, sizes=sizes, carriers=None, description="descriptions by our own grammar"
        )
    rows = _labelled_rows(data_file)
    if rows is not None:
        return _own_corpus(data_file, rows, seed, sizes)
    texts = [row.text for row in data.read_rows(data_file)]
    if len(texts) < 200:
        raise InputError(
            f"{data_file} has {len(texts)} texts; as carriers for leaks at least 200 are needed "
            "(or give labelled texts, in columns text and label)"
        )
    return ListingCorpus(
        seed=seed,
        sizes=sizes,
        carriers=texts,
        description=f"{len(texts)} given descriptions as carriers",
    )


def _labelled_rows(path: Path) -> list[data.Row] | None:
    """The rows with their labels; None where the file has no column of that name."""
    first = next(iter(data.read_rows(path, report=lambda message: None)), None)
    if first is None:
        raise InputError(f"{path} has no texts")
    try:
        rows = list(data.read_rows(path, label_column="label"))
    except InputError as error:
        if "no column 'label'" in str(error):
            return None
        raise
    return rows if any(row.label is not None for row in rows) else None


def _own_corpus(path: Path, rows: list[data.Row], seed: int, sizes: Sizes) -> OwnCorpus:
    found = sorted({row.label for row in rows if row.label is not None})
    if len(found) != 2:
        raise InputError(
            f"{path} has the labels {found[:8]}; the demo compares detectors of one class, so it "
            "needs exactly two labels (for more classes: limbeck train, distil and convert)"
        )
    positive = _positive(found, [row.label for row in rows])
    negative = next(name for name in found if name != positive)
    table = training_set(((row.text, None, row.label) for row in rows), (negative, positive))
    if (table.labels < 0).any():
        raise InputError(f"{path} has rows without a label; remove them")
    rest, test = split_off(table, 0.25, seed, at_most=sizes.test)
    training, validation = split_off(rest, 0.2, seed + 1, at_most=sizes.validation)
    for name, part in (("training", training), ("validation", validation), ("test", test)):
        if len(np.unique(part.labels)) < 2:
            raise InputError(
                f"{path} has too few rows: its {name} part holds only one of the two labels"
            )
    shuffled = training.take(np.random.default_rng(seed).permutation(len(training)))
    return OwnCorpus(
        names=(negative, positive),
        description=f"{len(rows)} labelled texts, looking for {positive!r}",
        parts=(shuffled, validation, test),
        sizes=sizes,
    )


def _positive(names: list[str], labels: list[str | None]) -> str:
    """The label that is looked for: by its name, else the rarer one."""
    for wanted in _POSITIVE_NAMES:
        for name in names:
            if name.lower() == wanted:
                return name
    return min(names, key=labels.count)
