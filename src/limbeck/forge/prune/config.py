"""How to prune, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from limbeck.errors import TrainingError
from limbeck.forge.learning import DistilConfig
from limbeck.forge.prune.allocation import ALLOCATIONS, Allocation
from limbeck.forge.prune.criteria import CRITERIA, Criterion
from limbeck.forge.prune.layers import PATTERNS, Pattern
from limbeck.forge.prune.schedule import Schedule
from limbeck.forge.prune.structure import Structure
from limbeck.forge.training import TrainingConfig, TrainingReport


def _settings() -> DistilConfig:
    # The published recipes learn from the teacher alone, for long: Intel's 20 epochs at 1e-4.
    return DistilConfig(soft_weight=1.0, training=TrainingConfig(epochs=10.0, learning_rate=1e-4))


@dataclass(frozen=True, kw_only=True)
class PruneConfig:
    """What goes, and how the rest learns to do without it.

    pattern: output rows x inputs of a block. sparsity: share of all blocks of the encoder's linear
    layers that is gone at the end, to the block. criterion: "magnitude" (sum of squares),
    "absolute" (sum of absolute values), "movement" or "snip-momentum" (momentum), see
    `limbeck.forge.prune.criteria`; or "reconstruction": at once, by what so many rows (samples)
    show of each layer's outputs, with the other weights fitted anew, and all of the training to
    recover in. allocation: "uniform", the same
    share of every layer; "global", the lowest scores of all layers; "latency", where the engine
    gains most time for the scores that it costs. cap: the most that the last two take of a layer.
    structure: heads and feed-forward columns that go before that. distil: how it learns meanwhile.
    """

    pattern: Pattern = "4x4"
    sparsity: float = 0.8
    criterion: Criterion = "snip-momentum"
    allocation: Allocation = "global"
    cap: float = 0.98
    momentum: float = 0.9
    samples: int = 2048
    schedule: Schedule = field(default_factory=Schedule)
    structure: Structure = field(default_factory=Structure)
    distil: DistilConfig = field(default_factory=_settings)

    def __post_init__(self) -> None:
        words: tuple[tuple[str, tuple[str, ...]], ...] = (
            ("pattern", PATTERNS),
            ("criterion", CRITERIA),
            ("allocation", ALLOCATIONS),
        )
        for name, known in words:
            if getattr(self, name) not in known:
                raise TrainingError(
                    f"{name} must be one of {', '.join(known)}, found {getattr(self, name)!r}"
                )
        for name in ("sparsity", "cap"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} must be in 0 .. 1, found {getattr(self, name)!r}")
        if self.samples < 1:
            raise TrainingError(f"samples must be at least 1 row, found {self.samples}")
        if not 0 <= self.momentum < 1:
            raise TrainingError(f"momentum must be in [0, 1), found {self.momentum!r}")


@dataclass(frozen=True, kw_only=True)
class PruneReport:
    """What pruning did: the training, the share of blocks that is gone, and that of each layer."""

    training: TrainingReport
    sparsity: float
    layers: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        return {**self.training.as_dict(), "sparsity": self.sparsity, "layers": dict(self.layers)}


def described(config: PruneConfig) -> dict[str, Any]:
    """All of the configuration that decides the mask, as JSON can hold it."""
    found = asdict(config)
    return {name: found[name] for name in found if name not in ("distil", "structure")}
