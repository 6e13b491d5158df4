"""Runs a recipe: each stage once, whatever happens in between.

A stage's key is the digest of all that its output depends on. Its output gets its name when it is
whole, with the key beside it; a stage whose key is there already is not run again. So a run that
was killed ends where an undisturbed one does, and a changed recipe runs what the change reaches.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import LimbeckError, TrainingError
from limbeck.forge import faults
from limbeck.forge.checkpoint import versions
from limbeck.forge.recipe import finish, order, processes, rows, schema, state, store
from limbeck.forge.recipe.ledger import FILE as LEDGER_FILE
from limbeck.forge.recipe.ledger import Ledger
from limbeck.forge.recipe.registry import STAGES
from limbeck.forge.recipe.scoring import Scores
from limbeck.forge.recipe.sections import Recipe, StageSection
from limbeck.forge.recipe.stage import Output, Stage, Work
from limbeck.forge.recipe.toml_values import plain
from limbeck.forge.saves import Saves
from limbeck.forge.training import ChosenPrecision

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What does not change the artifact.

    resamples: of the intervals; lengths: tokens at which models are timed, none: they are not;
    save_every_s: how often a training that is under way keeps its state.
    """

    resamples: int = 1000
    lengths: tuple[int, ...] = (8, 32, 128)
    save_every_s: float = 60.0


def run(
    recipe: Recipe,
    options: Options = Options(),
    *,
    say: Say = lambda line: None,
    lenient: Say | None = None,
    begin: state.RunState | None = None,
    siblings: Sequence[Path] = (),
    shared: Path | None = None,
) -> finish.Finished:
    """Make a recipe's artifact, or go on with what was begun.

    Args:
        say: told one line a stage.
        lenient: told of bad rows where the recipe is not strict; None: `say` is.
        begin: the state that a new run begins with; None: it finds its own.
        siblings: directories of other runs whose stages of the same key may be taken.
        shared: where teachers' answers, figures and what is measured once are kept, for several
            runs together; None: in the run's directory.

    Raises:
        InputError: a recipe, file or directory that cannot be used, or stages that were changed.
        TrainingError: a stage failed; those before it are kept, and the next run goes on there.
    """
    order.check(recipe.stages)
    home = recipe.run.out
    common = shared or home
    with contextlib.ExitStack() as stack:
        team = stack.enter_context(processes.team())

        def opened() -> state.RunState:
            state.check_directory(home)
            stack.enter_context(store.locked(home))
            return state.open_state(home, recipe.run.threads, begin)

        decided = team.alone(opened)
        stack.enter_context(state.threads(decided.threads))
        first = STAGES[recipe.stages[0].kind]
        config = recipe.stages[0].config
        names = team.alone(lambda: first.labels(config, recipe.task))
        tell = (lenient or say) if team.first else _nobody
        found = rows.read(
            recipe.data,
            recipe.task,
            names,
            None if recipe.data.strict else tell,
            every=first.seeded(config),  # a teacher that is trained needs a label on every row
        )
        precision = recipe.run.precision
        if precision == "auto":
            decided = team.alone(lambda: _probed(home, decided, first, config, found, recipe))
            assert decided.precision is not None
            precision = decided.precision
        work = Work(
            rows=found,
            outputs=(),
            seed=recipe.run.seed,
            precision=precision,
            logits=common / "logits",
            saves=Saves(directory=home / "saves", every_s=options.save_every_s),
            inputs=common / "inputs",
            team=team,
        )
        line = _Line(
            home=home,
            ledger=Ledger(path=home / LEDGER_FILE),
            scores=Scores(rows=found, kept=common / "figures", resamples=options.resamples),
            say=say if team.first else _nobody,
            siblings=tuple(siblings),
            threads=decided.threads,
        )
        team.alone(lambda: _begun(recipe, line, decided, precision))
        for index, section in enumerate(recipe.stages):
            output = _stage(index, section, work, line)
            work = dataclasses.replace(work, outputs=(*work.outputs, output))
        finished = team.alone(
            lambda: finish.finish(
                recipe,
                work.outputs,
                line.scores,
                line.ledger,
                lengths=options.lengths,
                precision=precision,
                threads=decided.threads,
            )
        )
        for warning in finished.warnings:
            line.say(f"gate: {warning}")
        return finished


