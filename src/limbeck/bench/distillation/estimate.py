"""How long runs will take: tokens, by the tokens a second that runs before them had."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from limbeck.bench.distillation.plan import Run
from limbeck.bench.distillation.sets import Rows
from limbeck.forge.questions import QuestionSet
from limbeck.text import Tokenizer

Kind = Literal["teacher", "student", "peers", "inside"]
# Tokens a second in training on two cores with bf16, before any run has been measured: a teacher of
# 6 layers, a student of 3, two students, a student beside its teacher.
_USUAL: dict[Kind, float] = {"teacher": 4400, "student": 9000, "peers": 4500, "inside": 5500}
# Forward alone: a teacher in torch, in fp32; and models in the engine.
_ASKED = 6000.0
_ANSWERED = 20000.0
_SAMPLE = 300


def kind_of(run: Run) -> Kind:
    if run.method is None:
        return "teacher"
    if run.method.peers > 1:
        return "peers"
    return "inside" if run.method.inside.wanted else "student"


@dataclass
class Speeds:
    """Tokens a second of the runs that are in a cache."""

    cache: Path
    _found: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def look(self) -> None:
        """Read them anew."""
        self._found = {}
        for file in self.cache.glob("*/run.json"):
            try:
                facts = json.loads(file.read_text(encoding="utf-8"))
                key = str(facts["data set"]), str(facts["role"])
                speed = float(facts["tokens_seen"]) / float(facts["seconds"])
            except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
                continue  # a guess does not need this one; whoever uses the run will complain
            self._found.setdefault(key, []).append(speed)

    def of(self, run: Run) -> float:
        """Of this data set and method; else of the method; else what is usual."""
        same = self._found.get((run.data_set.name, run.role))
        if same is None:
            same = [
                speed
                for (_, role), each in self._found.items()
                if role == run.role
                for speed in each
            ]
        return median(same) if same else _USUAL[kind_of(run)]


def mean_tokens(tokenizer: Tokenizer, rows: Rows, max_tokens: int) -> tuple[float, float]:
    """Mean length of training and of test rows, of a sample."""

    def of(texts: tuple[str, ...], pairs: tuple[str, ...] | None) -> float:
        step = max(1, len(texts) // _SAMPLE)
        second = None if pairs is None else list(pairs[::step])
        encoded = tokenizer.encode(list(texts[::step]), second, max_tokens=max_tokens)
        return float(np.mean([len(one) for one in encoded]))

    known = rows.train
    if isinstance(known, QuestionSet):
        train = of(known.questions, known.contexts)
    else:
        train = of(known.texts, known.pairs)
    return train, of(rows.test.texts, rows.test.pairs)


def seconds(
    runs: Iterable[Run], speeds: Speeds, lengths: tuple[float, float], rows: Rows
) -> dict[str, float]:
    """Seconds of training and scoring by run, for runs of one data set that are not done.

    A teacher's answers to the training rows are reckoned to the first student that asks for them.
    """
    train, test = lengths[0] * len(rows.train), lengths[1] * len(rows.test)
    found: dict[str, float] = {}
    asked: set[str] = set()
    for run in runs:
        total = train * run.budget.epochs / speeds.of(run)
        total += len(run.precisions) * test / _ANSWERED
        if run.method is not None:
            for teacher in run.needs[: max(1, run.method.teachers)]:
                if teacher.key not in asked:
                    asked.add(teacher.key)
                    total += train / _ASKED
        found[run.key] = total
    return found
