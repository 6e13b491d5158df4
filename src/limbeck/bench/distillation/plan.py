"""Which models are to be trained, each named by all that it depends on, and which rows they make.

A run is a value: its key is a digest of data set, method, configuration, seed, rows, encoder, the
runs that it needs, and the forge's code. The same key is the same model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from limbeck.bench.distillation import digests
from limbeck.bench.distillation.sets import Budget, DataSet
from limbeck.errors import InputError
from limbeck.forge.distil import DistilConfig
from limbeck.forge.intermediate import IntermediateConfig
from limbeck.forge.training import TrainingConfig

TEACHER = "teacher"
STUDENT_LAYERS = 3
Precision = Literal["fp32", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to train a student. teachers 0: none is asked; peers: how many students learn together,
    the first of which is measured; transfer: the teacher is asked on texts without labels too, and
    each row is seen half as often, so that no method takes more steps than another."""

    name: str
    title: str
    teachers: int = 1
    peers: int = 1
    soft_weight: float = 0.5
    temperature: float = 2.0
    inside: IntermediateConfig = field(default_factory=IntermediateConfig)
    transfer: bool = False
    usual: bool = True


METHODS: tuple[Method, ...] = (
    Method(name="soft", title="soft targets and labels"),
    Method(name="hard", title="labels alone", teachers=0, soft_weight=0.0),
    Method(name="transfer", title="soft targets and labels, and texts without", transfer=True),
    Method(name="online", title="two students together, and labels", teachers=0, peers=2),
    Method(name="two-teachers", title="soft targets of two teachers, and labels", teachers=2),
    Method(name="soft-alone", title="soft targets alone", soft_weight=1.0, usual=False),
    Method(
        name="relations",
        title="soft targets, labels, attention relations",
        inside=IntermediateConfig(relation_weight=1.0),
        usual=False,
    ),
    Method(
        name="hidden",
        title="soft targets, labels, hidden states",
        inside=IntermediateConfig(hidden_weight=1.0),
        usual=False,
    ),
)
HARD = "hard"


def methods(names: str | None) -> list[Method]:
    """The methods of a comma-separated list; None: the usual ones.

    Raises:
        InputError: there is none of that name.
    """
    if names is None:
        return [one for one in METHODS if one.usual]
    by_name = {one.name: one for one in METHODS}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in by_name]
    if unknown or not wanted:
        raise InputError(
            f"no method {', '.join(unknown) or names!r}; there are: {', '.join(by_name)}"
        )
    return [by_name[name] for name in dict.fromkeys(wanted)]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One model to be trained.

    method None: a teacher. rows, encoder: digests of the training rows and of what a teacher
    begins as. needs: the teachers of a student, the one that it begins from first.
    """

    data_set: DataSet
    method: Method | None
    seed: int
    rows: str
    encoder: str
    code: str
    needs: tuple[Run, ...] = ()

    @property
    def role(self) -> str:
        return TEACHER if self.method is None else self.method.name

    @property
    def budget(self) -> Budget:
        return self.data_set.teacher if self.method is None else self.data_set.student

    @property
    def training(self) -> TrainingConfig:
        halved = self.method is not None and self.method.transfer
        return TrainingConfig(
            epochs=self.budget.epochs / 2 if halved else self.budget.epochs,
            batch_size=self.budget.batch_size,
            learning_rate=self.budget.learning_rate,
            max_tokens=self.data_set.max_tokens,
            seed=self.seed,
        )

    @property
    def distil(self) -> DistilConfig:
        """How a student is trained."""
        assert self.method is not None
        return DistilConfig(
            temperature=self.method.temperature,
            soft_weight=self.method.soft_weight,
            inside=self.method.inside,
            training=self.training,
        )

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """In which it is measured: what a student keeps is asked of the artifact too."""
        return PRECISIONS[:1] if self.method is None else PRECISIONS

    @cached_property
    def key(self) -> str:
        how: dict[str, Any] = asdict(self.training if self.method is None else self.distil)
        return digests.of_values(
            self.data_set.name,
            self.role,
            None if self.method is None else (self.method.teachers, self.method.peers),
            STUDENT_LAYERS,
            how,
            self.rows,
            self.encoder,
            self.code,
            [needed.key for needed in self.needs],
        )

    def __str__(self) -> str:
        return f"{self.data_set.name} {self.role}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row of results: a method (or the teacher, or a difference to `minus`) in one precision.

    runs: one a seed; minus: the same of the method to compare with; test: digest of the rows that
    it is measured on.
    """

    data_set: DataSet
    role: str
    precision: Precision
    teacher: Run
    runs: tuple[Run, ...]
    minus: tuple[Run, ...] = ()
    test: str
    scoring: str

    @cached_property
    def key(self) -> str:
        return digests.of_values(
            self.role,
            self.precision,
            self.teacher.key,
            [run.key for run in self.runs],
            [run.key for run in self.minus],
            self.test,
            self.scoring,
        )

    @property
    def subject(self) -> str:
        name = f"{self.role} minus {HARD}" if self.minus else self.role
        return f"{name} {self.precision}"

    @property
    def needed(self) -> tuple[Run, ...]:
        return tuple(dict.fromkeys((self.teacher, *self.runs, *self.minus)))


def findings(
    data_set: DataSet,
    chosen: Sequence[Method],
    seeds: Sequence[int],
    *,
    rows: str,
    transfer: str | None,
    encoder: str,
    test: str,
) -> list[Finding]:
    """All rows that a data set is to have, in the order in which their models are trained.

    rows, transfer, encoder, test: digests; transfer None: there are no such texts, and methods that
    need them are left out.
    """
    code, scoring = digests.training_code(), digests.scoring_code()

    def run(method: Method | None, seed: int, needs: tuple[Run, ...] = ()) -> Run:
        return Run(
            data_set=data_set,
            method=method,
            seed=seed,
            rows=digests.of_values(rows, transfer) if method and method.transfer else rows,
            encoder=encoder,
            code=code,
            needs=needs,
        )

    teachers = tuple(run(None, seed) for seed in (0, 1))
    trained = {
        # the first teacher gives every student its layers, whoever is asked
        method.name: tuple(run(method, seed, teachers[: max(1, method.teachers)]) for seed in seeds)
        for method in chosen
        if transfer is not None or not method.transfer
    }

    def finding(role: str, precision: Precision, runs: tuple[Run, ...], *minus: Run) -> Finding:
        return Finding(
            data_set=data_set,
            role=role,
            precision=precision,
            teacher=teachers[0],
            runs=runs,
            minus=minus,
            test=test,
            scoring=scoring,
        )

    found = [finding(TEACHER, "fp32", teachers[:1])]
    for name, runs in trained.items():
        found += [finding(name, precision, runs) for precision in PRECISIONS]
    hard = trained.get(HARD)
    if hard is not None:
        found += [
            finding(name, precision, runs, *hard)
            for name, runs in trained.items()
            for precision in PRECISIONS
            if name != HARD
        ]
    return found


def in_order(runs: Iterable[Run]) -> list[Run]:
    """Each run once, behind those that it needs."""
    found: dict[str, Run] = {}

    def add(run: Run) -> None:
        for needed in run.needs:
            add(needed)
        found.setdefault(run.key, run)

    for run in runs:
        add(run)
    return list(found.values())
