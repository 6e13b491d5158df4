"""How good each stage's model is, through the engine, and what it lost; kept by digest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck import evaluation, runtimes
from limbeck.evaluation import Comparison, Interval, Scored
from limbeck.forge import progress
from limbeck.forge.recipe import store
from limbeck.forge.recipe.rows import RecipeRows
from limbeck.forge.recipe.stage import Output
from limbeck.tasks import bootstrap

# Raised when the same answers would give other figures.
_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Metrics of one model, the headline first, and the headline on slices, with intervals.

    cut: rows that were longer than the model takes.
    """

    rows: int
    metrics: Mapping[str, Interval]
    slices: Mapping[str, tuple[int, Interval]]
    cut: int
    notes: tuple[str, ...]

    @property
    def headline(self) -> str:
        return next(iter(self.metrics))

    @property
    def value(self) -> float:
        return self.metrics[self.headline].value


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores models on a recipe's rows and keeps what it found in a directory, by digest."""

    rows: RecipeRows
    kept: Path
    resamples: int = 1000
    _answered: dict[str, Scored] = field(default_factory=dict)

    def of(self, output: Output) -> Quality:
        """The model's quality.

        Raises:
            InputError: the rows' labels are not the model's.
            TrainingError: what was found cannot be kept.
        """
        file = self._file("score", output)
        found = store.read_json(file)
        if found is None:
            found = _quality_fields(self._scored(output), self.resamples)
            store.write_json(file, found)
        return _quality(found)

    def compare(self, first: Output, second: Output) -> Comparison:
        """What the second loses against the first, row by row."""
        file = self._file("compare", first, second)
        found = store.read_json(file)
        if found is None:
            found = _comparison_fields(
                evaluation.compare(
                    self._scored(first), self._scored(second), resamples=self.resamples
                )
            )
            store.write_json(file, found)
        return _comparison(found)

    def _file(self, what: str, *outputs: Output) -> Path:
        key = [what, _VERSION, self.rows.measured_on, self.resamples]
        key += [output.digest for output in outputs]
        store.make_directory(self.kept)
        return self.kept / f"{what}-{store.digest_of(key)[:32]}.json"

    def _scored(self, output: Output) -> Scored:
        if output.digest not in self._answered:
            examples = self.rows.examples
            model = runtimes.load(output.directory)  # a trained model in fp32, an artifact as it is
            with progress.bar(f"measuring {output.stage}", len(examples)) as shown:
                self._answered[output.digest] = evaluation.score(
                    model, examples, advance=shown.advance
                )
        return self._answered[output.digest]


def _quality_fields(scored: Scored, resamples: int) -> dict[str, Any]:
    metric = scored.metrics[scored.headline]
    return {
        "rows": len(scored),
        # a list, for objects are sorted when they are written
        "metrics": [
            [name, _interval_fields(scored.interval(name, resamples=resamples))]
            for name in scored.metrics
        ],
        "slices": [
            [
                name,
                len(rows),
                _interval_fields(
                    bootstrap.interval(
                        lambda at, rows=rows: metric(rows[at]),  # type: ignore[misc]
                        len(rows),
                        resamples=resamples,
                    )
                ),
            ]
            for name, rows in evaluation.slices(scored).items()
        ],
        "cut": scored.cut,
        "notes": list(scored.notes),
    }


def _quality(fields: Mapping[str, Any]) -> Quality:
    return Quality(
        rows=fields["rows"],
        metrics={name: _interval(one) for name, one in fields["metrics"]},
        slices={name: (rows, _interval(one)) for name, rows, one in fields["slices"]},
        cut=fields["cut"],
        notes=tuple(fields["notes"]),
    )


def _comparison_fields(comparison: Comparison) -> dict[str, Any]:
    return {
        "metric": comparison.metric,
        "rows": comparison.rows,
        "first": _number(comparison.first),
        "second": _number(comparison.second),
        "drop": _interval_fields(comparison.drop),
        "slices": [
            [name, rows, _interval_fields(drop)] for name, (rows, drop) in comparison.slices.items()
        ],
    }


def _comparison(fields: Mapping[str, Any]) -> Comparison:
    return Comparison(
        metric=fields["metric"],
        rows=fields["rows"],
        first=_found(fields["first"]),
        second=_found(fields["second"]),
        drop=_interval(fields["drop"]),
        slices={name: (rows, _interval(drop)) for name, rows, drop in fields["slices"]},
    )


def _interval_fields(interval: Interval) -> dict[str, float | None]:
    return {name: _number(getattr(interval, name)) for name in ("value", "low", "high")}


def _interval(fields: Mapping[str, float | None]) -> Interval:
    return Interval(**{name: _found(fields[name]) for name in ("value", "low", "high")})


def _number(value: float) -> float | None:
    """JSON has no NaN: what is undefined is null."""
    return None if math.isnan(value) else float(value)


def _found(value: float | None) -> float:
    return math.nan if value is None else value
