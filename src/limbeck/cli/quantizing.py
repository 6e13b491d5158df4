"""What quantize does once its options are read: candidates in, a table and an artifact out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import typer

from limbeck import data as reading
from limbeck import evaluation, huggingface, runtimes
from limbeck.cli.messages import say, say_own
from limbeck.data import LeftOut
from limbeck.engine import OBSERVERS
from limbeck.errors import InputError
from limbeck.evaluation import Limits
from limbeck.forge.checkpoint import as_safetensors
from limbeck.forge.quantize import search as searching
from limbeck.forge.quantize.search import Candidate, Outcome, Preference, Tried, Trim
from limbeck.forge.quantize.smooth import check_alpha


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of one call, as the command line gave them."""

    model: str
    data: Path
    out: Path
    max_drop: float = 0.5
    max_slice_drop: float | None = None
    strict: bool = False
    static: bool = False
    observer: str = "mse"
    smooth: float | None = None
    search: bool = False
    prefer: str = "accuracy"
    calibrate: Path | None = None
    texts_at_most: int = 64
    trim_vocabulary: Path | None = None
    keep_share: float = 1.0
    task: str | None = None
    max_tokens: int | None = None
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str = "label"
    rows: int | None = None
    lenient: bool = False
    threads: int | None = None


def candidates(request: Request, trained: bool = False) -> tuple[Candidate, ...]:
    """What is to be tried.

    Args:
        trained: the model brings static ranges: used where nothing else is asked for.

    Raises:
        InputError: options that contradict one another or make no sense.
    """
    if request.observer not in OBSERVERS:
        raise InputError(f"observer {request.observer!r} is not one of {', '.join(OBSERVERS)}")
    if request.smooth is not None:
        check_alpha(request.smooth)
    if request.search:
        if request.static:
            raise InputError("--search tries static ranges too; leave out --static")
        alpha = 0.5 if request.smooth is None else request.smooth
        return searching.all_candidates(alpha, trained=trained)
    observer: str | None = request.observer if request.static else None
    if trained and not request.static and request.smooth is None:
        observer = searching.TRAINED
    return (Candidate(observer=observer, smooth=request.smooth),)


def quantize(request: Request) -> None:
    """Try the candidates and keep the best.

    Raises:
        InputError: the request makes no sense, or rows are bad.
        GateError: every candidate lost more than it may.
    """
    candidates(request)  # options that contradict one another are said before a model is opened
    if request.prefer not in get_args(Preference):
        raise InputError(f"--prefer is accuracy or speed, not {request.prefer!r}")
    limits = Limits(
        max_drop=request.max_drop, max_slice_drop=request.max_slice_drop, strict=request.strict
    )
    with as_safetensors(huggingface.resolve(request.model)) as source:
        spec = runtimes.open_source(source, request.task).spec
        wanted = candidates(request, searching.brings_ranges(source))
    left_out = LeftOut(say_own)
    examples = evaluation.read_examples(
        request.data,
        evaluation.problem_of(spec.task),
        evaluation.Columns(
            text=request.text_column, pair=request.pair_column, label=request.label_column
        ),
        report=left_out if request.lenient else None,
        at_most=request.rows,
    )
    left_out.close()
    texts: Sequence[str] = ()
    if any(one.needs_texts for one in wanted):
        if request.calibrate is None:
            texts, examples = searching.texts_apart(examples, request.texts_at_most)
        else:
            found = reading.read_rows(request.calibrate, text_column=request.text_column)
            texts = [row.text for row in itertools.islice(found, request.texts_at_most)]
            if not texts:
                raise InputError(f"{request.calibrate} has no texts to calibrate with")
    outcome = searching.quantize(
        request.model,
        request.out,
        examples,
        wanted,
        limits=limits,
        calibrate=texts,
        prefer=cast(Preference, request.prefer),
        trim=_trim(request),
        task=request.task,
        max_tokens=request.max_tokens,
        threads=request.threads,
    )
    _show(outcome, len(texts))


def _trim(request: Request) -> Trim | None:
    if request.trim_vocabulary is None:
        if request.keep_share != 1.0:
            raise InputError("--keep-share goes with --trim-vocabulary")
        return None
    found = reading.read_rows(
        request.trim_vocabulary, text_column=request.text_column, pair_column=request.pair_column
    )
    texts = [text for row in found for text in (row.text, row.pair) if text is not None]
    return Trim(texts=texts, keep_share=request.keep_share)


def _show(outcome: Outcome, texts: int) -> None:
    from rich.console import Console
    from rich.table import Table

    for warning in (*outcome.exported.warnings, *outcome.chosen.warnings):
        say(f"limbeck: {warning}")
    best = outcome.chosen.comparison
    assert best is not None
    title = f"{best.rows} rows, fp32 {best.metric} {best.first:.4f}"
    table = Table("int8", best.metric, "lost, points", "95 % interval", "MB", "s", "", title=title)
    for one in outcome.tried:
        table.add_row(one.candidate.name, *_figures(one, one is outcome.chosen))
    Console().print(table)
    cut = outcome.trimmed
    if cut is not None:
        typer.echo(
            f"vocabulary: {cut.entries} of {cut.entries_before} entries, {cut.mb:.1f} of "
            f"{cut.mb_before:.1f} MB; {cut.changed:.2%} of the rows' tokens are split otherwise, "
            f"{cut.unknown} more are unknown"
        )
    if texts:
        typer.echo(f"activations measured on {texts} texts")
    made = outcome.exported
    typer.echo(
        f"{made.directory}  {made.size_bytes / 1e6:.1f} MB  {outcome.chosen.candidate.name}  "
        f"{made.digest}"
    )


def _figures(one: Tried, chosen: bool) -> tuple[str, ...]:
    verdict = "chosen" if chosen else "passes" if one.passed else "fails"
    if one.comparison is None:
        return "-", "-", "-", "-", f"{one.seconds:.0f}", verdict
    drop = one.comparison.drop
    return (
        f"{one.comparison.second:.4f}",
        f"{100 * drop.value:+.2f}",
        f"{100 * drop.low:+.2f} to {100 * drop.high:+.2f}",
        f"{one.size_bytes / 1e6:.1f}",
        f"{one.seconds:.0f}",
        verdict,
    )
