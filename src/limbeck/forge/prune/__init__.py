"""Pruning: blocks of the encoder's linear layers go while the model learns from a teacher.

In: a trained model, rows, a teacher's answers. Out: `Pruned`, with exact zeros where blocks went,
which the engine runs by blocks. Neighbours: `limbeck.forge.distil` trains, this room runs along.
"""

from __future__ import annotations

from limbeck.forge.prune.config import PruneConfig, PruneReport
from limbeck.forge.prune.schedule import Schedule
from limbeck.forge.prune.step import latency_table, prune
from limbeck.forge.prune.structure import Structure, width_of

__all__ = [
    "PruneConfig",
    "PruneReport",
    "Schedule",
    "Structure",
    "latency_table",
    "prune",
    "width_of",
]
