"""The sections of a recipe, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.errors import InputError
from limbeck.evaluation import Limits
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
class StageSection:
    """One stage: its kind, and its own configuration."""

    kind: str
    config: Any


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an artifact is made. gate None: nothing is asked of it."""

    data: DataSection
    run: RunSection
    stages: tuple[StageSection, ...]
    task: TaskSection = field(default_factory=TaskSection)
    gate: Limits | None = None
