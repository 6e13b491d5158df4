"""A recipe for a model and labelled rows, where nobody wrote one."""

from __future__ import annotations

from limbeck import huggingface
from limbeck.errors import ModelError
from limbeck.evaluation import Limits
from limbeck.forge.learning import DistilConfig
from limbeck.forge.prune import PruneConfig
from limbeck.forge.recipe.sections import (
    DataSection,
    Recipe,
    RunSection,
    StageSection,
    TaskSection,
)
from limbeck.forge.recipe.stages.distil import DistilStage
from limbeck.forge.recipe.stages.export import ExportStage
from limbeck.forge.recipe.stages.prune import PruneStage
from limbeck.forge.recipe.stages.teacher import TeacherStage
from limbeck.forge.recipe.stages.verify import VerifyStage
from limbeck.forge.training import TrainingConfig
from limbeck.huggingface.sentence import read_modules


def has_trained_head(model: str, task: TaskSection) -> bool:
    """Whether a model answers the task already.

    Raises:
        ModelError: there is no such model.
    """
    directory = huggingface.resolve(model)
    if task.kind == "sentence-embedding":
        return read_modules(directory) is not None
    try:
        return huggingface.read(directory, task=task.kind).spec.task.head is not None
    except ModelError:
        # without a head for this task; that it is a model at all shows when it is fine-tuned
        return False


def recipe_for(
    model: str,
    data: DataSection,
    run: RunSection,
    task: TaskSection = TaskSection(),  # noqa: B008 (a frozen value)
    *,
    layers: int | None = None,
    train: bool | None = None,
    gate: Limits | None = None,
) -> Recipe:
    """Teacher, a student of half its layers, int8, verified.

    Args:
        model: a directory or hub name.
        layers: of the student; None: half of the teacher's.
        train: whether the model is fine-tuned first; None: where it has no trained head.

    Raises:
        ModelError: there is no such model.
    """
    tuned = not has_trained_head(model, task) if train is None else train
    stages = (
        StageSection(kind="teacher", config=TeacherStage(model=model, train=tuned)),
        StageSection(kind="distil", config=DistilStage(layers=layers)),
        StageSection(kind="export", config=ExportStage()),
        StageSection(kind="verify", config=VerifyStage()),
    )
    return Recipe(data=data, run=run, task=task, stages=stages, gate=gate)


def curve_prune() -> PruneStage:
    """Each pruning of a curve whose recipe has no stage "prune": a step from one sparsity to the
    next takes less than one from the dense model would. See docs/decisions/0019."""
    training = TrainingConfig(
        epochs=3.0, batch_size=64, learning_rate=1.5e-4, freeze_embeddings=True
    )
    how = PruneConfig(distil=DistilConfig(soft_weight=1.0, training=training))
    return PruneStage(prune=how)
