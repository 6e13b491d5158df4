"""The recipe of a data set's curve, and the keys of its rows: digests of all they depend on."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import limbeck
from limbeck.bench.curve import files
from limbeck.bench.distillation import digests, plan
from limbeck.bench.distillation.plan import STUDENT_LAYERS, Method, Run
from limbeck.bench.distillation.sets import Budget, DataSet, Rows
from limbeck.forge.distil import DistilConfig
from limbeck.forge.quantize.qat import QatConfig
from limbeck.forge.recipe import Recipe, curve
from limbeck.forge.recipe.defaults import curve_prune
from limbeck.forge.recipe.sections import (
    CurveSection,
    DataSection,
    RunSection,
    StageSection,
    TaskSection,
)
from limbeck.forge.recipe.stages.distil import DistilStage
from limbeck.forge.recipe.stages.export import ExportStage
from limbeck.forge.recipe.stages.prune import PruneStage
from limbeck.forge.recipe.stages.qat import QatStage
from limbeck.forge.recipe.stages.teacher import TeacherStage
from limbeck.forge.recipe.toml_values import plain
from limbeck.forge.training import TrainingConfig

_FORGE = Path(limbeck.__file__).parent / "forge"
_SOFT = "soft"
WHOLE = CurveSection(rivals=(2, 1))
QUICK = CurveSection(sparsities=(0.0, 0.5, 0.8), patterns=("4x4",))


@functools.cache
def code() -> str:
    """The code that decides what a pruned or quantised model is."""
    rooms = [file for room in ("prune", "quantize") for file in (_FORGE / room).glob("*.py")]
    return digests.of_values(digests.training_code(), digests.of_source(rooms))


def soft() -> Method:
    """How the dense student is taught."""
    return next(one for one in plan.METHODS if one.name == _SOFT)


def teacher(one: DataSet, rows: Rows, encoder: str) -> Run:
    """The teacher that `limbeck.bench.distillation` trains, by its name there.

    encoder: digest of what it begins as.
    """
    found = plan.findings(
        one,
        [soft()],
        [0],
        rows=rows.train.digest,
        transfer=None,
        encoder=encoder,
        test=digests.of_examples(rows.test),
    )
    return found[0].teacher


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """One data set's curve with one seed."""

    data_set: DataSet
    rows: Rows
    teacher: Run
    seed: int
    section: CurveSection

    @cached_property
    def folder(self) -> str:
        """Where its stages are kept: with other settings some of them may be the same."""
        made_of = digests.of_values(self.teacher.key, files.digest_of(self.rows), self.seed, code())
        return f"{self.data_set.name}-{made_of}"

    def stages(self, model: Path) -> tuple[StageSection, ...]:
        """Teacher as it is, student, how every pruning learns, perhaps QAT, int8."""
        one, method = self.data_set, soft()
        distil = DistilStage(
            layers=STUDENT_LAYERS,
            transfer=False,
            distil=DistilConfig(
                temperature=method.temperature,
                soft_weight=method.soft_weight,
                training=_spent(one.student, TrainingConfig()),
            ),
        )
        found = [
            ("teacher", TeacherStage(model=str(model), train=False)),
            ("distil", distil),
            ("prune", self.prune),
        ]
        if one.qat is not None:
            how = QatConfig()
            training = _spent(one.qat, how.distil.training)
            how = replace(how, distil=replace(how.distil, training=training))
            found.append(("qat", QatStage(qat=how)))
        found.append(("export", ExportStage()))  # which verifies what it writes
        return tuple(StageSection(kind=kind, config=config) for kind, config in found)

    @property
    def prune(self) -> PruneStage:
        usual = curve_prune()
        training = _spent(self.data_set.prune, usual.prune.distil.training)
        how = replace(usual.prune, distil=replace(usual.prune.distil, training=training))
        return replace(usual, prune=how)

    def recipe(self, model: Path, found: files.Files, out: Path) -> Recipe:
        """The whole recipe. model: the teacher's directory."""
        one = self.data_set
        asked = one.problem == "question-answering"
        columns = {} if asked else {"text": "text", "label": "label"}
        if one.pairs and not asked:
            columns["pair"] = "text_pair"
        return Recipe(
            data=DataSection(
                train=found.train,
                validation=found.held_out,
                test=found.test,
                transfer=found.transfer,
                **columns,  # type: ignore[arg-type]
            ),
            run=RunSection(out=out, seed=self.seed),
            task=TaskSection(
                kind="question-answering" if asked else "text-classification",
                problem="regression" if one.problem == "regression" else "single_label",
            ),
            stages=self.stages(model),
            curve=self.section,
        )

    @cached_property
    def key(self) -> str:
        """What all figures of the curve depend on, but for the machine."""
        # the teacher's key stands for where it lies
        how = [[one.kind, plain(one.config)] for one in self.stages(Path())[1:]]
        return digests.of_values(self.folder, how, plain(self.section), digests.scoring_code())

    def key_of(self, name: str) -> str:
        """What names the row of one artifact."""
        return digests.of_values(self.data_set.name, name, self.seed, self.key)

    def about(self, *, scale: float, quick: bool) -> dict[str, str | int | float]:
        """What rows say beside what every curve says."""
        one, cut = self.data_set, self.prune.prune
        found: dict[str, Any] = {
            "data_set": one.name,
            "train_rows": len(self.rows.train),
            "transfer_rows": 0 if self.rows.transfer is None else len(self.rows.transfer),
            "max_tokens": one.max_tokens,
            "epochs": one.prune.epochs,
            "learning_rate": one.prune.learning_rate,
            "batch_size": one.prune.batch_size,
            "qat_epochs": 0.0 if one.qat is None else one.qat.epochs,
            "criterion": cut.criterion,
            "allocation": cut.allocation,
            "teacher": self.teacher.key,
            "scale": scale,
            "quick": int(quick),
        }
        return found


def _spent(budget: Budget, usual: TrainingConfig) -> TrainingConfig:
    return replace(
        usual,
        epochs=budget.epochs,
        batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
    )


def names(wanted: Wanted, model: Path) -> Sequence[str]:
    """The artifacts of the curve. model: any directory with the teacher's configuration."""
    nowhere = Path("none.jsonl")
    found = files.Files(train=nowhere, held_out=nowhere, test=nowhere, transfer=None)
    recipe = wanted.recipe(model, found, Path("none"))
    return [point.name for point in curve.points(recipe)]
