"""question-answering: a question and a context -> the part of the context that answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from limbeck.errors import InputError
from limbeck.pipeline.base import Item, Options, Pipeline, check_integer
from limbeck.pipeline.steps import Asked, Steps
from limbeck.spec import Task
from limbeck.tasks import question_answering
from limbeck.text import check_text

_MAX_SEQ_LEN = 384


@dataclass(frozen=True, kw_only=True)
class QuestionAnsweringOptions(Options):
    """Beside `batch_size` and `max_batch_tokens` of every pipeline (contexts are never cut):

    top_k: give up to so many answers, best first; 1 gives one dictionary instead of a list.
    doc_stride: tokens that neighbouring windows of a long context share; None for 128, or half of
        max_seq_len where that is less.
    max_answer_len: longest answer in tokens.
    max_seq_len: longest window, question and special tokens included; None for 384 or the model's
        maximum.
    max_question_len: accepted because calls written for transformers give it. Its fast tokenizers
        do not cut questions, and neither does limbeck.
    handle_impossible_answer: "" may be an answer.
    align_to_words: widen answers to whole words.
    """

    top_k: int = 1
    doc_stride: int | None = None
    max_answer_len: int = 15
    max_seq_len: int | None = None
    max_question_len: int = 64
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("top_k", "max_answer_len", "max_seq_len", "max_question_len", "doc_stride"):
            value = getattr(self, name)
            lowest = 0 if name == "doc_stride" else 1
            if value is None and name in ("max_seq_len", "doc_stride"):
                continue
            check_integer(name, value, lowest)


class QuestionAnsweringPipeline(Pipeline[QuestionAnsweringOptions]):
    """Questions with their contexts -> answers, as the pipeline of transformers 4.57.

    Takes `question=` and `context=` (each a str or a list; one context serves several questions), a
    dictionary {"question", "context"}, or a list or an iterator of such. An answer is a dictionary
    {"score", "start", "end", "answer"}; with `top_k` above 1 a list of up to so many. A list of one
    question gives its answer, not a list of it. Options: see `QuestionAnsweringOptions`.
    """

    task: ClassVar[Task] = "question-answering"
    options_type: ClassVar[type[Options]] = QuestionAnsweringOptions

    def __call__(
        self,
        inputs: Any = None,
        *,
        question: str | Sequence[str] | None = None,
        context: str | Sequence[str] | None = None,
        **options: Any,
    ) -> Any:
        if inputs is None:
            inputs = _paired(question, context)
        elif question is not None or context is not None:
            raise InputError("give question= and context=, or dictionaries with both, not both")
        return super().__call__(inputs, **options)

    def _collect(self, answers: list[Any]) -> Any:
        return answers[0] if len(answers) == 1 else answers

    def _item(self, value: Any, position: int) -> Item:
        if not isinstance(value, Mapping) or not {"question", "context"} <= set(value):
            raise InputError(
                f'input {position} must be a dictionary {{"question", "context"}}, found '
                f"{sorted(map(str, value)) if isinstance(value, Mapping) else type(value).__name__}"
            )
        question = check_text(value["question"], f"question {position}")
        context = check_text(value["context"], f"context {position}")
        if not question or not context:
            raise InputError(f"the {'context' if question else 'question'} {position} is empty")
        return Item(position=position, text=question, pair=context)

    def _steps(self, items: Sequence[Item], options: QuestionAnsweringOptions) -> Steps[list[Any]]:
        windows = [
            self.tokenizer.question_windows(
                item.text,
                item.pair or "",
                max_tokens=self._longest(options),
                stride=options.doc_stride,
            )
            for item in items
        ]
        flat = [window for of_question in windows for window in of_question]
        logits = iter((yield Asked(encoded=flat, output="logits")))
        answers: list[Any] = []
        for item, of_question in zip(items, windows, strict=True):
            found = question_answering(
                [next(logits) for _ in of_question],
                of_question,
                item.pair or "",
                top_k=options.top_k,
                max_answer_len=options.max_answer_len,
                handle_impossible_answer=options.handle_impossible_answer,
                align_to_words=options.align_to_words,
            )
            answers.append(found[0] if len(found) == 1 else found)
        return answers

    def _longest(self, options: QuestionAnsweringOptions) -> int:
        limit = self.model.spec.encoder.max_tokens
        if options.max_seq_len is None:
            return min(_MAX_SEQ_LEN, self.model.spec.task.max_tokens, limit)
        if options.max_seq_len > limit:
            raise InputError(
                f"max_seq_len {options.max_seq_len} is more than the {limit} tokens that this "
                "model has positions for"
            )
        return options.max_seq_len


def _paired(
    question: str | Sequence[str] | None, context: str | Sequence[str] | None
) -> dict[str, str] | list[dict[str, str]]:
    if question is None or context is None:
        raise InputError("a question needs its context: give question= and context=")
    if isinstance(question, str) and isinstance(context, str):
        return {"question": question, "context": context}
    questions = [question] if isinstance(question, str) else list(question)
    contexts = [context] * len(questions) if isinstance(context, str) else list(context)
    if len(questions) != len(contexts):
        raise InputError(f"{len(questions)} questions but {len(contexts)} contexts")
    return [{"question": q, "context": c} for q, c in zip(questions, contexts, strict=True)]
