"""limbeck evaluate: a model and labelled rows -> metrics, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[
        str,
        typer.Argument(
            help="An artifact, a Hugging Face directory, or a hub name; with --suite a directory "
            "that holds a model for each task."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", "-d", help="CSV, JSONL or Parquet with labels; SQuAD's JSON; CoNLL columns."
        ),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="glue: the tasks of a directory, and their macro score.")
    ] = None,
    suite_data: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="With --suite: where its data lies.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", "-a", help="Compare with this model, row by row."),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="With --against: exit with 3 if more points of the metric are lost."),
    ] = None,
    max_slice_drop: Annotated[
        float | None,
        typer.Option(
            help="The same for every slice by class and length that has 10 rows; others are named."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="The end of the interval decides, not the estimate.")
    ] = False,
    task: Annotated[str | None, typer.Option(help="Default: what the model was made for.")] = None,
    text_column: Annotated[
        str | None,
        typer.Option(
            help="Column with the text; default: by its usual names. CoNLL: its number, 1 is the "
            "first."
        ),
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="Column with a second text, for models of pairs.")
    ] = None,
    label_column: Annotated[
        str,
        typer.Option(
            help="Column with what is right; several labels: a list, or a|b. CoNLL: its number; "
            "else the last, of .conllu UPOS."
        ),
    ] = "label",
    window: Annotated[
        bool, typer.Option("--window", help="Read long texts whole, in overlapping windows.")
    ] = False,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Name bad rows and leave them out, and go on.")
    ] = False,
    rows: Annotated[int | None, typer.Option(help="Only the first so many rows.", min=1)] = None,
    resamples: Annotated[
        int, typer.Option(help="Draws for the 95 % intervals (paired bootstrap).", min=1)
    ] = 1000,
    precision: Annotated[
        str, typer.Option(help="auto, fp32, bf16 or int8; auto takes the model as stored.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Default: the CPUs that this process may use.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> None:
    """Measure how good a model's answers are, on labelled rows.

    Metrics are the field's: accuracy, F1 and MCC; F1 of labels; Spearman and Pearson; F1 and exact
    match as SQuAD counts; F1 of entities as the CoNLL evaluation does. Intervals are those of the
    bootstrap, for two models on the same draws.

    --suite glue reads the GLUE site's files, such as DIR/CoLA/dev.tsv, or the hub's columns, such
    as DIR/cola/validation.jsonl. A task that cannot be scored is named, the others are scored, and
    the exit code is 2.

    Example: limbeck evaluate ./artifact --data dev.jsonl

    Example: limbeck evaluate ./artifact --data dev.jsonl --against ./teacher --max-drop 1.0

    Example: limbeck evaluate ./models --suite glue ./glue
    """
    from limbeck.cli.evaluating import Request, evaluate, evaluate_suite

    request = Request(
        model=model,
        data=data,
        against=against,
        max_drop=max_drop,
        max_slice_drop=max_slice_drop,
        strict=strict,
        task=task,
        text_column=text_column,
        pair_column=pair_column,
        label_column=label_column,
        window=window,
        lenient=lenient,
        rows=rows,
        resamples=resamples,
        precision=precision,
        threads=threads,
        json=json,
    )
    if suite is not None or suite_data is not None:
        evaluate_suite(request, suite, suite_data)
    else:
        evaluate(request)
