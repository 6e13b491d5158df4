"""Stage "online": students of the teacher's layers learn together; the first goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from limbeck.errors import TrainingError
from limbeck.forge import checkpoint
from limbeck.forge.distil import DistilConfig
from limbeck.forge.online import online
from limbeck.forge.recipe.stage import Figures, Stage, Work
from limbeck.forge.recipe.stages.distil import check_shape, shaped
from limbeck.forge.recipe.stages.teacher import OF_THE_RUN
from limbeck.forge.recipe.toml_values import WITHOUT
from limbeck.forge.training import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One student: how many of the teacher's layers, or which."""

    layers: int | None = None
    take: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_shape(self.layers, self.take)


def _settings() -> DistilConfig:
    return DistilConfig(training=TrainingConfig(learning_rate=1e-4))


@dataclass(frozen=True, kw_only=True)
class OnlineStage:
    """students: two or more, of other layers each; the stages behind go on with the first."""

    students: tuple[Shape, ...]
    distil: DistilConfig = field(
        default_factory=_settings, metadata={WITHOUT: (*OF_THE_RUN, "max_tokens", "inside")}
    )

    def __post_init__(self) -> None:
        if len(set(self.students)) < max(2, len(self.students)):
            raise TrainingError("students must be two or more, no two of the same layers")


def inputs(config: OnlineStage, work: Work) -> Mapping[str, str]:
    return {"train": work.rows.train.digest}


def run(config: OnlineStage, work: Work, directory: Path) -> Figures:
    wise = checkpoint.load(work.last("teacher").directory)
    peers = [shaped(wise, one.layers, one.take) for one in config.students]
    settings = dataclasses.replace(config.distil, training=work.training(config.distil.training))
    made, report = online(peers, work.rows.train, settings, saves=work.saves)
    work.save(made[0], directory)
    return report.as_dict()


STAGE = Stage(
    kind="online",
    takes=("teacher",),
    gives="student",
    config=OnlineStage,
    run=run,
    inputs=inputs,
    together=True,
)
