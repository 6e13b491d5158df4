"""What the answers to rows are compared with: hard labels and a teacher's soft answers, by task.

One objective a task, with the same three functions, so that training and distilling need not know
which it is. It is made for certain rows as a certain model reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from limbeck.forge import answers as answering
from limbeck.forge import losses, questions, tagged
from limbeck.forge.answers import Answers, Packed
from limbeck.forge.examples import TrainingSet, class_weights
from limbeck.forge.losses import SoftLoss
from limbeck.forge.questions import QuestionSet
from limbeck.forge.rows import UNLABELLED, Rows
from limbeck.forge.sentences import SentenceSet
from limbeck.forge.tagged import TaggedSet
from limbeck.forge.tokenised import TokenisedSet
from limbeck.text import Tokenizer

Batch = dict[str, torch.Tensor]
Places = npt.NDArray[np.int64]


class Objective(Protocol):
    """Losses for windows of rows; `found` is a model's answer to the windows of a batch."""

    @property
    def tokens(self) -> TokenisedSet:
        """What the model reads."""

    def hard(self, found: torch.Tensor, indexes: Places, batch: Batch) -> torch.Tensor:
        """The loss on what is right."""

    def soft(
        self,
        found: torch.Tensor,
        wanted: torch.Tensor,
        indexes: Places,
        batch: Batch,
        kind: SoftLoss,
        temperature: float,
    ) -> torch.Tensor:
        """The loss on somebody else's answer to the same batch."""

    def of(self, answers: Answers, indexes: Places, batch: Batch) -> torch.Tensor:
        """A teacher's answers to these windows, laid out as a model's are."""

    def check(self, answers: Answers, width: int) -> None:
        """Raises InputError where a teacher's answers do not fit to these rows."""


def objective(
    rows: Rows, tokenizer: Tokenizer, max_tokens: int, *, balance: bool = False
) -> Objective:
    """The objective of these rows, as a model with this tokenizer reads them.

    Args:
        balance: rare classes count for more, so that all classes weigh the same together.
    """
    if isinstance(rows, TrainingSet):
        return sequences(rows, rows.tokenised(tokenizer, max_tokens), balance=balance)
    if isinstance(rows, TaggedSet):
        return tags(rows, tagged.features(rows, tokenizer, max_tokens), balance=balance)
    if isinstance(rows, QuestionSet):
        return spans(questions.features(rows, tokenizer, max_tokens))
    assert isinstance(rows, SentenceSet)
    return vectors(rows, rows.tokenised(tokenizer, max_tokens))


@dataclass(frozen=True, eq=False)
class _Sequences:
    tokens: TokenisedSet
    rows: TrainingSet
    labels: torch.Tensor
    weights: torch.Tensor | None

    def hard(self, found: torch.Tensor, indexes: Places, batch: Batch) -> torch.Tensor:
        labels = self.labels[torch.from_numpy(indexes)].to(found.device)
        return losses.hard_labels(found, labels, self.rows.problem, _beside(self.weights, found))

    def soft(
        self,
        found: torch.Tensor,
        wanted: torch.Tensor,
        indexes: Places,
        batch: Batch,
        kind: SoftLoss,
        temperature: float,
    ) -> torch.Tensor:
        return losses.soft_answers(found, wanted, self.rows.problem, kind, temperature)

    def of(self, answers: Answers, indexes: Places, batch: Batch) -> torch.Tensor:
        assert not isinstance(answers, Packed)
        return torch.from_numpy(answers[indexes])

    def check(self, answers: Answers, width: int) -> None:
        answering.check_answers(answers, self.rows.task, self.tokens, width)


def sequences(rows: TrainingSet, tokens: TokenisedSet, *, balance: bool = False) -> Objective:
    """Labels of whole sequences."""
    weights = class_weights(rows) if balance else None
    return _Sequences(
        tokens,
        rows,
        torch.from_numpy(rows.labels),
        None if weights is None else torch.from_numpy(weights),
    )


@dataclass(frozen=True, eq=False)
class _Tags:
    tokens: TokenisedSet
    scored: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor | None

    def hard(self, found: torch.Tensor, indexes: Places, batch: Batch) -> torch.Tensor:
        labels = _padded(self.labels, self.tokens.offsets, indexes, found, UNLABELLED)
        scored = _padded(self.scored, self.tokens.offsets, indexes, found, 0)
        return losses.hard_tags(found, labels, scored, _beside(self.weights, found))

    def soft(
        self,
        found: torch.Tensor,
        wanted: torch.Tensor,
        indexes: Places,
        batch: Batch,
        kind: SoftLoss,
        temperature: float,
    ) -> torch.Tensor:
        scored = _padded(self.scored, self.tokens.offsets, indexes, found, 0)
        return losses.soft_tags(found, wanted, scored, kind, temperature)

    def of(self, answers: Answers, indexes: Places, batch: Batch) -> torch.Tensor:
        return _unpacked(answers, indexes, batch)

    def check(self, answers: Answers, width: int) -> None:
        answering.check_answers(answers, "token-classification", self.tokens, width)


