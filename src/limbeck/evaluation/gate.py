"""Whether a model may take another's place: at most so much of the headline metric lost.

Fails closed: what cannot be told (a metric that is undefined) does not pass, and slices that were
not judged are named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from limbeck.errors import InputError
from limbeck.evaluation.compare import Comparison
from limbeck.evaluation.slices import FEWEST_ROWS, MOST_CLASSES

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """In points, hundredths of the metric.

    max_drop: most that may be lost on all rows; max_slice_drop: on any slice that has rows enough,
    and there must be one; None: slices are shown and do not decide. strict: the upper end of the
    interval decides, not the estimate.

    Raises:
        InputError: a limit is negative or no number.
    """

    max_drop: float
    max_slice_drop: float | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        for name in ("max_drop", "max_slice_drop"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise InputError(f"{name} must be a number of points from 0, found {value!r}")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the second model passes, and each limit that it broke, as a sentence.

    warnings: what a limit was asked for and could not be told. not_judged: those slices, with their
    sizes.
    """

    passed: bool
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    not_judged: Mapping[str, int] = field(default_factory=dict)


def judge(comparison: Comparison, limits: Limits) -> Verdict:
    """Hold a comparison against limits."""
    problems, warnings = [], []
    not_judged: Mapping[str, int] = {}
    parts = [("all rows", limits.max_drop, comparison.drop)]
    if limits.max_slice_drop is not None:
        parts += [
            (name, limits.max_slice_drop, drop) for name, (_, drop) in comparison.slices.items()
        ]
        not_judged = comparison.left_out
        small = [name for name, rows in not_judged.items() if rows < FEWEST_ROWS]
        if small:
            warnings.append(
                f"slices of fewer than {FEWEST_ROWS} rows were not judged: "
                f"{_listed(small, not_judged)}"
            )
        many = [name for name in not_judged if name not in small]
        if many:
            warnings.append(
                f"of more than {MOST_CLASSES} classes none was compared: "
                f"{_listed(many, not_judged)}"
            )
        if not comparison.slices:
            problems.append(
                f"no slice could be judged, for each has fewer than {FEWEST_ROWS} rows; give more "
                "rows, or leave out the limit on slices"
                if not many
                else "no slice could be judged; compare every class"
            )
    for name, limit, drop in parts:
        lost = 100 * (drop.high if limits.strict else drop.value)
        if lost <= limit:
            continue
        what = "may lose up to" if limits.strict else "loses"
        said = "an unknown number of" if math.isnan(lost) else f"{lost:.2f}"
        problems.append(
            f"{name}: {what} {said} points of {comparison.metric}, and {limit:g} are allowed"
        )
    return Verdict(
        passed=not problems,
        problems=tuple(problems),
        warnings=tuple(warnings),
        not_judged=dict(not_judged),
    )


def _listed(names: Sequence[str], sizes: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name} ({sizes[name]})" for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
