"""Two models on the same rows: how much the second loses, overall and slice by slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from limbeck.errors import InputError
from limbeck.evaluation.scored import Scored
from limbeck.evaluation.slices import left_out, slices
from limbeck.tasks import bootstrap
from limbeck.tasks.bootstrap import Interval


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The headline metric of both, and what the second loses, with paired intervals.

    drop: first minus second, on all rows; slices: the same on parts of them, with their sizes;
    left_out: sizes of parts that were not compared.
    """

    metric: str
    rows: int
    first: float
    second: float
    drop: Interval
    slices: Mapping[str, tuple[int, Interval]]
    left_out: Mapping[str, int] = field(default_factory=dict)


def compare(
    first: Scored,
    second: Scored,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    every_class: bool = False,
) -> Comparison:
    """Compare on the same draws of rows.

    Args:
        every_class: also where there are many, for a limit that each of them must keep.

    Raises:
        InputError: the two were not scored on the same rows.
    """
    if first.examples != second.examples:
        raise InputError("two models are compared on the same rows; these were scored on others")
    name = first.headline
    one, other = first.metrics[name], second.metrics[name]
    parts = {}
    for part, rows in slices(first, every_class=every_class).items():
        parts[part] = (
            len(rows),
            bootstrap.difference(
                lambda at, rows=rows: one(rows[at]),  # type: ignore[misc]
                lambda at, rows=rows: other(rows[at]),  # type: ignore[misc]
                len(rows),
                resamples=resamples,
                level=level,
                seed=seed,
            ),
        )
    everything = np.arange(len(first))
    return Comparison(
        metric=name,
        rows=len(first),
        first=one(everything),
        second=other(everything),
        drop=bootstrap.difference(
            one, other, len(first), resamples=resamples, level=level, seed=seed
        ),
        slices=parts,
        left_out=left_out(first, every_class=every_class),
    )
