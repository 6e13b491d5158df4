"""Teachers' answers to rows, of one teacher or of several as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limbeck.errors import InputError
from limbeck.forge import ensemble, logits, quality, tagged
from limbeck.forge.answers import Answers
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.ensemble import Combination
from limbeck.forge.examples import TrainingSet
from limbeck.forge.rows import Rows
from limbeck.forge.tagged import TaggedSet


def ask(
    teachers: Sequence[Checkpoint],
    rows: Rows,
    how: Combination = "mean",
    *,
    temperature: float = 2.0,
    held_out: Rows | None = None,
    cache: str | Path | None = None,
) -> Answers:
    """The teachers' answers to the rows, combined where there are several.

    Args:
        how: see `ensemble.combine`.
        held_out: rows by whose labels teachers are weighted, for "weighted".
        cache: see `logits.of`.

    Raises:
        InputError: teachers with another task or other labels than the first, or none of the
            held-out rows has a label to weight them by.
    """
    first = teachers[0]
    for other in teachers[1:]:
        if other.task != first.task:
            raise InputError(f"the teachers are for {first.task} and {other.task}")
        if other.labels != first.labels:
            raise InputError(
                f"the teachers have the labels {list(first.labels)} and {list(other.labels)}"
            )
    found = [logits.of(one, rows, cache) for one in teachers]
    if len(found) == 1:
        return found[0]
    weights = None
    if how == "weighted":
        if held_out is None or not held_out.labelled.any():
            raise InputError("teachers are weighted by labelled rows: hold some out")
        weights = [max(0.0, quality.of(one, held_out).value) for one in teachers]
    labels = None
    if isinstance(rows, TrainingSet):
        labels = rows.labels
    elif isinstance(rows, TaggedSet):
        labels = tagged.features(rows, first.tokenizer, first.max_tokens).labels
    return ensemble.combine(
        found,
        how,
        temperature=temperature,
        weights=weights,
        labels=labels,
        problem=rows.problem,
    )
