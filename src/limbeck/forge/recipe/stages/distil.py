"""Stage "distil": a student learns from fixed teachers' answers, and from the first one's inside.

After the teacher it makes a student from some of the teacher's layers; after a student it trains
that one further.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from limbeck import huggingface
from limbeck.errors import InputError, TrainingError
from limbeck.forge import asking, checkpoint, distil, students
from limbeck.forge.answers import Answers
from limbeck.forge.checkpoint import Checkpoint, Student
from limbeck.forge.distil import DistilConfig
from limbeck.forge.ensemble import Combination
from limbeck.forge.recipe import store
from limbeck.forge.recipe.stage import Figures, Stage, Work
from limbeck.forge.recipe.stages.teacher import OF_THE_RUN
from limbeck.forge.recipe.toml_values import WITHOUT
from limbeck.forge.training import TrainingConfig


def _settings() -> DistilConfig:
    # A student that lacks layers has more to learn than a pre-trained encoder with a new head.
    return DistilConfig(training=TrainingConfig(learning_rate=1e-4))


@dataclass(frozen=True, kw_only=True)
class DistilStage:
    """How the student begins: layers: how many of the teacher's, evenly spread; take: which, from
    0; shape: layers x width x heads x feed-forward width, or a name that `limbeck students` lists,
    cut out of the teacher, or random; encoder: as another encoder, a directory or hub name. None of
    these: half of the teacher's layers.

    teachers: further ones, directories or hub names, whose answers are combined with the first's.
    transfer: whether it also learns from [data]'s transfer texts, where there are any.
    """

    layers: int | None = None
    take: tuple[int, ...] | None = None
    shape: str | None = None
    random: bool = False
    encoder: str | None = None
    teachers: tuple[str, ...] = ()
    combine: Combination = "mean"
    transfer: bool = True
    # where texts are cut is the teacher's affair
    distil: DistilConfig = field(
        default_factory=_settings, metadata={WITHOUT: (*OF_THE_RUN, "max_tokens")}
    )

    def __post_init__(self) -> None:
        check_shape(self.layers, self.take)
        begins = [self.layers is not None or self.take is not None, self.shape is not None]
        if sum((*begins, self.encoder is not None)) > 1:
            raise TrainingError("a student begins in one way: layers, take, shape or encoder")
        if self.random and self.shape is None:
            raise TrainingError("a student that begins at random needs a shape")


def check_shape(layers: int | None, take: tuple[int, ...] | None) -> None:
    """Whether a student can be described like this.

    Raises:
        TrainingError: layers and take do not fit together, or one makes no sense.
    """
    if layers is not None and layers < 1:
        raise TrainingError(f"layers must be at least 1, found {layers}")
    if take is not None and (not take or min(take) < 0 or len(set(take)) < len(take)):
        raise TrainingError(f"take names layers from 0, each once; found {list(take)}")
    if layers is not None and take is not None and len(take) != layers:
        raise TrainingError(f"take names {len(take)} layers, and layers says {layers}")


def shaped(
    teacher: Checkpoint,
    layers: int | None,
    take: tuple[int, ...] | None,
    beside: tuple[Checkpoint, ...] = (),
) -> Student:
    """The student before its first step."""
    if take is not None:
        return students.from_layers(teacher, take, beside=beside)
    return students.every_other_layer(teacher, layers, beside=beside)


def inputs(config: DistilStage, work: Work) -> Mapping[str, str]:
    found = {"teacher": work.last("teacher").digest, "train": work.rows.train.digest}
    if config.transfer and work.rows.transfer is not None:
        found["transfer"] = work.rows.transfer.digest
    if config.combine == "weighted":
        found["held out"] = work.rows.held_out.digest
    if config.encoder is not None:
        found["encoder"] = store.digest(huggingface.resolve(config.encoder))
    for index, name in enumerate(config.teachers, start=2):
        found[f"teacher {index}"] = store.digest(huggingface.resolve(name))
    return found


def run(config: DistilStage, work: Work, directory: Path) -> Figures:
    wise = checkpoint.load(work.last("teacher").directory)
    others = tuple(checkpoint.load(name) for name in config.teachers)
    student = _student(config, work, wise, others)
    rows = work.rows.train if not config.transfer else work.rows.with_transfer()
    # the others read from the cache what the first process wrote
    work.team.ahead(lambda: _asked(config, work, wise, others))
    wanted = _asked(config, work, wise, others)
    settings = dataclasses.replace(config.distil, training=work.training(config.distil.training))
    made, report = distil.offline(student, rows, wanted, settings, teacher=wise, saves=work.saves)
    work.save(made, directory)
    return report.as_dict()


def _student(
    config: DistilStage, work: Work, wise: Checkpoint, others: tuple[Checkpoint, ...]
) -> Student:
    if work.outputs[-1].kind == "teacher":
        return _begun(config, work, wise, others)
    if any((config.layers, config.take, config.shape, config.encoder)):
        raise InputError(
            "this student has its layers already; leave out layers, take, shape and encoder"
        )
    before = checkpoint.load(work.outputs[-1].directory)
    return Student(**{one.name: getattr(before, one.name) for one in dataclasses.fields(before)})


def _begun(
    config: DistilStage, work: Work, wise: Checkpoint, others: tuple[Checkpoint, ...]
) -> Student:
    """The student before its first step."""
    if config.encoder is not None:
        return students.from_encoder(wise, config.encoder, seed=work.seed, beside=others)
    if config.shape is not None:
        return students.of_shape(
            wise,
            config.shape,
            init="random" if config.random else "teacher",
            seed=work.seed,
            beside=others,
        )
    return shaped(wise, config.layers, config.take, others)


def _asked(
    config: DistilStage, work: Work, wise: Checkpoint, others: tuple[Checkpoint, ...]
) -> Answers:
    """Soft targets of the rows that the stage learns from."""
    return asking.ask(
        (wise, *others),
        work.rows.train if not config.transfer else work.rows.with_transfer(),
        config.combine,
        temperature=config.distil.temperature,
        held_out=work.rows.held_out,
        cache=work.logits,
    )


STAGE = Stage(
    kind="distil",
    takes=("teacher", "student"),
    gives="student",
    config=DistilStage,
    run=run,
    inputs=inputs,
    apart=frozenset({"teachers", "encoder"}),
    together=True,
)
