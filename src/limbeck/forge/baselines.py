"""What the student has to beat: a platform's regex rules, and TF-IDF n-grams with regression.

In: texts (and labels to fit on). Out: a score for each text, higher for a leak. No torch.
The rules are the kind that booking platforms run; they look at a text's form and see no meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError, MissingExtraError

Scores = npt.NDArray[np.float64]


class Baseline(Protocol):
    """Texts -> scores [N] float64, higher means more like a leak."""

    name: str

    def scores(self, texts: Sequence[str]) -> Scores: ...


_FIGURE_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_WORD_FIGURES = {word: str(figure) for figure, word in enumerate(_FIGURE_NAMES)} | {
    "oh": "0",
    "nought": "0",
}
_FIGURE_WORD = re.compile(r"\b(" + "|".join(_WORD_FIGURES) + r")\b", re.IGNORECASE)
_SEPARATED = r"(?:[\s().\-/_*,~|]{0,3})"


def _folded(text: str) -> tuple[str, str]:
    """The text with look-alikes folded, and the same with number words as figures."""
    plain = unicodedata.normalize("NFKC", text)
    figures = _FIGURE_WORD.sub(lambda m: _WORD_FIGURES[m.group(1).lower()], plain)
    figures = re.sub(r"(?<=\d)[oO]|\b[oO](?=\d)", "0", figures)
    return plain, re.sub(r"(?<=\d)[lI](?=\d|\b)|\b[lI](?=\d)", "1", figures)


# What a rule finds, and how sure it may be that this is a host's contact; set by hand on generated
# training text. Rules count as independent evidence.
_ENDING = r"(?:com|net|org|co|info|ie|ca|de|fr|eu)\b"
_WORDS_AT = r"\s*[(\[{<*_-]?\s*at\s*[)\]}>*_-]?\s*"
_WORDS_DOT = r"\s*(?:\.|[(\[{<*_-]?\s*dot\s*[)\]}>*_-]?)\s*"
_PLAIN_PATTERNS: tuple[tuple[str, float, str], ...] = (
    ("e-mail", 0.85, r"[\w.+-]+\s?@\s?[\w-]+\s?\.\s?[a-z]{2,}"),
    ("e-mail in words", 0.85, rf"[\w.+-]+{_WORDS_AT}[\w-]+{_WORDS_DOT}{_ENDING}"),
    ("mail provider", 0.75, r"\b(?:g\s?[-(]?mail|hot\s?mail|yahoo|outlook|icloud|protonmail)\b"),
    ("web address", 0.55, r"\b(?:https?://|www\s?[.,]\s?)\S+"),
    ("domain", 0.5, r"\b[a-z0-9-]{3,}\.(?:com|net|org|info|co\.uk|ie|ca|eu|de|fr|es|it)\b"),
    ("domain in words", 0.75, r"\b[\w-]+\s*[(\[{<*_-]?\s*dot\s*[)\]}>*_-]?\s*(?:com|net|org)\b"),
    ("handle", 0.55, r"(?<![\w.])@\s?[a-z]\w[\w.]+"),
    ("handle named", 0.6, r"\b(?:insta(?:gram)?|ig|fb|facebook|tiktok|snapchat)\s*[:@]\s*\w+"),
    ("messenger", 0.7, r"\b(?:wh?ats?\s?'?s?\s?app?|viber|telegram|we\s?chat|kakao|zalo)\b"),
    ("direct booking", 0.7, r"\bbook\s+(?:with\s+us\s+)?direct(?:ly)?\b"),
    ("fees avoided", 0.6, r"\b(?:avoid|save|skip)\b.{0,20}\b(?:fees?|commission)\b"),
    ("search for us", 0.7, r"\b(?:google|search|look)\s+(?:for\s+)?(?:us|me|(?:my|our)\s+name)\b"),
    ("contact words", 0.15, r"\b(?:call|text|phone|ring|e-?mail|contact|reach)\s+(?:me|us)\b"),
    ("own number", 0.4, r"\b(?:my|our)\s+(?:cell|mobile|phone|number|e-?mail|website|insta)\b"),
    ("in cash", 0.3, r"\b(?:pay|rent)\b.{0,25}\b(?:cash|privately|outside)\b"),
)
_PLAIN_RULES = tuple(
    (name, weight, re.compile(pattern, re.IGNORECASE)) for name, weight, pattern in _PLAIN_PATTERNS
)
_FIGURE_RULES: tuple[tuple[str, float, re.Pattern[str]], ...] = (
    ("long number", 0.6, re.compile(rf"(?<!\d)\+?\d(?:{_SEPARATED}\d){{8,14}}(?!\d)")),
    ("local number", 0.3, re.compile(r"(?<!\d)\d{3}[-. ]\d{4}(?!\d)")),
    ("bracketed area", 0.65, re.compile(r"\(\d{2,4}\)\s?\d{3}[-. ]?\d{3,4}")),
    ("international", 0.7, re.compile(r"(?:\+|\b00)\d{1,3}[\s(.-]?\d[\d\s().-]{6,}")),
)
# Wording that tells of a number which is nobody's phone; it takes away what the rules gave.
_EXCUSES = re.compile(
    r"\b(?:licen[cs]e|registration|permit|reg\.?\s?no|str-?|coordinates|gps|isbn)\b", re.IGNORECASE
)
_THIRD_PARTY = re.compile(
    r"\b(?:taxi|cab|restaurant|pizz\w+|museum|hospital|police|emergency|clinic|pharmacy|shuttle|"
    r"metro|transit|bus|train|tickets?|timetable|schedule|garage|theatre|zoo|doctor|dentist)\b",
    re.IGNORECASE,
)
_NEARBY = 60  # characters before a match in which an excuse counts


class RegexRules:
    """Hand-written rules: phones, e-mails, addresses, handles, keywords, excuses for numbers."""

    name = "regex rules"

    def scores(self, texts: Sequence[str]) -> Scores:
        """1 - product of (1 - weight) over the rules that fire, in 0 .. 1."""
        return np.array([self._score(text) for text in texts], dtype=np.float64)

    def _score(self, text: str) -> float:
        plain, figures = _folded(text)
        doubt = 1.0
        for rules, body in ((_PLAIN_RULES, plain), (_FIGURE_RULES, figures)):
            for _, weight, pattern in rules:
                doubt *= 1.0 - max(
                    (weight * _belief(body, match) for match in pattern.finditer(body)),
                    default=0.0,
                )
        return 1.0 - doubt


def _belief(text: str, match: re.Match[str]) -> float:
    """How much of a rule's weight stands, given the words before the match."""
    before = text[max(0, match.start() - _NEARBY) : match.start()]
    if _EXCUSES.search(before):
        return 0.1
    return 0.35 if _THIRD_PARTY.search(before) else 1.0


