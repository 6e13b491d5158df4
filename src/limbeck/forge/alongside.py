"""What may run along with the training loop, such as pruning: called around every step.

The loop knows this protocol alone. Whatever runs along keeps its state in tensors, which the loop
saves with its own, so that a run that was stopped ends with the bits of one that was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch


class Alongside(Protocol):
    """Calls come in this order: begin, restore (of a run that goes on), the two of every step,
    finish. `share` is how much of the run is done, 0 .. 1, at the middle of the step."""

    @property
    def key(self) -> str:
        """All that decides what it does, for telling one run's state from another's."""

    def begin(self) -> None:
        """The model is where it is trained, its weights are those to start from."""

    def after_backward(self, step: int, share: float) -> None:
        """Gradients are there: of the whole batch, before they are clipped. If they are finite the
        optimiser's step follows; if not, no call does, and `tensors` gives the state before."""

    def after_step(self, step: int, share: float) -> None:
        """The optimiser has taken its step."""

    def finish(self) -> None:
        """The weights are the last ones, or their average: what comes of this call stays."""

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """Its state by name."""

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take the state that `tensors` gave; the model has the weights of that moment."""