def _nobody(line: str) -> None:
    """Hears nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Line:
    """What all stages of one run share, and do not depend on."""

    home: Path
    ledger: Ledger
    scores: Scores
    say: Say
    siblings: tuple[Path, ...]
    threads: int


def _probed(
    home: Path,
    decided: state.RunState,
    first: Stage,
    config: Any,
    found: rows.RecipeRows,
    recipe: Recipe,
) -> state.RunState:
    """The state with a precision chosen, now or in an earlier run."""
    if decided.probe is not None:
        return decided
    decided = dataclasses.replace(decided, probe=first.probe(config, found, recipe.run.seed))
    state.keep(home, decided)
    return decided


def _begun(
    recipe: Recipe, line: _Line, decided: state.RunState, precision: ChosenPrecision
) -> None:
    # with whole paths: it is read from another place than the recipe it was made of
    told = schema.to_toml(schema.at_home(recipe, Path.cwd()))
    store.write_file(line.home / "recipe.toml", told.encode())
    line.ledger.add(
        "run",
        threads=decided.threads,
        precision=precision,
        seed=recipe.run.seed,
        versions=versions(),
    )


def key_of(stage: Stage, config: Any, work: Work, threads: int) -> str:
    """The digest of all that a stage's output depends on."""
    made_by = versions()
    fields: dict[str, Any] = {
        "stage": stage.kind,
        "version": stage.version,
        "config": {name: value for name, value in plain(config).items() if name not in stage.apart},
        "inputs": dict(stage.inputs(config, work)),
        "before": work.outputs[-1].digest if work.outputs else None,
        "task": [work.rows.train.task, work.rows.train.problem, list(work.rows.train.names)],
        "versions": {name: made_by[name] for name in ("torch", "transformers")},
    }
    if stage.seeded(config):
        fields |= {
            "seed": work.seed,
            "precision": work.precision,
            "threads": threads,
            "processes": work.team.size,
        }
    return store.digest_of(fields)


def _stage(index: int, section: StageSection, work: Work, line: _Line) -> Output:
    """The output of one stage, made now or before."""
    stage, config, team = STAGES[section.kind], section.config, work.team
    name = f"{index + 1}-{section.kind}"
    key = team.alone(lambda: key_of(stage, config, work, line.threads))
    own = dataclasses.replace(work.saves, directory=line.home / "saves" / f"{name}-{key[:16]}")
    work = dataclasses.replace(work, saves=own)
    target = line.home / name
    done = team.alone(lambda: _kept(target, key, line))
    fresh = done is None
    if done is None:
        try:
            done = _make(stage, config, name, key, work, line)
        except LimbeckError as error:
            if team.first:
                with contextlib.suppress(LimbeckError):  # a full disk has no room for this either
                    line.ledger.add("failed", stage=name, key=key, error=str(error))
            raise
    output = Output(stage=name, kind=stage.gives, directory=target, digest=done.output)
    finished = done
    team.alone(lambda: _tell(output, finished, fresh, line))
    return output


def _kept(target: Path, key: str, line: _Line) -> store.Done | None:
    """What an earlier run left for this key, here or in a sibling."""
    done = store.read_done(target)
    if done is not None and done.key == key:
        store.check_output(target, done)
        return done
    for sibling in line.siblings:
        there = sibling / target.name
        done = store.read_done(there)
        if done is not None and done.key == key:
            store.check_output(there, done)
            with store.scratch(line.home) as draft:
                shutil.copytree(there, draft, dirs_exist_ok=True, copy_function=_linked)
                store.put_in_place(draft, target)
            return done
    return None


def _linked(source: str, target: str) -> None:
    """Files of a finished stage are never written to, so that two runs can share them."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without hard links
        shutil.copyfile(source, target)


def _make(stage: Stage, config: Any, name: str, key: str, work: Work, line: _Line) -> store.Done:
    """Run a stage, and give its output its name."""
    team = work.team
    faults.point("stage")
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        draft = team.alone(lambda: stack.enter_context(store.scratch(line.home)))
        with _no_disk(name):
            if stage.together:
                figures = stage.run(config, work, draft)
            else:
                figures = team.alone(lambda: stage.run(config, work, draft))
        faults.point("made")

        def sealed() -> store.Done:
            done = store.Done(
                stage=name,
                kind=stage.gives,
                key=key,
                output=store.digest(draft),
                seconds=round(time.perf_counter() - started, 3),
                figures=dict(figures),
                versions=versions(),
            )
            done.write(draft)
            store.put_in_place(draft, line.home / name)
            for old in (line.home / "saves").glob(f"{name}-*"):
                shutil.rmtree(old, ignore_errors=True)
            return done

        return team.alone(sealed)


@contextlib.contextmanager
def _no_disk(name: str) -> Iterator[None]:
    """What the system refuses a stage is an error of that stage.

    Raises:
        TrainingError: the disk is full, or a file cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{name} cannot go on ({error}); what earlier stages left is as it was. Start again "
            "once that is mended: the run goes on from there"
        ) from error


def _tell(output: Output, done: store.Done, fresh: bool, line: _Line) -> None:
    """Score a stage's model, and note what there is to say about the stage."""
    figures: Mapping[str, Any] = done.figures
    said = f"{done.seconds:.1f} s" if fresh else "kept"
    if "first_loss" in figures:
        said += f", loss {figures['first_loss']:.3f} -> {figures['last_loss']:.3f}"
    quality = None
    if output.kind != "check":
        found = line.scores.of(output)
        quality = {found.headline: found.value}
        said += f", {found.headline} {found.metrics[found.headline]}"
    line.ledger.add(
        "stage" if fresh else "kept",
        stage=output.stage,
        key=done.key,
        output=done.output,
        seconds=done.seconds if fresh else 0.0,
        figures=figures,
        quality=quality,
        versions=done.versions,
    )
    line.say(f"{output.stage}: {said}")