class TfidfRegression:
    """Word 1-2-grams and character 2-5-grams, TF-IDF, logistic regression (scikit-learn)."""

    name = "TF-IDF n-grams + logistic regression"

    def __init__(
        self, *, max_features: int = 200_000, strength: float = 8.0, seed: int = 0
    ) -> None:
        """max_features: for each of the two vocabularies. strength: inverse regularisation."""
        self.max_features, self.strength, self.seed = max_features, strength, seed
        self._model: Any = None

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> TfidfRegression:
        """Fit on texts with labels 0 and 1.

        Raises:
            InputError: there are not both labels.
            MissingExtraError: scikit-learn is not installed.
        """
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.linear_model import LogisticRegression
            from sklearn.pipeline import make_pipeline, make_union
        except ImportError:
            raise MissingExtraError("scikit-learn", "demo") from None
        if set(labels) != {0, 1} or len(texts) != len(labels):
            raise InputError("the regression needs one label a text, and both labels 0 and 1")
        words = TfidfVectorizer(
            ngram_range=(1, 2),
            min_df=2,
            max_features=self.max_features,
            sublinear_tf=True,
            dtype=np.float32,
        )
        signs = TfidfVectorizer(
            analyzer="char_wb",
            ngram_range=(2, 5),
            min_df=3,
            max_features=self.max_features,
            sublinear_tf=True,
            dtype=np.float32,
        )
        self._model = make_pipeline(
            make_union(words, signs),
            LogisticRegression(C=self.strength, max_iter=300, random_state=self.seed),
        )
        self._model.fit(list(texts), list(labels))
        return self

    def scores(self, texts: Sequence[str]) -> Scores:
        """Probability of label 1.

        Raises:
            InputError: `fit` was not called.
        """
        if self._model is None:
            raise InputError("fit the regression before asking for scores")
        return np.asarray(self._model.predict_proba(list(texts))[:, 1], dtype=np.float64)
