"""A moving average of weights, which a run ends with instead of its last ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class WeightAverage:
    """An exponential moving average of a model's trained parameters.

    Polyak and Juditsky 1992; the decay grows with the number of steps, (1 + t) / (10 + t) up to
    its value, so that a short run is not averaged with its beginning. Every fourth step is taken:
    the weights hardly move between them, and the average costs as much as the optimiser.
    """

    EVERY = 4

    def __init__(self, model: Any, decay: float) -> None:
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._average = [p.detach().clone() for p in self._trained]
        self._decay = decay
        self._steps = 0

    def update(self) -> None:
        """Note the weights after another step of the optimiser."""
        self._steps += 1
        if self._steps % self.EVERY:
            return
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps)) ** self.EVERY
        with torch.no_grad():
            torch._foreach_lerp_(self._average, self._trained, 1 - decay)

    def apply(self) -> None:
        """Give the model the average; one that never came to its first step keeps its weights."""
        if self._steps < self.EVERY:
            return
        with torch.no_grad():
            torch._foreach_copy_(self._trained, self._average)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its state by name."""
        return {f"average.{number}": value for number, value in enumerate(self._average)}

    def restore(self, tensors: Mapping[str, torch.Tensor], steps: int) -> None:
        """Take the state that `tensors` gave after so many steps."""
        self._steps = steps
        for number, value in enumerate(self._average):
            value.copy_(tensors[f"average.{number}"])
