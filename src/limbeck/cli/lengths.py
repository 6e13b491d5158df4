"""inspect --lengths: a file of texts -> percentiles and a proposed maximum length."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import typer

from limbeck import data
from limbeck.cli.messages import say
from limbeck.spec import EncoderSpec
from limbeck.text import LengthReport, length_statistics

_TEXTS_AT_A_TIME = 256
# Without a model: BERT-base's shape, and one token for every 8 letters begun of a word and for
# every other sign. On English prose that is within 2 % of what BERT's own tokenizer counts.
_USUAL = EncoderSpec(
    architecture="bert", layers=12, hidden=768, heads=12, ffn=3072, vocab=30522, positions=512
)
_WORD = re.compile(r"\w+|[^\w\s]")
_LETTERS_A_TOKEN = 8

Measure = Callable[[Sequence[data.Row]], list[int]]


def describe_lengths(
    path: Path,
    model: str | None,
    *,
    text_column: str | None,
    pair_column: str | None,
    max_truncated: float,
    as_json: bool,
) -> None:
    """Print the report; see `inspect.command`.

    Raises:
        InputError: the file or a row of it cannot be read, or an option is out of range.
        LimbeckError: the model cannot be read.
    """
    rows = data.read_rows(path, text_column=text_column, pair_column=pair_column)
    if model is None:
        say("no --model: lengths are estimated (English, BERT's vocabulary, BERT-base's shape)")
    measure, encoder, own_maximum = _measure(model)
    report = length_statistics(_lengths(rows, measure), encoder, max_truncated=max_truncated)
    if as_json:
        typer.echo(json.dumps({"estimated": model is None, **asdict(report)}))
    else:
        typer.echo(_table(report, own_maximum, encoder.max_tokens))


def _lengths(rows: Iterator[data.Row], measure: Measure) -> Iterator[int]:
    while batch := list(islice(rows, _TEXTS_AT_A_TIME)):
        yield from measure(batch)


def _measure(model: str | None) -> tuple[Measure, EncoderSpec, int | None]:
    """How to count tokens, whose cost to reckon with, and where the model cuts now."""
    if model is None:
        return _estimate, _USUAL, None
    from limbeck.runtimes import open_source

    source = open_source(model)
    tokenizer = source.tokenizer()

    def count(rows: Sequence[data.Row]) -> list[int]:
        texts = [row.text for row in rows]
        pairs = [row.pair for row in rows if row.pair is not None]
        found = tokenizer.encode(texts, pairs or None, max_tokens=None)
        return [len(one) for one in found]

    return count, source.spec.encoder, source.spec.task.max_tokens


def _estimate(rows: Sequence[data.Row]) -> list[int]:
    return [
        2
        + _count(row.text)
        + (0 if row.pair is None else 1 + _count(row.pair))  # one more separator
        for row in rows
    ]


def _count(text: str) -> int:
    return sum(-(-len(word) // _LETTERS_A_TOKEN) for word in _WORD.findall(text))


def _table(report: LengthReport, own_maximum: int | None, limit: int) -> str:
    lines = [
        f"{report.texts} texts, mean {report.mean:.1f} tokens, longest {report.longest}",
        "percentiles  " + "  ".join(f"{p}%: {length}" for p, length in report.percentiles),
        "",
        "max tokens   texts cut   tokens read   cost saved",
    ]
    for row in report.rows:
        note = ""
        if row.max_tokens == report.proposal.max_tokens:
            note = "  <- proposed"
        elif row.max_tokens == own_maximum:
            note = "  <- as the model is set"
        lines.append(
            f"{row.max_tokens:>10}   {row.truncated:>9.2%}   {row.tokens_kept:>11.2%}   "
            f"{row.cost_saved:>10.1%}{note}"
        )
    chosen = report.proposal
    lines.append("")
    if chosen.truncated <= report.max_truncated:
        lines.append(
            f"proposal: max_tokens {chosen.max_tokens} cuts {chosen.truncated:.2%} of the texts "
            f"(at most {report.max_truncated:.2%} allowed) and saves {chosen.cost_saved:.1%} of "
            f"the arithmetic against {limit}"
        )
    else:
        lines.append(
            f"proposal: the model's own maximum of {limit}; it still cuts {chosen.truncated:.2%} "
            "of the texts, so read those in windows (predict --window)"
        )
    return "\n".join(lines)
