"""One recipe with several seeds: how much of a figure is chance."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from limbeck.errors import InputError
from limbeck.forge.recipe import processes, state, store
from limbeck.forge.recipe.finish import Finished
from limbeck.forge.recipe.runner import Options, Say, run
from limbeck.forge.recipe.sections import Recipe

FILE = "seeds.json"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The headline metric of one stage over seeds. deviation: of the sample, NaN for one seed."""

    stage: str
    metric: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def fields(self) -> Mapping[str, object]:
        """As JSON can hold it."""
        deviation = None if math.isnan(self.deviation) else self.deviation
        return {
            **asdict(self),
            "mean": self.mean,
            "deviation": deviation,
            "low": self.low,
            "high": self.high,
        }


def spreads(runs: Sequence[Finished]) -> list[Spread]:
    """One a stage, in order."""
    return [
        Spread(
            stage=step.output.stage,
            metric=step.quality.headline,
            values=tuple(one.steps[index].quality.value for one in runs),
        )
        for index, step in enumerate(runs[0].steps)
    ]


def run_seeds(
    recipe: Recipe,
    count: int,
    options: Options = Options(),  # noqa: B008 (a frozen value)
    *,
    say: Say = lambda line: None,
    lenient: Say | None = None,
) -> tuple[list[Finished], list[Spread]]:
    """Run a recipe with its seed and those behind it, each in a folder of its own.

    All of them are measured on the same rows, with the threads and the precision of the first;
    stages that do not depend on the seed are made once.

    Raises:
        InputError: no seeds; and what `run` raises.
    """
    if count < 1:
        raise InputError(f"seeds must be at least 1, found {count}")
    home = recipe.run.out
    with processes.team() as team:
        team.alone(lambda: state.check_directory(home))
        runs: list[Finished] = []
        begin: state.RunState | None = None
        folders = [home / f"seed-{recipe.run.seed + index}" for index in range(count)]
        team.alone(lambda: state.keep_marker(home))
        for index, folder in enumerate(folders):
            own = dataclasses.replace(recipe.run, out=folder, seed=recipe.run.seed + index)
            say(f"seed {own.seed}")
            runs.append(
                run(
                    dataclasses.replace(recipe, run=own),
                    options,
                    say=say,
                    lenient=lenient,
                    begin=begin,
                    siblings=folders[:index],
                    shared=home,
                )
            )
            begin = team.alone(lambda folder=folder: state.open_state(folder, None))  # type: ignore[misc]
        found = spreads(runs)
        seeds = [one.recipe.run.seed for one in runs]
        team.alone(
            lambda: store.write_json(
                home / FILE, {"seeds": seeds, "stages": [one.fields() for one in found]}
            )
        )
        return runs, found
