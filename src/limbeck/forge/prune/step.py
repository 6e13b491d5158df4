"""The step: a student, rows and a teacher's answers -> a pruned model."""

from __future__ import annotations

import dataclasses
from typing import Any

from limbeck.engine import LatencyTable, measure_latency
from limbeck.errors import TrainingError
from limbeck.forge import heads, training
from limbeck.forge.answers import Answers
from limbeck.forge.checkpoint import Checkpoint, Pruned, trained
from limbeck.forge.learning import distillation_loss, learn
from limbeck.forge.narrowing import Width
from limbeck.forge.objectives import objective
from limbeck.forge.prune.config import PruneConfig, PruneReport
from limbeck.forge.prune.layers import Pattern, prunable, sides
from limbeck.forge.prune.pruner import Cost, Pruner
from limbeck.forge.prune.reconstruct import reconstruct
from limbeck.forge.prune.structure import Structure, by_gradient, by_magnitude, check, shrink
from limbeck.forge.rows import Rows
from limbeck.forge.saves import Saves
from limbeck.forge.teacher import check_fit


def prune(
    student: Checkpoint,
    rows: Rows,
    logits: Answers,
    config: PruneConfig = PruneConfig(),  # noqa: B008 (a frozen value)
    *,
    teacher: Checkpoint | None = None,
    saves: Saves | None = None,
    latency: LatencyTable | None = None,
) -> tuple[Pruned, PruneReport]:
    """Prune a model while it learns from a teacher's answers, in place but for `structure`.

    Weights that are zero to begin with stay so: a model that is pruned already can be pruned
    further. The result has exactly `sparsity` of all blocks gone, rounded to a block.

    Args:
        rows, logits, teacher, saves: as for `limbeck.forge.distil.offline`.
        latency: what layers take, for allocation "latency": see `latency_table`.

    Raises:
        InputError: the pattern does not divide a layer, or rows and answers do not fit.
        TrainingError: a target that the cap makes impossible, weights or scores that are not
            finite, or no table of latencies where one is needed.
    """
    if (latency is not None) != (config.allocation == "latency"):
        raise TrainingError(
            "allocation 'latency' needs a table of latencies, and others have no use for one; "
            "limbeck.forge.prune.latency_table measures it"
        )
    check_fit(rows, student, "student")
    lineage = {"student": student.digest, "of": dict(student.lineage)}
    prunable(student.model, config.pattern)  # before anything is computed
    begun = _shrunk(student, rows, logits, config)
    cost = None if latency is None else cost_of(begun.model, config.pattern, latency)
    pruner = Pruner(begun.model, config, cost)
    if config.criterion == "reconstruction":
        learnt = objective(rows, begun.tokenizer, begun.max_tokens)
        reconstruct(
            begun.model,
            learnt.tokens,
            config.pattern,
            config.sparsity,
            pruner.allocate,
            samples=config.samples,
            batch_size=config.distil.training.batch_size,
        )
    report = learn(
        begun,
        rows,
        logits,
        config.distil,
        teacher=teacher,
        saves=saves,
        alongside=pruner,
        description="pruning the student",
    )
    found = PruneReport(training=report, sparsity=pruner.sparsity, layers=pruner.sparsities())
    fields = {one.name: getattr(begun, one.name) for one in dataclasses.fields(Checkpoint)}
    made = trained(
        Pruned(**fields | {"lineage": lineage}),
        "prune",
        rows,
        config,
        report,
        pattern=config.pattern,
        criterion=config.criterion,
        sparsity=found.sparsity,
        layers=dict(found.layers),
        latency=None if latency is None else latency.as_dict(),
    )
    return made, found


def _shrunk(student: Checkpoint, rows: Rows, logits: Answers, config: PruneConfig) -> Checkpoint:
    """The student without the heads and columns that go at once."""
    wanted = config.structure
    if not wanted.wanted:
        return student
    check(student.model, wanted)
    if wanted.importance == "magnitude":
        return shrink(student, wanted, by_magnitude(student.model))
    learnt = objective(rows, student.tokenizer, student.max_tokens)
    learnt.check(logits, heads.width(student.model))
    how = config.distil.training
    with training.seeded(how.seed):
        worth = by_gradient(
            student.model,
            learnt.tokens,
            distillation_loss(logits, learnt, config.distil),
            how.batch_size,
            wanted.importance_rows,
        )
    return shrink(student, wanted, worth)


def latency_table(
    width: Width, structure: Structure, *, tokens: int = 128, threads: int = 1
) -> LatencyTable:
    """What this machine takes for the layers of a model, as `prune` wants it.

    Args:
        width: of the model, see `width_of`. structure: what of it remains.
    """
    c, f = width.hidden, structure.ffn or width.ffn
    shapes = [(3 * c, c), (c, c), (f, c), (c, f)]
    return measure_latency(shapes, tokens=tokens, threads=threads)


def _unit_shapes(model: Any, pattern: Pattern) -> dict[str, tuple[int, int]]:
    """Rows and inputs of what the engine runs as one matrix: members are stacked."""
    found: dict[str, tuple[int, int]] = {}
    for layer in prunable(model, pattern):
        rows, cols = layer.weight.shape
        found[layer.unit] = (found.get(layer.unit, (0, cols))[0] + rows, cols)
    return found


def cost_of(model: Any, pattern: Pattern, table: LatencyTable) -> Cost:
    """(unit, sparsity) -> microseconds, from a table."""
    shapes, block = _unit_shapes(model, pattern), sides(pattern)

    def cost(unit: str, sparsity: float) -> float:
        return table.latency_us(shapes[unit], block, sparsity)

    for unit in shapes:
        cost(unit, 0.0)  # a shape that was not measured is an error now
    return cost
