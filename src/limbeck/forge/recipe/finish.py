"""After the last stage: what was lost where, the gate, the artifact's name, the report."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck import artifact, evaluation, measure
from limbeck.artifact.replace import replaced
from limbeck.errors import TrainingError
from limbeck.evaluation import Comparison, Limits, Verdict
from limbeck.forge import faults
from limbeck.forge.recipe import latency, page, store
from limbeck.forge.recipe.latency import Latency
from limbeck.forge.recipe.ledger import Ledger
from limbeck.forge.recipe.scoring import Quality, Scores
from limbeck.forge.recipe.sections import Recipe
from limbeck.forge.recipe.stage import TORCH_KINDS, Output
from limbeck.forge.training import ChosenPrecision

TARGET = "artifact"
FAILED = "artifact.failed"
REPORT = "report.html"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One model of the run: what it is, how good, how large, and what it lost.

    lost: against the model before it; None for the first. size_bytes: of its weights on disk.
    """

    output: Output
    done: store.Done
    quality: Quality
    lost: Comparison | None
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run that went through all its stages.

    artifact: where it lies, under the target name or, where the gate refused it, another one.
    digest: the artifact's own. whole: what it lost against the first model. verdict None: there
    was no gate. checks: stages that made no model.
    """

    recipe: Recipe
    steps: tuple[Step, ...]
    checks: tuple[store.Done, ...]
    whole: Comparison
    verdict: Verdict | None
    latency: tuple[Latency, ...]
    artifact: Path
    digest: str
    report: Path

    @property
    def passed(self) -> bool:
        return self.verdict is None or self.verdict.passed

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the gate could not tell."""
        return () if self.verdict is None else self.verdict.warnings

    def refusal(self) -> str:
        """Why the gate refused it: each limit that it broke, and which stage lost what."""
        assert self.verdict is not None
        lost = [
            f"{step.output.stage} {100 * (0 - step.lost.drop.value):+.2f}"
            for step in self.steps
            if step.lost is not None
        ]
        first, quality = self.steps[0].output.stage, self.steps[0].quality
        return (
            f"{'; '.join(self.verdict.problems)}. {first} has {quality.headline} "
            f"{quality.value:.4f}; points from stage to stage: {', '.join(lost)}. The artifact was "
            f"kept as {self.artifact}"
        )


def finish(
    recipe: Recipe,
    outputs: Sequence[Output],
    scores: Scores,
    ledger: Ledger,
    *,
    lengths: Sequence[int],
    precision: ChosenPrecision,
    threads: int,
) -> Finished:
    """Judge the artifact, and give it its name or, where the gate refuses it, another one."""
    home = recipe.run.out
    models = [output for output in outputs if output.kind in (*TORCH_KINDS, "artifact")]
    steps = []
    for index, output in enumerate(models):
        steps.append(
            Step(
                output=output,
                done=_done(output),
                quality=scores.of(output),
                lost=scores.compare(models[index - 1], output) if index else None,
                size_bytes=(output.directory / "model.safetensors").stat().st_size,
            )
        )
    limited = recipe.gate is not None and recipe.gate.max_slice_drop is not None
    whole = scores.compare(models[0], models[-1], every_class=limited)
    verdict = None if recipe.gate is None else evaluation.judge(whole, recipe.gate)
    with artifact.read(models[-1].directory, verify=False) as made:
        digest = made.digest
    found = Finished(
        recipe=recipe,
        steps=tuple(steps),
        checks=tuple(_done(output) for output in outputs if output.kind == "check"),
        whole=whole,
        verdict=verdict,
        latency=tuple(latency.of(models, lengths, scores.kept)) if lengths else (),
        artifact=home / (TARGET if verdict is None or verdict.passed else FAILED),
        digest=digest,
        report=home / REPORT,
    )
    _publish(found, models[-1], measured(found, precision, threads))
    page.write(found, found.report, ledger.read())
    ledger.add(
        "finished",
        artifact=digest,
        passed=found.passed,
        problems=list(verdict.problems) if verdict is not None else [],
        warnings=list(found.warnings),
    )
    return found


def _done(output: Output) -> store.Done:
    done = store.read_done(output.directory)
    assert done is not None
    return done


def _publish(found: Finished, output: Output, facts: Mapping[str, Any]) -> None:
    """The artifact under its name, whole or not at all, its measurements beside it.

    A refused one is not left under the target name, where an earlier run may have put it under
    wider limits; what another recipe left there stays.
    """
    faults.point("publish")
    home = found.recipe.run.out
    try:
        with replaced(found.artifact) as draft:
            for path in sorted(output.directory.iterdir()):
                if path.name != store.DONE and path.is_file():
                    faults.point("write")
                    shutil.copyfile(path, draft / path.name)
                    _sync(draft / path.name)
            artifact.write_measured(draft, facts)
        faults.point("published")
        other = home / (FAILED if found.passed else TARGET)
        if artifact.is_artifact(other):
            with artifact.read(other, verify=False) as there:
                same = there.digest == found.digest
            if same:
                shutil.rmtree(other)
    except OSError as error:
        raise TrainingError(
            f"cannot write {found.artifact}: {error.strerror or error}; start again once that is "
            "mended"
        ) from error


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        faults.point("fsync")
        os.fsync(file.fileno())


def measured(found: Finished, precision: ChosenPrecision, threads: int) -> dict[str, Any]:
    """What goes beside the artifact in measured.json."""
    machine = measure.machine()
    last = found.steps[-1].quality
    return {
        "recipe": {"seed": found.recipe.run.seed, "precision": precision, "threads": threads},
        "rows": last.rows,
        "metric": last.headline,
        "stages": [
            {
                "stage": step.output.stage,
                "kind": step.output.kind,
                "metrics": {name: _plain(one) for name, one in step.quality.metrics.items()},
                "slices": {
                    name: {"rows": rows, **_plain(one)}
                    for name, (rows, one) in step.quality.slices.items()
                },
                "lost": None if step.lost is None else _plain(step.lost.drop),
                "size_bytes": step.size_bytes,
                "seconds": step.done.seconds,
            }
            for step in found.steps
        ],
        "lost": {
            "all rows": _plain(found.whole.drop),
            **{name: _plain(drop) for name, (_, drop) in found.whole.slices.items()},
        },
        "gate": _gate(found.recipe.gate, found.verdict),
        "latency": [dataclasses.asdict(one) for one in found.latency],
        "machine": {"cpu": machine.cpu, "cores": machine.cores, "isa": list(machine.isa)},
        "versions": dict(found.steps[-1].done.versions),
    }


def _gate(limits: Limits | None, verdict: Verdict | None) -> dict[str, Any] | None:
    if limits is None or verdict is None:
        return None
    return {
        **dataclasses.asdict(limits),
        "passed": verdict.passed,
        "problems": list(verdict.problems),
        "warnings": list(verdict.warnings),
        "not_judged": dict(verdict.not_judged),
    }


def _plain(interval: evaluation.Interval) -> dict[str, float | None]:
    """JSON has no NaN: what is undefined is null."""
    values = {name: getattr(interval, name) for name in ("value", "low", "high")}
    return {name: None if value != value else value for name, value in values.items()}
