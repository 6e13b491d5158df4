"""How good spans are: answers to questions, and entities in tagged sentences."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from limbeck.errors import InputError
from limbeck.tasks.metrics import PrecisionRecallF1

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class AnswerScores(NamedTuple):
    """Shares between 0 and 1; SQuAD's script prints percent."""

    exact_match: float
    f1: float


def normalized_answer(answer: str) -> str:
    """An answer as SQuAD's script compares it: lower case, without punctuation and articles."""
    lowered = answer.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", lowered).split())


def answer_scores(prediction: str, answers: Sequence[str]) -> AnswerScores:
    """Exact match and F1 of one answer: the best over the right answers.

    F1 counts words (Rajpurkar et al. 2016, section 6.1). Without a right answer, "" is right
    (Rajpurkar et al. 2018), and so is what nothing is left of once it is normalised.
    """
    right = [one for one in answers if normalized_answer(one)] or [""]
    return AnswerScores(
        exact_match=max(
            float(normalized_answer(prediction) == normalized_answer(one)) for one in right
        ),
        f1=max(_word_f1(prediction, one) for one in right),
    )


def _word_f1(prediction: str, answer: str) -> float:
    said, right = normalized_answer(prediction).split(), normalized_answer(answer).split()
    if not said or not right:
        return float(said == right)
    common = sum((Counter(said) & Counter(right)).values())
    return 2 * common / (len(said) + len(right))


def squad_scores(
    predictions: Mapping[str, str], answers: Mapping[str, Sequence[str]]
) -> AnswerScores:
    """Means over all questions, as SQuAD's script counts; a question without a prediction is 0.

    Args:
        predictions, answers: by the questions' ids.

    Raises:
        InputError: there are no questions.
    """
    if not answers:
        raise InputError("there are no questions to score")
    scores = [
        answer_scores(predictions[name], right) if name in predictions else AnswerScores(0.0, 0.0)
        for name, right in answers.items()
    ]
    return AnswerScores(
        exact_match=sum(one.exact_match for one in scores) / len(scores),
        f1=sum(one.f1 for one in scores) / len(scores),
    )


def entities(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The entities of a sentence: (kind, first word, the one after the last).

    Tags are IOB1, IOB2, IOE or IOBES, read as the CoNLL evaluation reads them: an entity also
    begins where an I- tag follows none of its kind. A tag without a prefix counts as I-.
    """
    found: list[tuple[str, int, int]] = []
    begin = 0
    before, kind_before = "O", ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, kind = _parts(tag)
        same = prefix != "O" and before != "O" and kind == kind_before
        goes_on = same and before not in "ES" and prefix not in "BS"
        if before != "O" and not goes_on:
            found.append((kind_before, begin, place))
        if prefix != "O" and not goes_on:
            begin = place
        before, kind_before = prefix, kind
    return found


def _parts(tag: str) -> tuple[str, str]:
    if tag == "O":
        return "O", ""
    if tag[:1] in "BIES" and tag[1:2] == "-":
        return tag[0], tag[2:]
    return "I", tag


class EntityCounts(NamedTuple):
    """Of one sentence, or of several together: right entities, those found, those there are."""

    hits: int
    found: int
    there: int


def entity_counts(predictions: Sequence[str], labels: Sequence[str]) -> EntityCounts:
    """Whole entities of one sentence, from its tags and the right ones."""
    ours, theirs = set(entities(predictions)), set(entities(labels))
    return EntityCounts(len(ours & theirs), len(ours), len(theirs))


def span_f1(
    predictions: Sequence[Sequence[str]], labels: Sequence[Sequence[str]]
) -> PrecisionRecallF1:
    """Precision, recall and F1 of whole entities over all sentences (micro average).

    Each is 0 where its denominator is 0, as in seqeval.

    Raises:
        InputError: sentences, or their words, are not equally many.
    """
    if len(predictions) != len(labels):
        raise InputError(f"{len(predictions)} tagged sentences but {len(labels)} with labels")
    hits = claimed = actual = 0
    for number, (said, right) in enumerate(zip(predictions, labels, strict=True)):
        if len(said) != len(right):
            raise InputError(f"sentence {number}: {len(said)} tags but {len(right)} labels")
        counts = entity_counts(said, right)
        hits += counts.hits
        claimed += counts.found
        actual += counts.there
    precision = hits / claimed if claimed else 0.0
    recall = hits / actual if actual else 0.0
    return PrecisionRecallF1(
        precision, recall, 2 * hits / (claimed + actual) if claimed + actual else 0.0
    )
