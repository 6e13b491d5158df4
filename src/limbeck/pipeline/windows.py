"""Reading long texts whole: windows with stride, computed together, reduced to one answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from limbeck.spec import TaskSpec
from limbeck.tasks import FunctionToApply, class_scores
from limbeck.text import Encoded, Tokenizer

# What is to be found should stand whole in some window. 64 tokens hold a long sentence, or an
# address spelled out letter by letter; more would cost time in every text.
_STRIDE_TOKENS = 64

_Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What the windows of one text say.

    scores, own_scores: [L], by the function asked for and by the model's own; windows: in the
    order of the text; deciding: [L], which window decided, or in which a label was highest.
    """

    scores: _Scores
    own_scores: _Scores
    windows: Sequence[Encoded]
    deciding: npt.NDArray[np.intp]

    def span(self, label: int) -> tuple[int, int]:
        """The characters of the window that decided about a label."""
        return self.windows[int(self.deciding[label])].span


def default_stride(room: int) -> int:
    """Tokens that neighbouring windows share, of `room` tokens that a window has for the text."""
    return min(_STRIDE_TOKENS, room // 4)


def read_in_windows(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    task: TaskSpec,
    forward: Callable[[Sequence[Encoded]], list[_Scores]],
    *,
    max_tokens: int,
    stride: int | None,
    reduce: Literal["max", "mean"],
    label: str | None,
    function: FunctionToApply,
    own_function: FunctionToApply,
) -> list[Reading]:
    """Read each text in windows of `max_tokens`, cut where sentences end.

    Half a sentence misleads: the number of a museum without the museum looks like anybody's.

    Args:
        forward: windows of all the texts -> their logits [L] each.
        label: "max" takes all scores from the window in which this label is highest, by the
            model's own function; None: each label's own maximum.

    Raises:
        InputError: a stride that makes no progress.
    """
    if stride is None:
        stride = default_stride(max_tokens - tokenizer.special_tokens())
    windows = [
        tokenizer.windows(text, max_tokens=max_tokens, stride=stride, at_sentences=True)
        for text in texts
    ]
    logits = iter(forward([window for of_text in windows for window in of_text]))
    readings = []
    for of_text in windows:
        rows = np.stack([next(logits) for _ in of_text])
        scores = class_scores(rows, task, function)
        own = class_scores(rows, task, own_function)
        deciding = scores.argmax(axis=0)
        if reduce == "mean":
            found = (scores.mean(axis=0), own.mean(axis=0))
        elif label is None:
            found = (scores.max(axis=0), own.max(axis=0))
        else:
            highest = int(own[:, task.labels.index(label)].argmax())
            deciding = np.full_like(deciding, highest)
            found = (scores[highest], own[highest])
        readings.append(
            Reading(scores=found[0], own_scores=found[1], windows=of_text, deciding=deciding)
        )
    return readings
