"""Stage "teacher": an encoder is fine-tuned, or a trained model is taken as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from limbeck import huggingface
from limbeck.errors import TrainingError
from limbeck.forge import checkpoint, teacher, training
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.recipe import store
from limbeck.forge.recipe.rows import RecipeRows
from limbeck.forge.recipe.sections import TaskSection
from limbeck.forge.recipe.stage import Figures, Stage, Work
from limbeck.forge.recipe.toml_values import WITHOUT
from limbeck.forge.rows import Rows
from limbeck.forge.training import PrecisionProbe, TrainingConfig

# Fields of TrainingConfig that [run] decides. A stage ends after its steps, not by the clock: a
# run that was interrupted has to end where one that was not does.
OF_THE_RUN = ("seed", "precision", "max_seconds")
_PROBED_ROWS = 2000


@dataclass(frozen=True, kw_only=True)
class TeacherStage:
    """model: a directory or hub name. train: false takes its head as it is. max_tokens: where texts
    are cut from here on; None: 128, and whole windows for questions."""

    model: str
    train: bool = True
    max_tokens: int | None = None
    training: TrainingConfig = field(
        default_factory=TrainingConfig, metadata={WITHOUT: (*OF_THE_RUN, "max_tokens")}
    )

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise TrainingError(f"max_tokens must be positive, found {self.max_tokens}")
        changed = self.max_tokens is not None or self.training != TrainingConfig()
        if not self.train and changed:
            raise TrainingError(
                "train = false takes the model as it is; leave out how it would be trained"
            )


def _settings(config: TeacherStage, rows: Rows) -> TrainingConfig:
    longest = config.max_tokens or teacher.usual_max_tokens(rows.task)
    return replace(config.training, max_tokens=longest)


def inputs(config: TeacherStage, work: Work) -> Mapping[str, str]:
    found = {"model": store.digest(huggingface.resolve(config.model))}
    return found | ({"train": work.rows.train.digest} if config.train else {})


def run(config: TeacherStage, work: Work, directory: Path) -> Figures:
    if not config.train:
        known = checkpoint.load(config.model, work.rows.train.task)
        teacher.check_fit(work.rows.train, known, config.model)
        lineage = {"taken": known.source.name, **known.lineage}
        work.save(replace(known, lineage=lineage), directory)
        return {}
    rows = work.rows.train
    settings = work.training(_settings(config, rows))
    made, report = teacher.finetune(config.model, rows, settings, saves=work.saves)
    work.save(made, directory)
    return report.as_dict()


def labels(config: TeacherStage, task: TaskSection) -> tuple[str, ...] | None:
    """Those of a model that is taken as it is; None where it has none."""
    return None if config.train else checkpoint.load(config.model, task.kind).labels or None


def probe(config: TeacherStage, rows: RecipeRows, seed: int) -> PrecisionProbe:
    """Which precision trains this model faster here."""
    some = rows.train.take(range(min(len(rows.train), _PROBED_ROWS)))
    how = _settings(config, rows.train)
    model: Checkpoint
    if config.train:
        model = teacher.prepare(config.model, some.names, how, some.problem, some.task)
    else:
        model = checkpoint.load(config.model, some.task)
    tokenised = some.tokenised(model.tokenizer, model.max_tokens)
    return training.probe_precision(model.model, tokenised, how.batch_size, seed=seed)


STAGE = Stage(
    kind="teacher",
    takes=(),
    gives="teacher",
    config=TeacherStage,
    run=run,
    inputs=inputs,
    apart=frozenset({"model"}),
    seeded=lambda config: config.train,
    together=True,
    labels=labels,
    probe=probe,
)
