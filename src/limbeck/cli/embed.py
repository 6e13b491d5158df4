"""limbeck embed: a file of texts -> their vectors, for a server that then need not compute them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.predict import InputFormat


def command(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Texts: CSV, TSV, JSONL, Parquet, .txt, or - (stdin)."),
    ],
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="An artifact, a Hugging Face directory, or a hub name."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="File for the vectors: there when whole, or not."),
    ],
    text_column: Annotated[
        str | None, typer.Option(help="Column with the text; default: by its usual names.")
    ] = None,
    input_format: Annotated[
        InputFormat | None,
        typer.Option(help="Default: by the file's name; for stdin JSONL if it begins with {."),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens after which texts are cut; default: the model's own.")
    ] = None,
    normalize: Annotated[
        bool,
        typer.Option("--normalize", help="Scale to length 1, even if the model does not ask so."),
    ] = False,
    precision: Annotated[
        str, typer.Option(help="auto, fp32, bf16 or int8; auto takes the model as stored.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Default: the CPUs that this process may use.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Most texts in one batch; default: by tokens alone.")
    ] = None,
) -> None:
    """Compute the vectors of a file's texts beforehand, for cache.preload of a server.

    Each text is computed once, however often it is there. The server gives these vectors, bit by
    bit those that it would compute, where model, precision and options are the same; a file of
    another model it refuses. A row that cannot be read is named on standard error and left out,
    and the exit code is then 2.

    Example: limbeck embed catalogue.csv --model ./minilm --out catalogue.vectors
    """
    from limbeck.cli.embedding import Request, embed

    embed(
        Request(
            source=file,
            model=model,
            out=out,
            text_column=text_column,
            input_format=None if input_format is None else input_format.value,
            max_length=max_length,
            normalize=normalize,
            precision=precision,
            threads=threads,
            batch_size=batch_size,
        )
    )
