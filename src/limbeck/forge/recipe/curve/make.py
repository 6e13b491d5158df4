"""Makes and measures all points: each one an ordinary run of a recipe, in a folder of its own.

Stages that points have in common are made once, and files of finished stages are hard-linked. So a
curve that was killed goes on, and a changed one makes what the change reaches. Times are taken at
the end, of all artifacts in turns: a figure of another hour is no figure to compare with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limbeck import artifact, evaluation, measure, runtimes
from limbeck.forge.recipe import latency, processes, rows, state, store
from limbeck.forge.recipe.curve import page
from limbeck.forge.recipe.curve.judging import Curve, Measured, Speed
from limbeck.forge.recipe.curve.plan import POINTS, Point, points
from limbeck.forge.recipe.finish import Finished
from limbeck.forge.recipe.registry import STAGES
from limbeck.forge.recipe.runner import Options, Say, run
from limbeck.forge.recipe.scoring import Scores
from limbeck.forge.recipe.sections import CurveSection, Recipe
from limbeck.forge.recipe.stage import Output

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
) -> Curve:
    """Make the curve of a recipe, or go on with it, and measure it.

    Args:
        options: as of `limbeck.forge.recipe.run`; lengths are those of [curve].
        rounds: turns of every artifact when they are timed.

    Raises:
        InputError: a recipe of which no curve can be made; and what `run` raises.
    """
    planned = points(recipe)
    home = recipe.run.out
    quiet = Options(resamples=options.resamples, lengths=(), save_every_s=options.save_every_s)
    with contextlib.ExitStack() as stack:
        team = stack.enter_context(processes.team())

        def opened() -> state.RunState:
            state.check_directory(home)
            stack.enter_context(store.locked(home))
            decided = state.open_state(home, recipe.run.threads)
            store.make_directory(home / POINTS)
            return decided

        begin = team.alone(opened)
        runs: list[Finished] = []
        for index, point in enumerate(planned):
            if team.first:
                say(f"{point.name} ({index + 1} of {len(planned)})")
            runs.append(
                run(
                    point.recipe,
                    quiet,
                    say=say,
                    lenient=lenient,
                    begin=begin,
                    # the nearest first; a run of the recipe itself may have made some stages
                    siblings=(*(one.recipe.run.out for one in reversed(planned[:index])), home),
                    shared=home,
                )
            )
            if begin.probe is None:
                begin = team.alone(lambda out=point.recipe.run.out: _kept_state(home, out))  # type: ignore[misc]
        return team.alone(lambda: _measured(recipe, planned, runs, options.resamples, rounds))


def _kept_state(home: Path, first: Path) -> state.RunState:
    """What the first point decided holds for the curve, also for whoever goes on with it."""
    found = state.open_state(first, None)
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
    student = next(
        (
            one.steps[-1].output
            for point, one in zip(planned, runs, strict=True)
            if (point.base, point.pattern) == ("student", None)
        ),
        None,
    )
    found = [
        _one(recipe, point, one, speeds[point.name], scores, student)
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
        recipe.data, recipe.task, names, None if recipe.data.strict else lambda line: None
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
    speeds: tuple[Speed, ...],
    scores: Scores,
    student: Output | None,
) -> Measured:
    teacher, last = made.steps[0].output, made.steps[-1]
    assert last.lost is not None
    pruned = [step.done for step in made.steps if step.output.kind == "pruned"]
    behind = None
    if student is not None and point.base == "teacher" and pruned:
        behind = scores.drop(student, last.output)
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
        behind=behind,
        verdict=None if recipe.gate is None else evaluation.judge(made.whole, recipe.gate),
        size_bytes=size,
        seconds=sum(
            step.done.seconds for step in made.steps if step.output.kind in ("pruned", "quantized")
        ),
        speeds=speeds,
    )
