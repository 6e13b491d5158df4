"""What predict does once its options are read: rows in, answers out, a batch at a time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck import data
from limbeck.cli.answers import Sheet, open_sheet
from limbeck.cli.batches import in_batches
from limbeck.cli.messages import say
from limbeck.cli.stdin import stdin_rows
from limbeck.errors import InputError

if TYPE_CHECKING:
    from limbeck.pipeline import Pipeline
    from limbeck.runtimes import Model


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of one call, as the command line gave them."""

    model: str
    texts: tuple[str, ...] = ()
    source: str | None = None
    input_format: data.Format | None = None
    text_column: str | None = None
    pair_column: str | None = None
    context: str | None = None
    keep: tuple[str, ...] = ()
    output: Path | None = None
    output_format: str | None = None
    task: str | None = None
    top_k: int | None = None
    window: bool = False
    stride: int | None = None
    aggregation: str | None = None
    precision: str = "auto"
    threads: int | None = None
    batch_size: int = 64


def predict(request: Request) -> None:
    """Answer every text of the request.

    Raises:
        InputError: the request makes no sense, or rows were left out (told of already).
        LimbeckError: the model cannot be loaded.
    """
    _check(request)
    began = time.perf_counter()
    bad = _Teller()
    answer, task = _answering(request)
    rows = _rows(request, bad, task)
    count = 0
    with open_sheet(request.output, request.output_format, task, request.keep) as sheet:
        count = _answer_all(rows, answer, sheet, request.batch_size)
    if request.output is not None:
        seconds = time.perf_counter() - began
        say(f"{count} answers in {request.output}, {seconds:.1f} s")
    if bad.count:
        raise InputError(f"{bad.count} rows could not be read and have no answer")


def _answer_all(
    rows: Iterator[data.Row],
    answer: Callable[[Sequence[data.Row]], list[Any]],
    sheet: Sheet,
    batch_size: int,
) -> int:
    count = 0
    for batch in in_batches(rows, batch_size):
        for row, one in zip(batch, answer(batch), strict=True):
            sheet.write(row, one)
        sheet.flush()
        count += len(batch)
    return count


def _check(request: Request) -> None:
    if request.texts and request.source is not None:
        raise InputError("give texts as arguments or --input, not both")
    if request.context is not None and not request.texts:
        raise InputError("--context is for questions given as arguments; a file has a column of it")
    if request.texts and (request.text_column or request.pair_column or request.keep):
        raise InputError("texts given as arguments have no columns")
    if request.batch_size < 1:
        raise InputError(f"--batch-size must be positive, found {request.batch_size}")
    if request.top_k is not None and request.top_k < 0:
        raise InputError(f"--top-k must be 0 (all labels) or more, found {request.top_k}")
    if request.stride is not None and not request.window:
        raise InputError("--stride is of use with --window only")
    if not request.texts and request.source is None and sys.stdin.isatty():
        raise InputError("no texts: give them as arguments, with --input, or on standard input")


class _Teller:
    """Tells of bad rows on standard error, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, message: str) -> None:
        self.count += 1
        say(f"limbeck: {message}")


def _rows(request: Request, report: Callable[[str], None], task: str) -> Iterator[data.Row]:
    if request.texts:
        return (
            data.Row(text=text, pair=request.context, line=n)
            for n, text in enumerate(request.texts, start=1)
        )
    text_column, pair_column = request.text_column, request.pair_column
    if task == "question-answering":
        text_column, pair_column = text_column or "question", pair_column or "context"
    if request.source is None or request.source == "-":
        return stdin_rows(
            request.input_format,
            report,
            text_column=text_column,
            pair_column=pair_column,
            keep=request.keep,
        )
    return data.read_rows(
        request.source,
        text_column=text_column,
        pair_column=pair_column,
        keep=request.keep,
        report=report,
        format=request.input_format,
    )


def _answering(request: Request) -> tuple[Callable[[Sequence[data.Row]], list[Any]], str]:
    """The model behind a function from rows to answers, and its task."""
    from limbeck.pipeline import pipeline
    from limbeck.runtimes import load

    model = load(
        request.model, precision=request.precision, threads=request.threads, task=request.task
    )
    task = model.spec.task.task
    pipe: Pipeline[Any] = pipeline(task, model, **_options(request, model))

    def answer(rows: Sequence[data.Row]) -> list[Any]:
        if task == "question-answering":
            asked = [{"question": row.text, "context": row.pair} for row in rows]
            # a list of one question gives its answer alone, as transformers has it
            return [pipe(asked[0])] if len(asked) == 1 else list(pipe(asked))
        if request.pair_column is None:
            return list(pipe([row.text for row in rows]))
        return list(pipe([{"text": row.text, "text_pair": row.pair} for row in rows]))

    return answer, task


def _options(request: Request, model: Model) -> dict[str, Any]:
    task = model.spec.task
    options: dict[str, Any] = {}
    if task.task == "text-classification":
        if request.top_k is not None:
            options["top_k"] = request.top_k or None
        if task.threshold is not None:
            options["decide"] = True
    elif task.task == "question-answering":
        if request.top_k is not None:
            options["top_k"] = request.top_k
        if request.texts and request.context is None:
            raise InputError(
                "a question needs its context: give --context, or --input with columns question "
                "and context"
            )
    elif request.top_k is not None:
        raise InputError(
            "--top-k is for text-classification and question-answering, and this model is for "
            f"{task.task}"
        )
    if request.context is not None and task.task != "question-answering":
        raise InputError(f"--context is for question-answering, and this model is for {task.task}")
    if request.window and task.task != "text-classification":
        raise InputError(f"--window is for text-classification, and this model is for {task.task}")
    if request.window:
        options["window"] = True
        if request.stride is not None:
            options["stride"] = request.stride
    if request.aggregation is not None:
        if task.task != "token-classification":
            raise InputError(
                f"--aggregation is for token-classification, and this model is for {task.task}"
            )
        options["aggregation_strategy"] = request.aggregation
    if request.pair_column is not None and task.task not in (
        "text-classification",
        "question-answering",
    ):
        raise InputError(
            f"--pair-column is for text-classification and question-answering, not for {task.task}"
        )
    return options
