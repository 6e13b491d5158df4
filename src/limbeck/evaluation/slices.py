"""Parts of labelled rows that are looked at by themselves: by class and by length."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from limbeck.evaluation.examples import Examples
from limbeck.evaluation.scored import Scored
from limbeck.tasks import span_metrics

# Quarters of the rows by length say where a model that sees less context loses.
_PARTS = 4
# Fewer rows than this tell nothing.
FEWEST_ROWS = 10
# A table of more classes than this is not read.
MOST_CLASSES = 20

Places = npt.NDArray[np.intp]


def slices(scored: Scored, *, every_class: bool = False) -> dict[str, Places]:
    """Row numbers by name: "label=x" for each class, "tokens 12-30" for quarters by length.

    Rows with several labels are in the slice of each; sentences with tags are in "tag=PER" where
    they hold such an entity. Slices of fewer than 10 rows are left out, and
    so are classes where there are more than 20.

    Args:
        every_class: however many there are.
    """
    classes, lengths = _classes(scored.examples), _lengths(scored)
    if len(classes) > MOST_CLASSES and not every_class:
        classes = {}
    return {name: rows for name, rows in (classes | lengths).items() if len(rows) >= FEWEST_ROWS}


def left_out(scored: Scored, *, every_class: bool = False) -> dict[str, int]:
    """The slices that `slices` does not give, with their sizes."""
    given = slices(scored, every_class=every_class)
    everything = _classes(scored.examples) | _lengths(scored)
    return {name: len(rows) for name, rows in everything.items() if name not in given}


def _classes(examples: Examples) -> dict[str, Places]:
    found: dict[str, list[int]] = {}
    for row, target in enumerate(examples.targets):
        for name in _names(examples, target):
            found.setdefault(name, []).append(row)
    return {name: np.array(found[name], dtype=np.intp) for name in sorted(found)}


def _names(examples: Examples, target: object) -> Iterable[str]:
    """The classes that a row belongs to, each once."""
    if examples.problem == "single_label":
        return (f"label={target}",)
    if examples.problem == "multi_label":
        assert isinstance(target, tuple)
        return {f"label={label}" for label in target}
    if examples.problem == "token-classification":
        assert isinstance(target, tuple)
        return {f"tag={kind}" for kind, _, _ in span_metrics.entities(target)}
    return ()


def _lengths(scored: Scored) -> dict[str, Places]:
    found = {}
    edges = np.quantile(scored.tokens, np.linspace(0, 1, _PARTS + 1)).astype(int)
    low = int(edges[0])
    for high in sorted({int(edge) for edge in edges[1:]}):
        inside = (scored.tokens >= low) & (scored.tokens <= high)
        found[f"tokens {low}-{high}"] = np.flatnonzero(inside)
        low = high + 1
    return found
