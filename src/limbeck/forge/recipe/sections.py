"""The sections of a recipe, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.errors import InputError
from limbeck.evaluation import Limits
from limbeck.forge.prune.layers import Pattern
from limbeck.forge.training import Precision
from limbeck.spec import Problem, Task


@dataclass(frozen=True, kw_only=True)
class DataSection:
    """Files, and the columns in them; columns None: by their usual names.

    validation: rows to measure on; without it `hold_out` of train, at most so many rows. test: rows
    to measure on instead, in the end. transfer: texts without labels. scale: of similarities, the
    lowest and the highest. strict: bad rows are an error; otherwise they are named and left out.
    split_seed is apart from the run's seed, so that runs with other seeds are measured on the same
    rows.
    """

    train: Path
    validation: Path | None = None
    test: Path | None = None
    transfer: Path | None = None
    text: str | None = None
    pair: str | None = None
    label: str | None = None
    scale: tuple[float, float] | None = None
    hold_out: float = 0.1
    hold_out_at_most: int = 2000
    split_seed: int = 0
    strict: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.hold_out < 1:
            raise InputError(f"hold_out must be between 0 and 1, found {self.hold_out!r}")
        if self.hold_out_at_most < 1:
            raise InputError(f"hold_out_at_most must be positive, found {self.hold_out_at_most}")
        if self.split_seed < 0:
            raise InputError(f"split_seed must not be negative, found {self.split_seed}")


@dataclass(frozen=True, kw_only=True)
class TaskSection:
    """What the model answers; problem: what the labels of texts are."""

    kind: Task = "text-classification"
    problem: Problem = "single_label"

    def __post_init__(self) -> None:
        if self.kind != "text-classification" and self.problem != "single_label":
            raise InputError(f"{self.kind} has one problem; leave out {self.problem}")


@dataclass(frozen=True, kw_only=True)
class RunSection:
    """out: the directory of the run. threads None: as many as torch takes here, kept from then on;
    precision "auto": whichever a probe finds faster, once."""

    out: Path
    seed: int = 0
    threads: int | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed must not be negative, found {self.seed}")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads must be positive, found {self.threads}")


@dataclass(frozen=True, kw_only=True)
class CurveSection:
    """What `--curve` makes and measures; other runs do not look at it.

    sparsities: in rising order, each in every pattern; the dense models (0) are always there.
    tokens: lengths of the one text that is timed, of which the longest decides what is fast.
    threads: of the engine meanwhile; one by default, for those of a model that has just run still
    spin when the next one begins. students: whether the shallower student and its pruned forms
    stand beside the teacher's. rivals: depths of further dense students, distilled as it is: what
    is pruned has to be better than a dense model that is as fast.
    """

    sparsities: tuple[float, ...] = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)
    patterns: tuple[Pattern, ...] = ("4x4", "1x4")
    tokens: tuple[int, ...] = (8, 32, 128)
    threads: int = 1
    students: bool = True
    rivals: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.rivals)) < len(self.rivals) or any(one < 1 for one in self.rivals):
            raise InputError(
                f"rivals must be numbers of layers, each once, found {list(self.rivals)}"
            )
        if self.rivals and not self.students:
            raise InputError("rivals are students; leave out students = false")
        if not self.sparsities or not all(0 <= one < 1 for one in self.sparsities):
            raise InputError(
                f"sparsities must be from 0 and below 1, found {list(self.sparsities)}"
            )
        if list(self.sparsities) != sorted(set(self.sparsities)):
            raise InputError(
                f"sparsities must rise, each named once, found {list(self.sparsities)}"
            )
        for name in ("patterns", "tokens"):
            found = getattr(self, name)
            if not found or len(set(found)) < len(found):
                raise InputError(f"{name} must be named, each once, found {list(found)}")
        if min(self.tokens) < 1:
            raise InputError(f"tokens must be positive, found {list(self.tokens)}")
        if self.threads < 1:
            raise InputError(f"threads must be positive, found {self.threads}")

    @property
    def pruned(self) -> tuple[float, ...]:
        """The sparsities above 0."""
        return tuple(one for one in self.sparsities if one > 0)


@dataclass(frozen=True, kw_only=True)
class StageSection:
    """One stage: its kind, and its own configuration."""

    kind: str
    config: Any


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an artifact is made. gate None: nothing is asked of it; curve None: the usual one."""

    data: DataSection
    run: RunSection
    stages: tuple[StageSection, ...]
    task: TaskSection = field(default_factory=TaskSection)
    gate: Limits | None = None
    curve: CurveSection | None = None
