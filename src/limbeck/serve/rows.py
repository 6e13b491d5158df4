"""The inputs of one request on their way through a pipeline, all in step.

Every input has steps of its own, so that each has its own answer and its own count of tokens; what
they ask for in a round goes to the engine together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.pipeline import Asked, Pipeline, Steps
from limbeck.serve.refused import RefusedError

F32 = npt.NDArray[np.float32]


class Rows:
    """Inputs by their places in the request. `begin`, then `go_on` until nothing is asked any more.

    answers: what the pipeline says of each input; tokens: that were computed for each. Both are
    whole when a call returns None. The calls do the tokenising: they can take a while, and are safe
    in any thread, one at a time.
    """

    def __init__(
        self, pipeline: Pipeline[Any], inputs: Mapping[int, Any], options: Mapping[str, Any]
    ) -> None:
        """Raises nothing yet: bad inputs and options show in `begin`."""
        self._pipeline = pipeline
        self._inputs = inputs
        self._options = options
        self._steps: dict[int, Steps[list[Any]]] = {}
        self._asked: dict[int, Asked] = {}
        self.answers: dict[int, Any] = {}
        self.tokens: dict[int, int] = dict.fromkeys(inputs, 0)

    def begin(self) -> Asked | None:
        """Tokenise; the sequences of the first round.

        Raises:
            RefusedError: an input or an option that the pipeline cannot take.
        """
        try:
            chosen = self._pipeline.options.updated(self._options, self._pipeline.task)
            for place, value in self._inputs.items():
                steps = self._pipeline.steps_under(chosen, [value], first=place)
                self._steps[place] = steps
                self._asked[place] = next(steps)
        except InputError as error:
            raise RefusedError("unprocessable", str(error)) from None
        return self._round()

    def go_on(self, rows: Sequence[F32]) -> Asked | None:
        """Hand over the rows of the last round; the sequences of the next one.

        Raises:
            RefusedError: see `begin`.
        """
        start = 0
        for place, asked in list(self._asked.items()):
            stop = start + len(asked.encoded)
            self._send(place, list(rows[start:stop]))
            start = stop
        return self._round()

    def _send(self, place: int, rows: list[F32]) -> None:
        try:
            self._asked[place] = self._steps[place].send(rows)
        except StopIteration as end:
            [self.answers[place]] = end.value
            del self._asked[place], self._steps[place]
        except InputError as error:
            raise RefusedError("unprocessable", str(error)) from None

    def _round(self) -> Asked | None:
        # Who asks for nothing gets nothing, at once.
        for place, asked in list(self._asked.items()):
            while not asked.encoded:
                self._send(place, [])
                if place not in self._asked:
                    break
                asked = self._asked[place]
        if not self._asked:
            return None
        for place, asked in self._asked.items():
            self.tokens[place] += sum(len(one) for one in asked.encoded)
        every = list(self._asked.values())
        # One task with the same options for all: the rounds of all inputs ask for the same.
        assert len({asked.output for asked in every}) == 1
        return Asked(
            encoded=[one for asked in every for one in asked.encoded], output=every[0].output
        )
