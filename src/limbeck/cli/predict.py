"""limbeck predict: a model and texts -> answers, streamed in order."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class OutputFormat(StrEnum):
    """How answers are written."""

    jsonl = "jsonl"
    csv = "csv"
    table = "table"


class InputFormat(StrEnum):
    """How standard input, or a file whose name does not tell, is read."""

    lines = "lines"
    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="An artifact, a Hugging Face directory, or a hub name."
        ),
    ],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Texts; without any, --input is read."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--input", "-i", help="CSV, TSV, JSONL, Parquet, .txt, or - for stdin."),
    ] = None,
    input_format: Annotated[
        InputFormat | None,
        typer.Option(help="Default: by the file's name; for stdin JSONL if it begins with {."),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column with the text; default: by its usual names.")
    ] = None,
    pair_column: Annotated[
        str | None,
        typer.Option(help="Column with a second text, for models of pairs; contexts: 'context'."),
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Text in which questions given as TEXT find their answers.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Column to hand through to the answers; can be given again."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the answers: there when whole, or not."),
    ] = None,
    output_format: Annotated[
        OutputFormat | None,
        typer.Option("--format", "-f", help="Default: table on a terminal, else jsonl."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Default: what the model was made for.")] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Give this many labels, best first; 0 for all.")
    ] = None,
    window: Annotated[
        bool, typer.Option("--window", help="Read long texts whole, in overlapping windows.")
    ] = False,
    stride: Annotated[
        int | None, typer.Option(help="Tokens that neighbouring windows share.")
    ] = None,
    aggregation: Annotated[
        str | None,
        typer.Option(help="For token classification: none, simple, first, average or max."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="auto, fp32, bf16 or int8; auto takes the model as stored.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Default: the CPUs that this process may use.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(help="Most texts in one batch; a slow stream is answered sooner.")
    ] = 64,
) -> None:
    """Answer texts from arguments, a file or standard input.

    Answers come in the order of the texts, each with the line where its text begins. A row that
    cannot be read is named on standard error and left out, and the exit code is then 2. A model
    that stores a decision threshold also says "decision".

    Example: limbeck predict ./demo --input listings.csv --window --output answers.jsonl

    Example: limbeck predict ./qa "Who wrote it?" --context "It was written by Ada in 1843."
    """
    from limbeck.cli.predicting import Request, predict

    predict(
        Request(
            model=model,
            texts=tuple(texts or ()),
            source=source,
            input_format=None if input_format is None else input_format.value,
            text_column=text_column,
            pair_column=pair_column,
            context=context,
            keep=tuple(keep or ()),
            output=output,
            output_format=None if output_format is None else output_format.value,
            task=task,
            top_k=top_k,
            window=window,
            stride=stride,
            aggregation=aggregation,
            precision=precision,
            threads=threads,
            batch_size=batch_size,
        )
    )
