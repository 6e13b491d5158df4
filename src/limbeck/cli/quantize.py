"""limbeck quantize: a model and labelled rows -> the int8 artifact that loses the least."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[
        str,
        typer.Argument(help="Hugging Face or sentence-transformers directory, or a hub name."),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            "-d",
            help="Labelled rows to measure on: CSV, JSONL or Parquet; SQuAD's JSON; CoNLL.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of the artifact.")],
    max_drop: Annotated[
        float, typer.Option(help="Most points of the metric that may be lost against fp32.")
    ] = 0.5,
    max_slice_drop: Annotated[
        float | None,
        typer.Option(
            help="The same for every slice by class and length that has 10 rows; others are named."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="The end of the interval decides, not the estimate.")
    ] = False,
    static: Annotated[
        bool,
        typer.Option(
            "--static", help="Static ranges of activations: faster, less accurate than dynamic."
        ),
    ] = False,
    observer: Annotated[
        str, typer.Option(help="How a static range is chosen: minmax, percentile or mse.")
    ] = "mse",
    smooth: Annotated[
        float | None,
        typer.Option(
            help="Move outliers of activations into weights and biases first; 0.5 is usual."
        ),
    ] = None,
    search: Annotated[
        bool,
        typer.Option(
            "--search", help="Try dynamic, and static by each observer, plain and smoothed."
        ),
    ] = False,
    prefer: Annotated[
        str,
        typer.Option(help="Of what passes: accuracy, or speed (static if one of them passes)."),
    ] = "accuracy",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Texts to measure activations on; default: up to a fifth of --data, which is then "
            "not measured on."
        ),
    ] = None,
    texts_at_most: Annotated[int, typer.Option(help="How many such texts are read.", min=1)] = 64,
    trim_vocabulary: Annotated[
        Path | None,
        typer.Option(
            help="Texts such as will come: word pieces that they lack are left out, and the file "
            "is smaller (WordPiece)."
        ),
    ] = None,
    keep_share: Annotated[
        float, typer.Option(help="Share of those texts' tokens that stay; the rarest pieces go.")
    ] = 1.0,
    task: Annotated[
        str | None, typer.Option(help="What the model answers; default: as its config says.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Where texts are cut; default: as the model's files say.")
    ] = None,
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
    rows: Annotated[int | None, typer.Option(help="Only the first so many rows.", min=1)] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Name bad rows and leave them out, and go on.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(help="Default: the CPUs that this process may use.")
    ] = None,
) -> None:
    """Convert a model to int8 and hold it against fp32 on labelled rows.

    Exit code 3, and no artifact, where it loses more than --max-drop.

    Example: limbeck quantize ./student --data dev.jsonl --out ./artifact

    Example: limbeck quantize ./student --data dev.jsonl --search --prefer speed --out ./artifact
    """
    from limbeck import forge

    forge.require("torch", "transformers")
    from limbeck.cli.quantizing import Request, quantize

    quantize(
        Request(
            model=model,
            data=data,
            out=out,
            max_drop=max_drop,
            max_slice_drop=max_slice_drop,
            strict=strict,
            static=static,
            observer=observer,
            smooth=smooth,
            search=search,
            prefer=prefer,
            calibrate=calibrate,
            texts_at_most=texts_at_most,
            trim_vocabulary=trim_vocabulary,
            keep_share=keep_share,
            task=task,
            max_tokens=max_tokens,
            text_column=text_column,
            pair_column=pair_column,
            label_column=label_column,
            rows=rows,
            lenient=lenient,
            threads=threads,
        )
    )
