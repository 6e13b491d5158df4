"""Learning from a teacher's inside: hidden states and self-attention relations, layer by layer.

Sanh et al. 2019 (DistilBERT): cosine of hidden states. Jiao et al. 2020 (TinyBERT): their squared
difference, through a learned projection where the student is narrower. Wang et al. 2021 (MiniLM
v2): relations among queries, keys and values of one layer, for students of any width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from limbeck.errors import TrainingError
from limbeck.forge import losses
from limbeck.forge.taps import VECTORS, Taps, encoder_layers
from limbeck.forge.training import ChosenPrecision, forward


@dataclass(frozen=True, kw_only=True)
class IntermediateConfig:
    """Weights of the losses on the inside; they are added to the loss on the answers.

    hidden_weight: TinyBERT's squared difference; cosine_weight: DistilBERT's. Both over the pairs
    of `layer_map`: (layer of the student, layer of the teacher), from 1, 0 for the embeddings;
    None: every layer of the student with the one that stands as high in the teacher.
    relation_weight: MiniLM v2's, on `relation_layers` (student, teacher); None: the last of both.
    relation_heads: into how many parts queries, keys and values are cut; None: the teacher's heads.

    Raises:
        TrainingError: a weight is negative.
    """

    hidden_weight: float = 0.0
    cosine_weight: float = 0.0
    layer_map: tuple[tuple[int, int], ...] | None = None
    relation_weight: float = 0.0
    relation_layers: tuple[int, int] | None = None
    relation_heads: int | None = None

    def __post_init__(self) -> None:
        for name in ("hidden_weight", "cosine_weight", "relation_weight"):
            if not getattr(self, name) >= 0:
                raise TrainingError(f"{name} must not be negative, found {getattr(self, name)!r}")
        if self.relation_heads is not None and self.relation_heads < 1:
            raise TrainingError(f"relation_heads must be positive, found {self.relation_heads}")

    @property
    def wanted(self) -> bool:
        return max(self.hidden_weight, self.cosine_weight, self.relation_weight) > 0


def even_map(student_layers: int, teacher_layers: int) -> tuple[tuple[int, int], ...]:
    """Each layer of the student, and the embeddings, with a layer of the teacher evenly chosen.

    6 layers to 3: (0, 0), (1, 2), (2, 4), (3, 6): the uniform map of TinyBERT.
    """
    return tuple(
        (layer, round(layer * teacher_layers / student_layers))
        for layer in range(student_layers + 1)
    )


class IntermediateLoss:
    """Runs the teacher on the student's batch and compares what both noted.

    projections: to the width of a wider teacher, to be trained along. Open it around training.

    Raises:
        TrainingError: the layers of a pair are not there, or widths do not divide into heads.
    """

    def __init__(
        self,
        student: Any,
        teacher: Any,
        config: IntermediateConfig,
        precision: ChosenPrecision = "fp32",
    ) -> None:
        depths = len(encoder_layers(student)), len(encoder_layers(teacher))
        widths = int(student.config.hidden_size), int(teacher.config.hidden_size)
        self.pairs = config.layer_map if config.layer_map is not None else even_map(*depths)
        self.relation_layers = config.relation_layers or depths
        self.heads = config.relation_heads or int(teacher.config.num_attention_heads)
        self.precision: ChosenPrecision = precision
        self.config = config
        for pair in (*self.pairs, self.relation_layers):
            if not all(0 <= layer <= depth for layer, depth in zip(pair, depths, strict=True)):
                raise TrainingError(
                    f"layers {pair} are not there: the student has {depths[0]}, the teacher "
                    f"{depths[1]}"
                )
        if config.relation_weight and any(width % self.heads for width in widths):
            raise TrainingError(
                f"{self.heads} relation heads do not divide widths of {widths[0]} and {widths[1]}; "
                "choose relation_heads"
            )
        compares = config.hidden_weight > 0 or config.cosine_weight > 0
        self.projections = torch.nn.ModuleList(
            torch.nn.Linear(widths[0], widths[1])
            for _ in (self.pairs if compares and widths[0] != widths[1] else ())
        )
        self._student, self._teacher = student, teacher.eval()
        self._taps = self._taps_of(student, teacher, compares)

    def _taps_of(self, student: Any, teacher: Any, compares: bool) -> tuple[Taps, Taps]:
        hidden: tuple[list[int], list[int]] = ([], [])
        if compares:
            hidden = [own for own, _ in self.pairs], [other for _, other in self.pairs]
        relation: tuple[list[int], list[int]] = ([], [])
        if self.config.relation_weight:
            relation = [self.relation_layers[0]], [self.relation_layers[1]]
        return (
            Taps(student, hidden=hidden[0], vectors=relation[0]),
            Taps(teacher, hidden=hidden[1], vectors=relation[1]),
        )

    def __enter__(self) -> IntermediateLoss:
        for taps in self._taps:
            taps.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for taps in self._taps:
            taps.__exit__(None, None, None)

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The weighted sum for the batch that the student has just computed."""
        device = next(self._student.parameters()).device
        with torch.no_grad():
            forward(self._teacher.to(device), dict(batch), self.precision)
        own, other = self._taps
        mask = batch["attention_mask"].to(device)
        total = torch.zeros((), device=device)
        for index, (layer, theirs) in enumerate(self.pairs):
            if not self.config.hidden_weight and not self.config.cosine_weight:
                break
            found, wanted = own.hidden[layer].float(), other.hidden[theirs].float()
            if len(self.projections):
                found = self.projections[index](found)
            share = 1 / len(self.pairs)
            total = total + share * (
                self.config.hidden_weight * losses.hidden_mse(found, wanted, mask)
                + self.config.cosine_weight * losses.hidden_cosine(found, wanted, mask)
            )
        if self.config.relation_weight:
            for name in VECTORS:
                total = total + self.config.relation_weight / len(VECTORS) * losses.relations(
                    own.vectors[self.relation_layers[0], name].float(),
                    other.vectors[self.relation_layers[1], name].float(),
                    mask,
                    self.heads,
                )
        return total
