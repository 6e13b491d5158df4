"""What a model answered on labelled rows, as metrics of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.evaluation.examples import Examples
from limbeck.tasks import bootstrap
from limbeck.tasks.bootstrap import Interval, Metric


@dataclass(frozen=True, kw_only=True)
class Scored:
    """N rows and metrics of them.

    metrics: by name, the headline first, each a function of row numbers, which may repeat. Higher
    is better for all of them. tokens: [N] each row's length as the model reads it; cut: rows that
    were longer than the model takes. values: what the metrics are made of, by
    `limbeck.evaluation.metrics_of`: arrays with a row for each row.
    """

    examples: Examples
    metrics: Mapping[str, Metric]
    tokens: npt.NDArray[np.int64]
    cut: int = 0
    notes: tuple[str, ...] = field(default=())
    values: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def headline(self) -> str:
        """The name of the metric by which models of this problem are compared."""
        return next(iter(self.metrics))

    def value(self, name: str | None = None) -> float:
        """A metric on all rows; None: the headline."""
        return self.metrics[name or self.headline](np.arange(len(self)))

    def interval(
        self, name: str | None = None, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
    ) -> Interval:
        """A metric with its bootstrap interval; None: the headline."""
        return bootstrap.interval(
            self.metrics[name or self.headline],
            len(self),
            resamples=resamples,
            level=level,
            seed=seed,
        )
