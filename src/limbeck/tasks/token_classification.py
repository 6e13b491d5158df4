"""Logits of tokens -> tags or entities, as transformers' token classification gives them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.spec import TaskSpec
from limbeck.tasks.scores import softmax
from limbeck.text import Encoded, Tokenizer

Aggregation = Literal["none", "simple", "first", "average", "max"]
AGGREGATIONS: tuple[Aggregation, ...] = ("none", "simple", "first", "average", "max")


@dataclass(frozen=True, kw_only=True)
class _Token:
    """One token, or one word made of several: its tag or its scores, and where it stands."""

    word: str
    scores: npt.NDArray[np.float32]  # [L]
    start: int
    end: int
    index: int
    continues_word: bool


@dataclass(frozen=True, kw_only=True)
class _Tagged:
    tag: str
    score: np.float32
    word: str
    start: int
    end: int
    index: int


def parse_aggregation(name: str) -> Aggregation:
    """Raises InputError for names that are no aggregation strategy."""
    lowered = name.lower() if isinstance(name, str) else name
    for aggregation in AGGREGATIONS:
        if lowered == aggregation:
            return aggregation
    raise InputError(
        f"aggregation_strategy must be one of {', '.join(AGGREGATIONS)}, found {name!r}"
    )


def token_classification(
    logits: Sequence[npt.NDArray[np.float32]],
    windows: Sequence[Encoded],
    text: str,
    task: TaskSpec,
    tokenizer: Tokenizer,
    *,
    aggregation_strategy: str = "none",
    ignore_labels: Collection[str] = ("O",),
) -> list[dict[str, Any]]:
    """One text's answer.

    Args:
        logits: for each window [S, L] float32, special tokens included.
        windows: the text as encoded; one, or overlapping ones.
        aggregation_strategy: "none": one dictionary a token {"entity", "score", "index", "word",
            "start", "end"}. Else neighbours are joined to entities {"entity_group", "score",
            "word", "start", "end"}: "simple" by the tags of tokens (B- starts a new one); "first",
            "average" and "max" give all tokens of a word one tag beforehand: that of its first
            token, of the mean scores, or of its surest token.
        ignore_labels: tags (without B- or I- where tokens are joined) to leave out.

    Raises:
        InputError: no such strategy.
    """
    aggregation = parse_aggregation(aggregation_strategy)
    answers = []
    for window_logits, window in zip(logits, windows, strict=True):
        tokens = _tokens(softmax(window_logits), window, text, tokenizer)
        if aggregation in ("none", "simple"):
            tagged = [_tag(token, token.scores, task) for token in tokens]
        else:
            tagged = [_word(word, aggregation, task, tokenizer) for word in _words(tokens)]
        if aggregation == "none":
            found = [_token_answer(one) for one in tagged if one.tag not in ignore_labels]
        else:
            groups = [_entity(group, tokenizer) for group in _groups(tagged)]
            found = [one for one in groups if one["entity_group"] not in ignore_labels]
        answers += found
    return _without_overlaps(answers) if len(windows) > 1 else answers


def _tokens(
    scores: npt.NDArray[np.float32], window: Encoded, text: str, tokenizer: Tokenizer
) -> list[_Token]:
    tokens = []
    for index, (token_id, special, (start, end)) in enumerate(
        zip(window.ids, window.special, window.offsets, strict=True)
    ):
        if special:
            continue
        word = tokenizer.token(token_id)
        written = text[start:end]
        if token_id == tokenizer.unknown_id:
            word, continues = written, False
        elif tokenizer.subword_prefix is not None:
            # "##ing" is longer than the "ing" that it stands for.
            continues = len(word) != len(written)
        else:
            # No mark tells words apart: a token continues one if no space stands at its start.
            continues = start > 0 and " " not in text[start - 1 : start + 1]
        tokens.append(
            _Token(
                word=word,
                scores=scores[index],
                start=start,
                end=end,
                index=index,
                continues_word=continues,
            )
        )
    return tokens


def _tag(token: _Token, scores: npt.NDArray[np.float32], task: TaskSpec) -> _Tagged:
    best = int(scores.argmax())
    return _Tagged(
        tag=task.labels[best],
        score=scores[best],
        word=token.word,
        start=token.start,
        end=token.end,
        index=token.index,
    )


def _words(tokens: Sequence[_Token]) -> list[list[_Token]]:
    words: list[list[_Token]] = []
    for token in tokens:
        if words and token.continues_word:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _word(
    tokens: Sequence[_Token], aggregation: Aggregation, task: TaskSpec, tokenizer: Tokenizer
) -> _Tagged:
    if aggregation == "first":
        scores = tokens[0].scores
    elif aggregation == "max":
        scores = max(tokens, key=lambda token: float(token.scores.max())).scores
    else:
        scores = np.mean([token.scores for token in tokens], axis=0, dtype=np.float32)
    whole = _Token(
        word=tokenizer.join([token.word for token in tokens]),
        scores=scores,
        start=tokens[0].start,
        end=tokens[-1].end,
        index=tokens[0].index,
        continues_word=False,
    )
    return _tag(whole, scores, task)


def _split_tag(tag: str) -> tuple[bool, str]:
    """Whether a tag begins an entity, and the entity's kind; "LOC" alone counts as "I-LOC"."""
    if tag.startswith("B-"):
        return True, tag[2:]
    return False, tag.removeprefix("I-")


def _groups(tagged: Sequence[_Tagged]) -> list[list[_Tagged]]:
    groups: list[list[_Tagged]] = []
    for one in tagged:
        begins, kind = _split_tag(one.tag)
        if groups and not begins and kind == _split_tag(groups[-1][-1].tag)[1]:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _entity(group: Sequence[_Tagged], tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        # What follows the first hyphen, whatever stands before it.
        "entity_group": group[0].tag.split("-", 1)[-1],
        "score": float(np.mean([one.score for one in group], dtype=np.float32)),
        "word": tokenizer.join([one.word for one in group]),
        "start": group[0].start,
        "end": group[-1].end,
    }


def _token_answer(one: _Tagged) -> dict[str, Any]:
    return {
        "entity": one.tag,
        "score": float(one.score),
        "index": one.index,
        "word": one.word,
        "start": one.start,
        "end": one.end,
    }


def _without_overlaps(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of entities that overlap, seen by neighbouring windows, keep the longest, then the surest."""
    if not answers:
        return []
    kept = []
    ordered = sorted(answers, key=lambda answer: int(answer["start"]))
    best = ordered[0]
    for answer in ordered[1:]:
        if answer["start"] < best["end"]:
            rank = (answer["end"] - answer["start"], answer["score"])
            if rank > (best["end"] - best["start"], best["score"]):
                best = answer
        else:
            kept.append(best)
            best = answer
    kept.append(best)
    return kept