def tags(rows: TaggedSet, features: tagged.TaggedFeatures, *, balance: bool = False) -> Objective:
    """Tags of words, each on its first token."""
    weights = tagged.tag_weights(rows) if balance else None
    return _Tags(
        features.tokens,
        torch.from_numpy(features.scored),
        torch.from_numpy(features.labels),
        None if weights is None else torch.from_numpy(weights),
    )


@dataclass(frozen=True, eq=False)
class _Spans:
    tokens: TokenisedSet
    context: torch.Tensor
    places: torch.Tensor

    def hard(self, found: torch.Tensor, indexes: Places, batch: Batch) -> torch.Tensor:
        places = self.places[torch.from_numpy(indexes)].to(found.device)
        return losses.hard_spans(found, places, batch["attention_mask"].to(found.device))

    def soft(
        self,
        found: torch.Tensor,
        wanted: torch.Tensor,
        indexes: Places,
        batch: Batch,
        kind: SoftLoss,
        temperature: float,
    ) -> torch.Tensor:
        context = self.context[torch.from_numpy(indexes)].to(found.device)
        at = torch.arange(found.shape[1], device=found.device)
        allowed = (at >= context[:, :1]) & (at < context[:, 1:])
        allowed[:, 0] = True  # "the context does not tell"
        return losses.soft_spans(found, wanted, allowed, kind, temperature)

    def of(self, answers: Answers, indexes: Places, batch: Batch) -> torch.Tensor:
        return _unpacked(answers, indexes, batch)

    def check(self, answers: Answers, width: int) -> None:
        answering.check_answers(answers, "question-answering", self.tokens, width)


def spans(features: questions.QuestionFeatures) -> Objective:
    """First and last token of the answer."""
    return _Spans(
        features.tokens, torch.from_numpy(features.context), torch.from_numpy(features.places)
    )


@dataclass(frozen=True, eq=False)
class _Vectors:
    tokens: TokenisedSet
    labels: torch.Tensor

    def hard(self, found: torch.Tensor, indexes: Places, batch: Batch) -> torch.Tensor:
        assert self.tokens.partners is not None
        paired = torch.from_numpy(self.tokens.partners[indexes] >= 0).to(found.device)
        labels = self.labels[torch.from_numpy(indexes)].to(found.device)
        first, second = found[: len(indexes)], found[len(indexes) :]
        share = losses.similarity(first[paired], second, labels[paired])
        # a sentence alone is a row without a label
        return share * len(second) / len(first) if len(second) else found.sum() * 0.0

    def soft(
        self,
        found: torch.Tensor,
        wanted: torch.Tensor,
        indexes: Places,
        batch: Batch,
        kind: SoftLoss,
        temperature: float,
    ) -> torch.Tensor:
        return losses.soft_vectors(found, wanted)

    def of(self, answers: Answers, indexes: Places, batch: Batch) -> torch.Tensor:
        assert not isinstance(answers, Packed)
        return torch.from_numpy(answers[self.tokens.sequences(indexes)])

    def check(self, answers: Answers, width: int) -> None:
        answering.check_answers(answers, "sentence-embedding", self.tokens, width)


def vectors(rows: SentenceSet, tokens: TokenisedSet) -> Objective:
    """The cosine of two sentences' vectors."""
    return _Vectors(tokens, torch.from_numpy(rows.labels))


def _beside(weights: torch.Tensor | None, found: torch.Tensor) -> torch.Tensor | None:
    return None if weights is None else weights.to(found.device)


def _padded(
    flat: torch.Tensor, offsets: Places, indexes: Places, found: torch.Tensor, fill: int
) -> torch.Tensor:
    """[b, S] of these windows, from [T] of all."""
    made = torch.full(found.shape[:2], fill, dtype=flat.dtype)
    for place, index in enumerate(indexes):
        row = flat[offsets[index] : offsets[index + 1]]
        made[place, : len(row)] = row
    return made.to(found.device)


def _unpacked(answers: Answers, indexes: Places, batch: Batch) -> torch.Tensor:
    """[b, S, L] of these windows, 0 at padding."""
    assert isinstance(answers, Packed)
    made = torch.zeros((*batch["input_ids"].shape, answers.values.shape[1]))
    for place, index in enumerate(indexes):
        row = torch.from_numpy(answers.window(int(index)))
        made[place, : len(row)] = row
    return made
