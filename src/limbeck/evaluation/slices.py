"""Parts of labelled rows that are looked at by themselves: by class and by length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from limbeck.evaluation.scored import Scored

# Quarters of the rows by length say where a model that sees less context loses.
_PARTS = 4
# Fewer rows than this tell nothing.
_FEWEST_ROWS = 10


def slices(scored: Scored) -> dict[str, npt.NDArray[np.intp]]:
    """Row numbers by name: "label=x" for each class, "tokens 12-30" for quarters by length.

    Slices of fewer than 10 rows are left out, and so are classes where there are more than 20.
    """
    found: dict[str, npt.NDArray[np.intp]] = {}
    if scored.examples.problem == "single_label":
        targets = np.array(scored.examples.targets)
        labels = sorted(set(scored.examples.targets))
        if len(labels) <= 20:
            found |= {f"label={label}": np.flatnonzero(targets == label) for label in labels}
    edges = np.quantile(scored.tokens, np.linspace(0, 1, _PARTS + 1)).astype(int)
    low = int(edges[0])
    for high in sorted({int(edge) for edge in edges[1:]}):
        inside = (scored.tokens >= low) & (scored.tokens <= high)
        found[f"tokens {low}-{high}"] = np.flatnonzero(inside)
        low = high + 1
    return {name: rows for name, rows in found.items() if len(rows) >= _FEWEST_ROWS}
