"""limbeck convert: a model directory -> a verified artifact."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[
        str,
        typer.Argument(help="Hugging Face or sentence-transformers directory, or a hub name."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of the artifact.")],
    precision: Annotated[str, typer.Option(help="int8 or fp32.")] = "int8",
    task: Annotated[
        str | None, typer.Option(help="What the model answers; default: as its config says.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Where texts are cut; default: as the model's files say.")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Texts (lines, JSONL, CSV or Parquet) to take static ranges of activations from: "
            "faster int8, less accurate. Default: every token finds its own."
        ),
    ] = None,
    observer: Annotated[
        str,
        typer.Option(
            help="How --calibrate chooses a range: minmax; percentile (cuts off the outermost "
            "values); mse (what rounds with the least error)."
        ),
    ] = "minmax",
    smooth: Annotated[
        float | None,
        typer.Option(
            help="Move outliers of activations into weights and biases first, as found on "
            "--calibrate; 0.5 is usual (alpha of SmoothQuant)."
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of those texts; default: by its usual name.")
    ] = None,
    texts_at_most: Annotated[int, typer.Option(help="How many texts of it are read.")] = 64,
) -> None:
    """Convert a model to an artifact that runs without torch, and verify it.

    A directory with pytorch_model.bin alone is read as weights only: no code in it runs.

    Example: limbeck convert ./student --out ./artifact
    """
    from limbeck import data, forge
    from limbeck.cli.messages import say
    from limbeck.engine import OBSERVERS
    from limbeck.errors import InputError

    forge.require("torch", "transformers")
    from limbeck.cli.verify import show
    from limbeck.forge.export import export

    if precision not in ("int8", "fp32"):
        raise InputError(f"precision {precision!r} is not int8 or fp32")
    if observer not in OBSERVERS:
        raise InputError(f"observer {observer!r} is not one of {', '.join(OBSERVERS)}")
    texts = []
    if calibrate is not None:
        rows = data.read_rows(calibrate, text_column=text_column)
        texts = [row.text for row in itertools.islice(rows, texts_at_most)]
        if not texts:
            raise InputError(f"{calibrate} has no texts to calibrate with")
    made = export(
        model,
        out,
        "int8" if precision == "int8" else "fp32",
        task=task,
        max_tokens=max_tokens,
        calibrate=texts,
        observer=observer,
        smooth=smooth,
    )
    for warning in made.warnings:
        say(f"limbeck: {warning}")
    show(made.report)
    typer.echo(f"{made.directory}  {made.size_bytes / 1e6:.1f} MB  {precision}  {made.digest}")
    typer.echo(f"next: limbeck inspect {out}")
