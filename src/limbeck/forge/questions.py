"""Questions with their contexts and answers -> rows for extractive question answering."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from limbeck.data import Answer
from limbeck.errors import InputError, TrainingError
from limbeck.forge.rows import UNLABELLED, digest_of, taken
from limbeck.forge.tokenised import TokenisedSet
from limbeck.spec import SPAN_LABELS, Problem, Task
from limbeck.text import Encoded, Tokenizer

# Longest window, as the pipeline has it where nothing is asked for.
MAX_WINDOW_TOKENS = 384

Integers = npt.NDArray[np.int64]
# None: nobody has said; of none: the context does not tell.
RightAnswers = tuple[Answer, ...] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class QuestionSet:
    """N questions with their contexts, and the parts of these that answer them."""

    questions: tuple[str, ...]
    contexts: tuple[str, ...]
    answers: tuple[RightAnswers, ...]
    task: ClassVar[Task] = "question-answering"
    problem: ClassVar[Problem] = "single_label"
    names: ClassVar[tuple[str, ...]] = SPAN_LABELS

    def __post_init__(self) -> None:
        assert len(self.questions) == len(self.contexts) == len(self.answers)

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """[N]: whether somebody has said what is right."""
        return np.array([answers is not None for answers in self.answers], dtype=np.bool_)

    @property
    def text_digest(self) -> str:
        """SHA-256 over questions and contexts."""
        return digest_of(self.questions, self.contexts)

    @property
    def digest(self) -> str:
        """SHA-256 over questions, contexts and answers."""
        answers = [
            "" if some is None else str([(one.start, one.text) for one in some])
            for some in self.answers
        ]
        return digest_of(self.questions, self.contexts, answers)

    def take(self, indexes: Sequence[int] | Integers) -> QuestionSet:
        """The questions at these places, in this order."""
        return replace(
            self,
            questions=taken(self.questions, indexes),
            contexts=taken(self.contexts, indexes),
            answers=taken(self.answers, indexes),
        )

    def without_labels(self) -> QuestionSet:
        """The same questions without their answers."""
        return replace(self, answers=(None,) * len(self))

    def joined(self, other: QuestionSet) -> QuestionSet:
        """The questions of both, in order."""
        return replace(
            self,
            questions=self.questions + other.questions,
            contexts=self.contexts + other.contexts,
            answers=self.answers + other.answers,
        )

    def nothing_to_learn(self) -> str | None:
        """Why these teach nothing; None: they do."""
        if any(self.answers):
            return None
        return "none of the questions has an answer in its context; there is nothing to learn"

    def keys(self) -> Sequence[Hashable]:
        """[N]: questions about one context are not torn apart."""
        return self.contexts

    def strata(self) -> Integers:
        """[N]: all alike."""
        return np.zeros(len(self), dtype=np.int64)

    def windows(self, tokenizer: Tokenizer, max_tokens: int) -> Iterator[list[Encoded]]:
        """For each question its windows, as the pipeline cuts them.

        Raises:
            InputError: a question that leaves no room for its context.
        """
        longest = min(max_tokens, MAX_WINDOW_TOKENS)
        for row, (question, context) in enumerate(
            zip(self.questions, self.contexts, strict=True), start=1
        ):
            try:
                yield tokenizer.question_windows(question, context, max_tokens=longest, stride=None)
            except InputError as error:
                raise InputError(f"row {row}, {question[:40]!r}: {error}") from None

    def tokenised(self, tokenizer: Tokenizer, max_tokens: int) -> TokenisedSet:
        """Windows of question and context, those of a question one after the other."""
        return features(self, tokenizer, max_tokens).tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class QuestionFeatures:
    """W windows. context: [W, 2] the first token of the context and the one after its last;
    places: [W, 2] first and last token of the answer, 0 and 0 where the window does not hold all
    of it, UNLABELLED where nobody has said."""

    tokens: TokenisedSet
    context: Integers
    places: Integers


def features(rows: QuestionSet, tokenizer: Tokenizer, max_tokens: int) -> QuestionFeatures:
    """Windows, and where in them the first of the right answers stands.

    Raises:
        InputError: a question that leaves no room for its context.
    """
    ids: list[list[int]] = []
    types: list[list[int]] = []
    owners: list[int] = []
    contexts: list[tuple[int, int]] = []
    places: list[tuple[int, int]] = []
    for row, windows in enumerate(rows.windows(tokenizer, max_tokens)):
        answers = rows.answers[row]
        for window in windows:
            ids.append(list(window.ids))
            types.append(list(window.type_ids))
            owners.append(row)
            contexts.append(_context(window))
            if answers is None:
                places.append((UNLABELLED, UNLABELLED))
            else:
                places.append(_place(window, contexts[-1], answers[0]) if answers else (0, 0))
    return QuestionFeatures(
        tokens=TokenisedSet(ids=ids, type_ids=types, rows=np.array(owners, dtype=np.int64)),
        context=np.array(contexts, dtype=np.int64).reshape(-1, 2),
        places=np.array(places, dtype=np.int64).reshape(-1, 2),
    )


def _context(window: Encoded) -> tuple[int, int]:
    sequence_ids = window.sequence_ids
    if 1 not in sequence_ids:
        return 0, 0
    begin = sequence_ids.index(1)
    return begin, begin + sequence_ids.count(1)


def _place(window: Encoded, context: tuple[int, int], answer: Answer) -> tuple[int, int]:
    """The last token that begins no later than the answer, and the first that ends no earlier."""
    begin, stop = context
    first, last = answer.start, answer.start + len(answer.text)
    offsets = window.offsets[begin:stop]
    if not offsets or offsets[0][0] > first or offsets[-1][1] < last:
        return 0, 0
    start = max(at for at, (left, _) in enumerate(offsets) if left <= first)
    end = min(at for at, (_, right) in enumerate(offsets) if right >= last)
    return begin + start, begin + end


def question_set(rows: Iterable[tuple[str, str, RightAnswers]]) -> QuestionSet:
    """(question, context, answers) rows.

    Raises:
        InputError: an answer does not stand where it says.
        TrainingError: there are no rows.
    """
    found = list(rows)
    if not found:
        raise TrainingError("the training data has no rows")
    for number, (_, context, answers) in enumerate(found, start=1):
        try:
            check_answers_stand(context, answers)
        except InputError as error:
            raise InputError(f"row {number}: {error}") from None
    return QuestionSet(
        questions=tuple(question for question, *_ in found),
        contexts=tuple(context for _, context, _ in found),
        answers=tuple(answers for *_, answers in found),
    )


def check_answers_stand(context: str, answers: RightAnswers) -> None:
    """Raises InputError where an answer's text does not stand at its first character."""
    for one in answers or ():
        there = context[max(0, one.start) : max(0, one.start) + len(one.text)]
        if not one.text or one.start < 0 or there != one.text:
            raise InputError(
                f"answer {one.text[:40]!r} does not stand at character {one.start}, where the "
                f"context has {there[:40]!r}"
            )
