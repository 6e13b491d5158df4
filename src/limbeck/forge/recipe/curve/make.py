"""Makes and measures all points: each one an ordinary run of a recipe, in a folder of its own.

Stages that points have in common are made once, and files of finished stages are hard-linked. So a
curve that was killed goes on, and a changed one makes what the change reaches. Times are taken at
the end, of all artifacts in turns: a figure of another hour is no figure to compare with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from limbeck import artifact, evaluation, measure, runtimes
from limbeck.errors import InputError
from limbeck.evaluation import rivals
from limbeck.forge import side_by_side
from limbeck.forge.recipe import latency, processes, rows, state, store
from limbeck.forge.recipe.curve import page
from limbeck.forge.recipe.curve.judging import Curve, Measured, Speed
from limbeck.forge.recipe.curve.plan import POINTS, Point, points
from limbeck.forge.recipe.curve.running import Place, at_once
from limbeck.forge.recipe.finish import Finished, Step
from limbeck.forge.recipe.registry import STAGES
from limbeck.forge.recipe.runner import Options, Say
from limbeck.forge.recipe.scoring import Scores
from limbeck.forge.recipe.sections import CurveSection, Recipe

FILE = "curve.json"
PAGE = "curve.html"
ROUNDS = 12


def make(
    recipe: Recipe,
    options: Options = Options(),  # noqa: B008 (a frozen value)
    *,
    say: Say = lambda line: None,
    lenient: Say | None = None,
    rounds: int = ROUNDS,
    jobs: int = 1,
) -> Curve:
    """Make the curve of a recipe, or go on with it, and measure it.

    Args:
        options: as of `limbeck.forge.recipe.run`; lengths are those of [curve].
        rounds: turns of every artifact when they are timed.
        jobs: how many patterns of a model are trained at once, by a process each. Where the recipe
            names no threads, a new curve gives each its share of them. The artifacts are those of
            one job with as many threads.

    Raises:
        InputError: a recipe of which no curve can be made, or several jobs under torchrun; and what
            `run` raises.
        TrainingError: one of several jobs died.
    """
    if jobs < 1:
        raise InputError(f"jobs must be positive, found {jobs}")
    planned = points(recipe)
    home = recipe.run.out
    quiet = Options(resamples=options.resamples, lengths=(), save_every_s=options.save_every_s)
    with contextlib.ExitStack() as stack:
        team = stack.enter_context(processes.team())
        if jobs > 1 and team.size > 1:
            raise InputError(
                f"{team.size} processes of torchrun train together; leave out torchrun, or the jobs"
            )

        def opened() -> state.RunState:
            state.check_directory(home)
            stack.enter_context(store.locked(home))
            share = state.RunState(threads=side_by_side.threads_each(jobs))
            decided = state.open_state(home, recipe.run.threads, share)
            store.make_directory(home / POINTS)
            return decided

        begin = team.alone(opened)
        place = Place(home=home, planned=planned, options=quiet, begin=begin)
        runs: dict[int, Finished] = {}
        for index, point in enumerate(planned):
            if index and jobs > 1:
                runs |= at_once(place, index, jobs, say, lenient)
                break
            if team.first:
                say(f"{point.name} ({index + 1} of {len(planned)})")
            runs[index] = place.run(index, say, lenient)
            if begin.probe is None and index == 0:
                place = replace(place, begin=team.alone(lambda: _kept_state(home, planned[0])))
        made = [runs[index] for index in range(len(planned))]
        return team.alone(lambda: _measured(recipe, planned, made, options.resamples, rounds))


def _kept_state(home: Path, first: Point) -> state.RunState:
    """What the first point decided holds for the curve, also for whoever goes on with it."""
    found = state.open_state(first.recipe.run.out, None)
    state.keep(home, found)
    return found


def _measured(
    recipe: Recipe,
    planned: Sequence[Point],
    runs: Sequence[Finished],
    resamples: int,
    rounds: int,
) -> Curve:
    home, section = recipe.run.out, recipe.curve or CurveSection()
    scores = Scores(rows=_rows(recipe), kept=home / "figures", resamples=resamples)
    speeds, threads, isa = _timed(planned, runs, section, rounds)
    students = {
        point.name: one.steps[-1]
        for point, one in zip(planned, runs, strict=True)
        if point.pattern is None and point.base != "teacher"
    }
    found = [
        _one(recipe, point, one, speeds, scores, students)
        for point, one in zip(planned, runs, strict=True)
    ]
    first = runs[0].steps[0].quality
    curve = Curve(
        home=home,
        page=home / PAGE,
        file=home / FILE,
        metric=first.headline,
        rows=first.rows,
        teacher=first.metrics[first.headline],
        measured=tuple(sorted(found, key=lambda one: one.ms)),
        gate=recipe.gate,
        seed=recipe.run.seed,
        threads=threads,
        isa=isa,
    )
    store.write_json(curve.file, page.as_json(curve))
    page.write(curve)
    return curve


def _rows(recipe: Recipe) -> rows.RecipeRows:
    """What all points were measured on; what is wrong with them was said by the first run."""
    first, config = STAGES[recipe.stages[0].kind], recipe.stages[0].config
    names = first.labels(config, recipe.task)
    return rows.read(
        recipe.data,
        recipe.task,
        names,
        None if recipe.data.strict else lambda line: None,
        every=first.seeded(config),
    )


def _timed(
    planned: Sequence[Point], runs: Sequence[Finished], section: CurveSection, rounds: int
) -> tuple[dict[str, tuple[Speed, ...]], int, str]:
    """name -> speeds by rising length; threads and instruction set of the engine."""
    models = {
        point.name: runtimes.load(one.artifact, threads=section.threads)
        for point, one in zip(planned, runs, strict=True)
    }
    timed = latency.in_turns(models, sorted(section.tokens), rounds)
    dense = planned[0].name
    speeds = {
        name: tuple(
            Speed(
                tokens=tokens, timing=found[name], faster=measure.ratio(found[dense], found[name])
            )
            for tokens, found in timed.items()
        )
        for name in models
    }
    facts: dict[str, Any] = models[dense].describe()
    return speeds, int(facts["threads"]), str(facts["isa"])


def _one(
    recipe: Recipe,
    point: Point,
    made: Finished,
    speeds: Mapping[str, tuple[Speed, ...]],
    scores: Scores,
    students: Mapping[str, Step],
) -> Measured:
    """students: the dense ones, by name."""
    teacher, last = made.steps[0].output, made.steps[-1]
    assert last.lost is not None
    pruned = [step.done for step in made.steps if step.output.kind == "pruned"]
    rival = behind = None
    if pruned:
        dense = {
            name: (speeds[name][-1].timing.p50_ms, step.quality.value)
            for name, step in students.items()
        }
        rival = rivals.rival_of(speeds[point.name][-1].timing.p50_ms, dense)
    if rival is not None:
        behind = scores.drop(students[rival].output, last.output)
    with artifact.read(made.artifact, verify=False) as stored:
        size = stored.size_bytes
    return Measured(
        point=point,
        artifact=made.artifact,
        digest=made.digest,
        sparsity=float(pruned[-1].figures["sparsity"]) if pruned else 0.0,
        value=last.quality.metrics[last.quality.headline],
        drop=made.whole.drop,
        kept=scores.share(teacher, last.output),
        rounding=last.lost.drop,
        rival=rival,
        behind=behind,
        verdict=None if recipe.gate is None else evaluation.judge(made.whole, recipe.gate),
        size_bytes=size,
        seconds=sum(
            step.done.seconds for step in made.steps if step.output.kind in ("pruned", "quantized")
        ),
        speeds=speeds[point.name],
    )
