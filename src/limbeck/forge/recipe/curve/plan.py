"""A recipe -> the recipes of all points of its curve, checked before the first of them is run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from limbeck import huggingface
from limbeck.errors import InputError, LimbeckError
from limbeck.forge import shapes
from limbeck.forge.prune import Structure
from limbeck.forge.prune.allocation import check_dense
from limbeck.forge.prune.layers import Pattern, check_divides, sides
from limbeck.forge.recipe import order
from limbeck.forge.recipe.defaults import curve_prune
from limbeck.forge.recipe.sections import CurveSection, Recipe, StageSection
from limbeck.forge.recipe.stages.distil import DistilStage
from limbeck.forge.recipe.stages.prune import PruneStage
from limbeck.huggingface.configuration import encoder_spec

POINTS = "points"
Base = Literal["teacher", "student", "rival"]
# What a curve knows how to put together, and how often a recipe may have it.
_KINDS = {"teacher": 1, "distil": None, "prune": 1, "qat": 1, "export": 1, "verify": 1}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One artifact of the curve. pattern None and sparsity 0: dense."""

    name: str
    base: Base
    layers: int
    pattern: Pattern | None
    sparsity: float
    recipe: Recipe

    @property
    def line(self) -> str:
        """The name of what it was pruned from, and the pattern."""
        return self.name.rsplit("-", 1)[0]

    @property
    def body(self) -> str:
        """The name of the dense model that it is, or was pruned from."""
        return self.line if self.pattern is None else self.line.rsplit("-", 1)[0]


@dataclass(frozen=True, kw_only=True)
class _Body:
    """A dense model that is pruned: its name, its shape, and the stages that make it."""

    name: str
    base: Base
    layers: int
    hidden: int
    ffn: int
    positions: int
    stages: tuple[StageSection, ...]


def points(recipe: Recipe) -> list[Point]:
    """All points, each behind those that it has stages in common with; the dense teacher first.

    Raises:
        InputError: stages that a curve has no place for, a pattern that does not divide a layer,
            a sparsity that the cap makes impossible, or lengths that are all too long.
    """
    section = recipe.curve or CurveSection()
    stages = _by_kind(recipe)
    cut = (
        stages["prune"][0] if stages["prune"] else StageSection(kind="prune", config=curve_prune())
    )
    end = (*stages["qat"], *stages["export"], *stages["verify"])
    bodies = _bodies(recipe, stages, section)
    for body in bodies:
        _check(body, cut.config, section)
    made = []
    for body in bodies:
        made.append(_point(recipe, body, None, (), end))
        if body.base == "rival":
            continue
        for pattern in section.patterns:
            for count in range(1, len(section.pruned) + 1):
                chain = _chain(cut, pattern, section.pruned[:count])
                made.append(_point(recipe, body, pattern, chain, end))
    return made


def _by_kind(recipe: Recipe) -> dict[str, list[StageSection]]:
    order.check(recipe.stages)
    found: dict[str, list[StageSection]] = {kind: [] for kind in _KINDS}
    for index, stage in enumerate(recipe.stages):
        if stage.kind not in found:
            raise InputError(
                f"a curve has no place for stage[{index}] ({stage.kind}); it is put together of "
                f"{', '.join(_KINDS)}"
            )
        found[stage.kind].append(stage)
        most = _KINDS[stage.kind]
        if most is not None and len(found[stage.kind]) > most:
            raise InputError(
                f"a curve takes one stage {stage.kind!r}, and stage[{index}] is another; patterns "
                "and sparsities stand in [curve]"
            )
    return found


def _bodies(
    recipe: Recipe, stages: dict[str, list[StageSection]], section: CurveSection
) -> list[_Body]:
    teacher = stages["teacher"][0]
    directory = huggingface.resolve(teacher.config.model)
    spec = encoder_spec(_config_of(directory / "config.json"))
    whole = _Body(
        name=f"{spec.layers}-layers",
        base="teacher",
        layers=spec.layers,
        hidden=spec.hidden,
        ffn=spec.ffn,
        positions=spec.max_tokens,
        stages=(teacher,),
    )
    if not section.students:
        return [whole]
    distil = stages["distil"] or [StageSection(kind="distil", config=DistilStage())]
    student = replace(_student(distil[0].config, whole), base="student", stages=(teacher, *distil))
    if student.name == whole.name:
        student = replace(student, name=f"{student.name}-student")
    found = [whole, student]
    for layers in section.rivals:
        if layers >= whole.layers:
            raise InputError(
                f"[curve] rivals: {layers} layers are not fewer than the teacher's {whole.layers}"
            )
        begins = replace(
            distil[0].config, layers=layers, take=None, shape=None, random=False, encoder=None
        )
        rival = _student(begins, whole)
        if rival.name == student.name:
            raise InputError(f"[curve] rivals: the student has {layers} layers too; leave them out")
        first = replace(distil[0], config=begins)
        found.append(replace(rival, base="rival", stages=(teacher, first, *distil[1:])))
    return found


