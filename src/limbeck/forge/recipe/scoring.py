"""How good each stage's model is, through the engine, and what it lost; kept by digest."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from limbeck import evaluation, runtimes
from limbeck.errors import InputError
from limbeck.evaluation import Comparison, Interval, Scored
from limbeck.forge import progress
from limbeck.forge.recipe import store
from limbeck.forge.recipe.kept import kept_of
from limbeck.forge.recipe.rows import RecipeRows
from limbeck.forge.recipe.stage import Output
from limbeck.tasks import bootstrap

# Raised when the same answers would give other figures, by what is kept; 1 where it is not named.
_VERSIONS = {"score": 2, "compare": 2}


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

    def compare(self, first: Output, second: Output, *, every_class: bool = False) -> Comparison:
        """What the second loses against the first, row by row.

        every_class: as for `limbeck.evaluation.compare`.
        """
        file = self._file("compare-every-class" if every_class else "compare", first, second)
        found = store.read_json(file)
        if found is None:
            found = _comparison_fields(
                evaluation.compare(
                    self._scored(first),
                    self._scored(second),
                    resamples=self.resamples,
                    every_class=every_class,
                )
            )
            store.write_json(file, found)
        return _comparison(found)

    def share(self, first: Output, second: Output) -> Interval:
        """Per cent of the first one's headline metric that the second has, on the same draws; NaN
        where the first one has nothing to keep."""
        return self._paired(
            "share",
            first,
            second,
            lambda one, other: kept_of(
                other.metrics[other.headline],
                one.metrics[one.headline],
                len(one),
                resamples=self.resamples,
            ),
        )

    def drop(self, first: Output, second: Output) -> Interval:
        """What the second loses against the first on all rows: `compare` without slices."""
        return self._paired(
            "drop",
            first,
            second,
            lambda one, other: bootstrap.difference(
                one.metrics[one.headline],
                other.metrics[other.headline],
                len(one),
                resamples=self.resamples,
            ),
        )

    def _paired(
        self,
        what: str,
        first: Output,
        second: Output,
        found: Callable[[Scored, Scored], Interval],
    ) -> Interval:
        file = self._file(what, first, second)
        kept = store.read_json(file)
        if kept is None:
            kept = _interval_fields(found(self._scored(first), self._scored(second)))
            store.write_json(file, kept)
        return _interval(kept)

    def _file(self, what: str, *outputs: Output) -> Path:
        return self._named(what, self.resamples, *outputs)

    def _named(self, what: str, resamples: int | None, *outputs: Output) -> Path:
        key = [what, _VERSIONS.get(what, 1), self.rows.measured_on, resamples]
        key += [output.digest for output in outputs]
        store.make_directory(self.kept)
        return self.kept / f"{what}-{store.digest_of(key)[:32]}.json"

    def _scored(self, output: Output) -> Scored:
        if output.digest not in self._answered:
            file = self._named("answers", None, output).with_suffix(".npz")
            found = _read_answers(file, self.rows)
            if found is None:
                examples = self.rows.examples
                # a trained model in fp32, an artifact as it is
                model = runtimes.load(output.directory)
                with progress.bar(f"measuring {output.stage}", len(examples)) as shown:
                    found = evaluation.score(model, examples, advance=shown.advance)
                store.write_file(file, _answers(found))
            self._answered[output.digest] = found
        return self._answered[output.digest]


# Beside the values of rows in a file of answers.
_ABOUT = ("about.tokens", "about.cut", "about.notes")


def _answers(scored: Scored) -> bytes:
    """What is known of each row, so that a model is not asked again for another comparison."""
    file = io.BytesIO()
    about: dict[str, Any] = {
        "about.tokens": scored.tokens,
        "about.cut": np.int64(scored.cut),
        "about.notes": np.array(json.dumps(list(scored.notes))),
    }
    np.savez_compressed(file, **about, **scored.values)  # type: ignore[arg-type]
    return file.getvalue()


def _read_answers(file: Path, rows: RecipeRows) -> Scored | None:
    """What `_answers` wrote; None where there is no such file.

    Raises:
        InputError: it is damaged.
    """
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as kept:
            values = {name: kept[name] for name in kept.files if name not in _ABOUT}
            tokens, cut = kept["about.tokens"], int(kept["about.cut"])
            notes = tuple(json.loads(str(kept["about.notes"])))
        problem = rows.examples.problem
        metrics = evaluation.metrics_of(problem, values)
        if len(tokens) != len(rows.examples):
            raise ValueError(f"{len(tokens)} rows")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file} cannot be read ({error}); delete it, and start again") from None
    return Scored(
        examples=rows.examples,
        metrics=metrics,
        tokens=tokens,
        cut=cut,
        notes=notes,
        values=values,
    )


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
        "left_out": [[name, rows] for name, rows in comparison.left_out.items()],
    }


def _comparison(fields: Mapping[str, Any]) -> Comparison:
    return Comparison(
        metric=fields["metric"],
        rows=fields["rows"],
        first=_found(fields["first"]),
        second=_found(fields["second"]),
        drop=_interval(fields["drop"]),
        slices={name: (rows, _interval(drop)) for name, rows, drop in fields["slices"]},
        left_out=dict(fields["left_out"]),
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
