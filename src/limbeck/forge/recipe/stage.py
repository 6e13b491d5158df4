"""What a stage of a recipe is: what it takes, what it gives, and the function that makes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from safetensors import SafetensorError

from limbeck.errors import InputError, TrainingError
from limbeck.forge import faults
from limbeck.forge.checkpoint import Checkpoint
from limbeck.forge.recipe.processes import Team
from limbeck.forge.recipe.rows import RecipeRows
from limbeck.forge.recipe.sections import TaskSection
from limbeck.forge.saves import Saves
from limbeck.forge.training import ChosenPrecision, PrecisionProbe, TrainingConfig

# What a stage can give, named by what has happened to it; "check" changes nothing.
Kind = Literal["teacher", "student", "pruned", "quantized", "artifact", "check"]
TORCH_KINDS: tuple[Kind, ...] = ("teacher", "student", "pruned", "quantized")
assert set(TORCH_KINDS) < set(get_args(Kind))


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a finished stage left: a directory and the digest of its files."""

    stage: str
    kind: Kind
    directory: Path
    digest: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """What a stage is given beside its own configuration.

    outputs: of the stages before it, in order. logits: where teachers' logits are kept; saves:
    where a training that is under way keeps its state; inputs: what was read or measured once and
    holds for this run from then on.
    """

    rows: RecipeRows
    outputs: tuple[Output, ...]
    seed: int
    precision: ChosenPrecision
    logits: Path
    saves: Saves
    inputs: Path
    team: Team

    def last(self, *kinds: Kind) -> Output:
        """The latest output of one of these kinds.

        Raises:
            InputError: there is none.
        """
        for output in reversed(self.outputs):
            if output.kind in kinds:
                return output
        raise InputError(f"no stage before this one gives a {' or a '.join(kinds)}")

    def training(self, config: TrainingConfig) -> TrainingConfig:
        """The stage's configuration with what the run decides for all stages."""
        return dataclasses.replace(
            config, seed=self.seed, precision=self.precision, max_seconds=None
        )

    def save(self, model: Checkpoint, directory: Path) -> None:
        """Write a Hugging Face directory; of several processes the first does.

        Raises:
            TrainingError: the disk is full, or refuses for another reason.
        """
        if not self.team.first:
            return
        try:
            faults.point("save")
            model.save(directory)
        except (OSError, SafetensorError) as error:
            raise TrainingError(
                f"cannot save the model ({error}); what earlier stages left is as it was. Start "
                "again once that is mended: the run goes on from there"
            ) from error


# A stage's figures, as JSON can hold them; "losses", where there is one, is a list of numbers.
Figures = Mapping[str, Any]
Run = Callable[[Any, Work, Path], Figures]


def no_labels(config: Any, task: TaskSection) -> tuple[str, ...] | None:
    """The labels are those of the data."""
    return None


def no_probe(config: Any, rows: RecipeRows, seed: int) -> PrecisionProbe:
    """A stage that never comes first is not asked."""
    raise AssertionError("only a first stage probes")


def always(config: Any) -> bool:
    """A stage that trains depends on chance."""
    return True


def never(config: Any) -> bool:
    """A stage that computes does not depend on chance."""
    return False


def nothing(config: Any, work: Work) -> dict[str, str]:
    """The inputs of a stage that reads what the stage before it gave, and no more."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of stage.

    takes: kinds that the output before it may have, none: it comes first. config: a frozen
    dataclass whose flat fields are the stage's keys. run(config, work, directory): fills the empty
    directory. inputs(config, work): name -> digest of all that it reads beside the output before
    it. apart: fields of config that inputs() stands for, such as paths, which the key must not
    hold. version: raised when the same inputs give another output. seeded(config): whether
    seed, precision and the number of threads matter. together: whether all processes run it (to
    train); otherwise the first does. A stage that comes first also has labels(config, task): those
    of a model that is taken as it is, or None, and probe(config, rows, seed): which precision is
    faster.
    """

    kind: str
    takes: tuple[Kind, ...]
    gives: Kind
    config: type[Any]
    run: Run
    version: int = 1
    inputs: Callable[[Any, Work], Mapping[str, str]] = nothing
    apart: frozenset[str] = field(default_factory=frozenset)
    seeded: Callable[[Any], bool] = always
    together: bool = False
    labels: Callable[[Any, TaskSection], tuple[str, ...] | None] = no_labels
    probe: Callable[[Any, RecipeRows, int], PrecisionProbe] = no_probe