def _student(config: DistilStage, teacher: _Body) -> _Body:
    """What is known of a student's shape before there is one."""
    positions = teacher.positions
    if config.encoder is not None:
        directory = huggingface.resolve(config.encoder)
        spec = encoder_spec(_config_of(directory / "config.json"))
        layers, hidden, ffn, positions = spec.layers, spec.hidden, spec.ffn, spec.max_tokens
    elif config.shape is not None:
        shape = shapes.named(config.shape)
        layers, hidden, ffn = shape.layers, shape.hidden, shape.ffn
    else:
        taken = len(config.take) if config.take is not None else config.layers
        layers = taken or max(1, teacher.layers // 2)
        hidden, ffn = teacher.hidden, teacher.ffn
    return replace(
        teacher,
        name=f"{layers}-layers",
        layers=layers,
        hidden=hidden,
        ffn=ffn,
        positions=positions,
    )


def _config_of(path: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})") from None
    return found


def _check(body: _Body, cut: PruneStage, section: CurveSection) -> None:
    """Whether every pattern divides every layer, every sparsity is below what the cap allows, and
    there is a length to be timed."""
    if min(section.tokens) > body.positions:
        raise InputError(
            f"[curve] tokens: {body.name} has positions for {body.positions} tokens, and none for "
            f"{min(section.tokens)}; name shorter lengths"
        )
    hidden, ffn = body.hidden, cut.prune.structure.ffn or body.ffn
    layers = {"attention": (hidden, hidden), "ffn.in": (ffn, hidden), "ffn.out": (hidden, ffn)}
    for pattern in section.patterns:
        for name, shape in layers.items():
            try:
                check_divides(f"{name} of {body.name}", shape, pattern)
            except InputError as error:
                raise InputError(f"[curve] patterns: {error}") from None
        rows, cols = sides(pattern)
        blocks = {name: a * b // (rows * cols) for name, (a, b) in layers.items()}
        # queries, keys, values and the output of attention are of one shape
        counts = [*[blocks["attention"]] * 4, blocks["ffn.in"], blocks["ffn.out"]] * body.layers
        for sparsity in section.pruned:
            try:
                check_dense(counts, sparsity, cut.prune.allocation, cut.prune.cap)
            except LimbeckError as error:
                raise InputError(f"[curve] sparsities, {pattern} in {body.name}: {error}") from None


def _chain(
    cut: StageSection, pattern: Pattern, sparsities: Sequence[float]
) -> tuple[StageSection, ...]:
    """Prunings one behind the other, each from what the one before it left."""
    found = []
    for index, sparsity in enumerate(sparsities):
        how = replace(cut.config.prune, pattern=pattern, sparsity=sparsity)
        if index:  # whole heads and columns went with the first
            how = replace(how, structure=Structure())
        found.append(replace(cut, config=replace(cut.config, prune=how)))
    return tuple(found)


def _point(
    recipe: Recipe,
    body: _Body,
    pattern: Pattern | None,
    chain: tuple[StageSection, ...],
    end: tuple[StageSection, ...],
) -> Point:
    sparsity = chain[-1].config.prune.sparsity if chain else 0.0
    name = f"{body.name}-dense" if pattern is None else f"{body.name}-{pattern}-{percent(sparsity)}"
    return Point(
        name=name,
        base=body.base,
        layers=body.layers,
        pattern=pattern,
        sparsity=sparsity,
        recipe=replace(
            recipe,
            run=replace(recipe.run, out=recipe.run.out / POINTS / name),
            stages=(*body.stages, *chain, *end),
            gate=None,
            curve=None,
        ),
    )


def percent(sparsity: float) -> str:
    """0.6 -> "60"."""
    return f"{100 * sparsity:.6g}"
