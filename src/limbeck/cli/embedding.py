"""What embed does once its options are read: texts in, vectors out, some hundred at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck import data
from limbeck.cli.messages import console, say
from limbeck.cli.stdin import stdin_rows
from limbeck.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from limbeck.pipeline import Asked, Pipeline
    from limbeck.serve.cache.writing import Writing

# As many as a pipeline sorts by length at a time.
_TEXTS = 512


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of one call, as the command line gave them."""

    source: str
    model: str
    out: Path
    text_column: str | None = None
    input_format: data.Format | None = None
    max_length: int | None = None
    normalize: bool = False
    precision: str = "auto"
    threads: int | None = None
    batch_size: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Of the pipeline."""
        options: dict[str, Any] = {"normalize_embeddings": self.normalize}
        if self.max_length is not None:
            options["max_length"] = self.max_length
        return options


def embed(request: Request) -> None:
    """Compute the vector of every text of the request.

    Raises:
        InputError: the request makes no sense, or rows were left out (told of already).
        LimbeckError: the model cannot be loaded.
    """
    from limbeck.pipeline import pipeline
    from limbeck.serve.cache.keys import Keys
    from limbeck.serve.cache.writing import check_target, writing

    check_target(request.out)
    bad: list[str] = []

    def report(message: str) -> None:
        bad.append(message)
        say(f"limbeck: {message}")

    began = time.perf_counter()
    rows = _rows(request, report)
    pipe = pipeline(
        "sentence-embedding",
        request.model,
        precision=request.precision,
        threads=request.threads,
        batch_size=request.batch_size,
        **request.options,
    )
    spec = pipe.model.spec
    width = spec.encoder.hidden * len(spec.task.pooling)
    keys = Keys(pipe)
    with _counter() as count, writing(request.out, keys, width) as file:
        read = _all(rows, pipe, keys.under(), file, count)
        written = len(file)
    if not written:
        raise InputError(f"no text could be read from {request.source}; nothing was written")
    seconds = time.perf_counter() - began
    say(f"{written} vectors of {read} texts in {request.out}, {seconds:.1f} s")
    if bad:
        raise InputError(f"{len(bad)} rows could not be read and have no vector")


def _rows(request: Request, report: Callable[[str], None]) -> Iterator[data.Row]:
    if request.source == "-":
        return stdin_rows(request.input_format, report, text_column=request.text_column)
    return data.read_rows(
        request.source, text_column=request.text_column, report=report, format=request.input_format
    )


def _all(
    rows: Iterator[data.Row],
    pipe: Pipeline[Any],
    key_of: Callable[[str], bytes],
    file: Writing,
    count: Callable[[int], None],
) -> int:
    """All texts into the file, each once. Returns how many were read."""
    read = 0
    while batch := list(islice(rows, _TEXTS)):
        read += len(batch)
        new = {key_of(row.text): row.text for row in batch}
        new = {key: text for key, text in new.items() if key not in file}
        if new:
            vectors, tokens = _vectors(pipe, list(new.values()))
            file.add(list(new), vectors, tokens)
        count(read)
    return read


def _vectors(
    pipe: Pipeline[Any], texts: list[str]
) -> tuple[list[npt.NDArray[np.float32]], list[int]]:
    """The vector of each text, and its number of tokens."""
    from limbeck.pipeline import follow
    from limbeck.pipeline.batching import run

    tokens: list[int] = []

    def compute(asked: Asked) -> list[npt.NDArray[np.float32]]:
        tokens.extend(len(one) for one in asked.encoded)
        return run(
            pipe.model,
            asked.encoded,
            output=asked.output,
            batch_size=pipe.options.batch_size,
            max_batch_tokens=pipe.options.max_batch_tokens,
        )

    return follow(pipe.steps(texts), compute), tokens


@contextmanager
def _counter() -> Iterator[Callable[[int], None]]:
    """On a terminal, how many texts were read, and how many a second; silence elsewhere."""
    screen = console()
    if not screen.is_terminal:
        yield lambda _: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task("0 texts", total=None)
        began = time.perf_counter()

        def show(read: int) -> None:
            speed = read / max(time.perf_counter() - began, 1e-9)
            progress.update(task, description=f"{read} texts, {speed:.0f}/s")

        yield show
