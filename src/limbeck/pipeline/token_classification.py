"""token-classification: texts -> tags of tokens, or entities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from limbeck.errors import InputError
from limbeck.pipeline.base import Item, Options, Pipeline
from limbeck.pipeline.steps import Asked, Steps
from limbeck.spec import Task
from limbeck.tasks import token_classification
from limbeck.tasks.token_classification import parse_aggregation


@dataclass(frozen=True, kw_only=True)
class TokenClassificationOptions(Options):
    """Beside the options of every pipeline:

    aggregation_strategy: "none", "simple", "first", "average" or "max"; see
        `limbeck.tasks.token_classification`.
    ignore_labels: tags to leave out; None for ["O"].
    stride: read long texts whole, in windows that share this many tokens; needs an aggregation
        strategy other than "none". Without it, texts are cut.
    """

    aggregation_strategy: str = "none"
    ignore_labels: Sequence[str] | None = None
    stride: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        aggregation = parse_aggregation(self.aggregation_strategy)
        if self.stride is not None and aggregation == "none":
            raise InputError(
                "stride reads a text in overlapping windows, whose tokens cannot be given one by "
                "one; choose an aggregation_strategy other than 'none'"
            )
        if isinstance(self.ignore_labels, str):
            raise InputError("ignore_labels must be a list of labels")


class TokenClassificationPipeline(Pipeline[TokenClassificationOptions]):
    """Texts -> lists of tags or entities, as transformers' pipeline of the same task.

    Takes a str, a list or an iterator of str; gives a list of dictionaries for each. Options: see
    `TokenClassificationOptions`.
    """

    task: ClassVar[Task] = "token-classification"
    options_type: ClassVar[type[Options]] = TokenClassificationOptions

    def _steps(
        self, items: Sequence[Item], options: TokenClassificationOptions
    ) -> Steps[list[Any]]:
        tokenizer = self.tokenizer
        if options.stride is None:
            windows = [[one] for one in self._encode(items, options)]
        else:
            maximum = self._max_tokens(options)
            windows = [
                tokenizer.windows(item.text, max_tokens=maximum, stride=options.stride)
                for item in items
            ]
        flat = [window for of_text in windows for window in of_text]
        logits = iter((yield Asked(encoded=flat, output="logits")))
        return [
            token_classification(
                [next(logits) for _ in of_text],
                of_text,
                item.text,
                self.model.spec.task,
                tokenizer,
                aggregation_strategy=options.aggregation_strategy,
                ignore_labels=("O",) if options.ignore_labels is None else options.ignore_labels,
            )
            for item, of_text in zip(items, windows, strict=True)
        ]
