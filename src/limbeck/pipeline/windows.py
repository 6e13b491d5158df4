"""Reading long texts whole: windows with stride, computed together, reduced to one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from limbeck.pipeline.steps import Asked, Steps
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


# A further look cuts a text elsewhere: into windows of so much of the first look's length.
LOOKS = (1.0, 0.75, 0.625, 0.875, 0.5)
# Texts in which the label's score is lower at the first look are not read again.
SUSPICION = 0.5


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How often, and for which label, a text is read again.

    count: 1 to len(LOOKS). above: where the label's score by the model's own function begins to be
    worth a further look.
    """

    label: str
    count: int
    above: float = SUSPICION


def read_in_windows(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    task: TaskSpec,
    *,
    max_tokens: int,
    stride: int | None,
    reduce: Literal["max", "mean"],
    looks: Looks | None,
    function: FunctionToApply,
    own_function: FunctionToApply,
) -> Steps[list[Reading]]:
    """Read each text in windows of `max_tokens`, cut where sentences end.

    Half a sentence misleads: the number of a museum without the museum looks like anybody's.

    Args:
        looks: "max" takes all scores from the window in which this label is highest, by the
            model's own function, and, of further looks, the mean of such windows' logits; None:
            each label's own maximum.

    Raises:
        InputError: a stride that makes no progress.
    """

    def windows_of(chosen: Sequence[str], length: int) -> list[list[Encoded]]:
        shared = stride
        if shared is None or length < max_tokens:
            shared = default_stride(length - tokenizer.special_tokens())
        return [
            tokenizer.windows(text, max_tokens=length, stride=shared, at_sentences=True)
            for text in chosen
        ]

    def logits_of(windows: Sequence[Sequence[Encoded]]) -> Steps[list[_Scores]]:
        """[windows, L] of each text."""
        flat = [window for of_text in windows for window in of_text]
        rows = iter((yield Asked(encoded=flat, output="logits")))
        return [np.stack([next(rows) for _ in of_text]) for of_text in windows]

    windows = windows_of(texts, max_tokens)
    logits = yield from logits_of(windows)
    if looks is None or reduce == "mean":
        return [
            _by_label(of_text, rows, task, reduce, function, own_function)
            for of_text, rows in zip(windows, logits, strict=True)
        ]
    wanted = task.labels.index(looks.label)

    def highest(rows: _Scores) -> int:
        return int(class_scores(rows, task, own_function)[:, wanted].argmax())

    deciding = [highest(rows) for rows in logits]
    found = [rows[at] for rows, at in zip(logits, deciding, strict=True)]
    again = [
        index
        for index, row in enumerate(found)
        if looks.count > 1 and class_scores(row, task, own_function)[wanted] >= looks.above
    ]
    seen = {index: [found[index]] for index in again}
    smallest = tokenizer.special_tokens() + 1
    for share in LOOKS[1 : looks.count]:
        length = max(smallest, int(share * max_tokens))
        smaller = windows_of([texts[index] for index in again], length)
        found_again = yield from logits_of(smaller)
        for index, rows in zip(again, found_again, strict=True):
            seen[index].append(rows[highest(rows)])
    for index, same in seen.items():
        found[index] = np.mean(same, axis=0, dtype=np.float32)
    return [
        Reading(
            scores=class_scores(row, task, function),
            own_scores=class_scores(row, task, own_function),
            windows=of_text,
            deciding=np.full(len(task.labels), at, dtype=np.intp),
        )
        for of_text, row, at in zip(windows, found, deciding, strict=True)
    ]


def _by_label(
    windows: Sequence[Encoded],
    logits: _Scores,
    task: TaskSpec,
    reduce: Literal["max", "mean"],
    function: FunctionToApply,
    own_function: FunctionToApply,
) -> Reading:
    """Each label by itself: its highest or its mean score over the windows."""
    scores = class_scores(logits, task, function)
    own = class_scores(logits, task, own_function)
    mean = reduce == "mean"
    return Reading(
        scores=scores.mean(axis=0) if mean else scores.max(axis=0),
        own_scores=own.mean(axis=0) if mean else own.max(axis=0),
        windows=windows,
        deciding=scores.argmax(axis=0),
    )
