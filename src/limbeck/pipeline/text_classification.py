"""text-classification: whole texts or pairs -> labels; long texts read whole in windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError
from limbeck.pipeline.base import Item, Options, Pipeline
from limbeck.pipeline.steps import Asked, Steps
from limbeck.pipeline.windows import LOOKS, SUSPICION, Looks, Reading, read_in_windows
from limbeck.spec import Task, TaskSpec
from limbeck.tasks import TOP_LABEL, TopK, class_scores, decide, default_function
from limbeck.tasks.scores import parse_function
from limbeck.tasks.text_classification import ranked_labels, top_label
from limbeck.text import check_text


@dataclass(frozen=True, kw_only=True)
class TextClassificationOptions(Options):
    """Beside the options of every pipeline:

    top_k: how many labels to give, best first; None for all. Without it, the best one alone.
    function_to_apply: "softmax", "sigmoid" or "none"; None for the model's own.
    decide: add "decision" to each dictionary: whether the label for which the model stores a
        threshold reaches it, by the model's own function. The same for all labels of a text.
    window: read texts longer than max_length whole, in overlapping windows that begin and end
        where sentences do. truncation is then without effect.
    stride: tokens that neighbouring windows share, about, in whole sentences; None: a quarter of a
        window, 64 at most.
    window_reduce: "max" or "mean", of the windows' scores (after function_to_apply). "mean" is the
        mean of each label. "max" takes the scores of the window in which window_label is highest,
        so that they still belong together; where no label is named, each label has its own highest
        score, and the scores need not sum to one.
    window_label: the label that "max" looks for; None: the one that the model stores a threshold
        for, if it does.
    window_looks: how many times "max" reads a text that seems to hold window_label (score of at
        least one half, or of the stored threshold): each time in shorter windows, cut elsewhere,
        and the answer is that of the mean of the logits. One window may mislead; 5, the default and
        the most, make up for it. Other texts are read once.
    return_window: add "start" and "end" to each dictionary: the characters of the window that
        decided at the first look, or in which the label was highest.
    """

    top_k: TopK = TOP_LABEL
    function_to_apply: str | None = None
    decide: bool = False
    window: bool = False
    stride: int | None = None
    window_reduce: Literal["max", "mean"] = "max"
    window_label: str | None = None
    window_looks: int = len(LOOKS)
    return_window: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k not in (None, TOP_LABEL) and (
            not isinstance(self.top_k, int) or isinstance(self.top_k, bool) or self.top_k < 1
        ):
            raise InputError(f"top_k must be a positive integer or None, found {self.top_k!r}")
        if self.window_reduce not in ("max", "mean"):
            raise InputError(f"window_reduce must be 'max' or 'mean', found {self.window_reduce!r}")
        looks = self.window_looks
        if isinstance(looks, bool) or not isinstance(looks, int) or not 1 <= looks <= len(LOOKS):
            raise InputError(f"window_looks must be 1 to {len(LOOKS)}, found {looks!r}")
        if not self.window:
            for name, given in (
                ("stride", self.stride is not None),
                ("window_label", self.window_label is not None),
                ("return_window", self.return_window),
            ):
                if given:
                    raise InputError(f"{name} is of use with window=True only")


class TextClassificationPipeline(Pipeline[TextClassificationOptions]):
    """Texts -> {"label", "score"}, as transformers' pipeline of the same task.

    Takes a str, {"text", "text_pair"}, a list of them, or an iterator. A str gives a list of one
    dictionary, {"text", "text_pair"} a dictionary, a list a list of dictionaries; with top_k each
    dictionary is a list of them. Options: see `TextClassificationOptions`.
    """

    task: ClassVar[Task] = "text-classification"
    options_type: ClassVar[type[Options]] = TextClassificationOptions

    def check_model(self) -> None:
        super().check_model()
        task = self.model.spec.task
        self._check_options(self.options, task)

    @staticmethod
    def _check_options(options: TextClassificationOptions, task: TaskSpec) -> None:
        parse_function(options.function_to_apply, task)
        if options.decide and task.threshold is None:
            raise InputError(
                "decide=True needs a model that stores a decision threshold, and this one does "
                "not; read the scores instead"
            )
        if options.window_label is not None and options.window_label not in task.labels:
            raise InputError(
                f"window_label {options.window_label!r} is none of the model's labels "
                f"{list(task.labels)}"
            )
        if options.decide and task.threshold is not None:
            stored = task.threshold.label
            if options.window_label not in (None, stored):
                raise InputError(
                    f"decide=True looks for the label of the stored threshold, {stored!r}; "
                    f"window_label={options.window_label!r} would look elsewhere"
                )

    def __call__(self, inputs: Any, **options: Any) -> Any:
        if isinstance(inputs, tuple):
            raise InputError(
                "give several texts as a list, and a pair as {'text': ..., 'text_pair': ...}"
            )
        answer = super().__call__(inputs, **options)
        # transformers' rule: a str alone gives a list, unless this very call says top_k.
        return [answer] if isinstance(inputs, str) and "top_k" not in options else answer

    def _item(self, value: Any, position: int) -> Item:
        where = f"text {position}"
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list | tuple):
            # [[text, pair]] is the older way to write a pair, which transformers still takes.
            if len(value[0]) != 2:
                raise InputError(f"{where} must hold two texts, found {len(value[0])}")
            value = {"text": value[0][0], "text_pair": value[0][1]}
        if isinstance(value, Mapping):
            if "text" not in value or not set(value) <= {"text", "text_pair"}:
                raise InputError(
                    f"{where} must have the keys 'text' and, for a pair, 'text_pair'; "
                    f"found {sorted(map(str, value))}"
                )
            pair = value.get("text_pair")
            if pair is not None:
                pair = check_text(pair, f"text_pair of {where}")
            # As in transformers an empty second text is none.
            return Item(position=position, text=check_text(value["text"], where), pair=pair or None)
        if isinstance(value, list | tuple):
            raise InputError(f"{where} is a list; give a pair as {{'text': ..., 'text_pair': ...}}")
        return super()._item(value, position)

    def _steps(self, items: Sequence[Item], options: TextClassificationOptions) -> Steps[list[Any]]:
        task = self.model.spec.task
        self._check_options(options, task)
        if options.window:
            return [
                self._present(reading.scores, reading.own_scores, options, reading)
                for reading in (yield from self._read(items, options))
            ]
        rows = yield Asked(encoded=self._encode(items, options), output="logits")
        return [
            self._present(
                class_scores(row, task, options.function_to_apply),
                class_scores(row, task),
                options,
            )
            for row in rows
        ]

    def _read(
        self, items: Sequence[Item], options: TextClassificationOptions
    ) -> Steps[list[Reading]]:
        for item in items:
            if item.pair is not None:
                raise InputError(f"text {item.position} is a pair; window=True reads single texts")
        task = self.model.spec.task
        label, above = options.window_label, SUSPICION
        if task.threshold is not None and label in (None, task.threshold.label):
            label, above = task.threshold.label, min(above, task.threshold.value)
        looks = None
        if label is not None:
            looks = Looks(label=label, count=options.window_looks, above=above)
        return (
            yield from read_in_windows(
                [item.text for item in items],
                self.tokenizer,
                task,
                max_tokens=self._max_tokens(options),
                stride=options.stride,
                reduce=options.window_reduce,
                looks=looks,
                function=parse_function(options.function_to_apply, task),
                own_function=default_function(task),
            )
        )

    def _present(
        self,
        scores: npt.NDArray[np.float32],
        own_scores: npt.NDArray[np.float32],
        options: TextClassificationOptions,
        reading: Reading | None = None,
    ) -> Any:
        """One text's answer from its scores [L], and from those of the model's own function."""
        task = self.model.spec.task
        if options.top_k == TOP_LABEL:
            answer: Any = top_label(scores, task)
            rows = [answer]
        else:
            answer = rows = ranked_labels(scores, task, options.top_k)
        if options.decide:
            decision = decide(own_scores, task)
            for row in rows:
                row["decision"] = decision
        if reading is not None and options.return_window:
            for row in rows:
                row["start"], row["end"] = reading.span(task.labels.index(row["label"]))
        return answer
