"""The way from inputs to answers with the model's work left out: whoever drives it does that.

A pipeline called by itself computes what a step asks for at once. A server puts it into a queue
with what others ask for, and sends the rows back when they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from limbeck.text import Encoded

if TYPE_CHECKING:
    from limbeck.runtimes import Output

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Asked:
    """Sequences to compute, and what of them; see `Model.forward` for `output`."""

    encoded: Sequence[Encoded]
    output: Output


Answer = TypeVar("Answer")
# Asks for rows, as often as it needs: each time an array for each of its sequences.
Steps = Generator[Asked, list[F32], Answer]


def follow(steps: Steps[Answer], compute: Callable[[Asked], list[F32]]) -> Answer:
    """All the way: compute whatever is asked for, and return the answer.

    Raises:
        InputError: what the steps or the model raise.
    """
    try:
        asked = next(steps)
        while True:
            asked = steps.send(compute(asked))
    except StopIteration as end:
        answer: Answer = end.value
        return answer
