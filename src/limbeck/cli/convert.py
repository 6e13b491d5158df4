"""limbeck convert: a model directory -> a verified artifact."""

from __future__ import annotations

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
) -> None:
    """Convert a model to an artifact that runs without torch, and verify it.

    A directory with pytorch_model.bin alone is read as weights only: no code in it runs.

    Example: limbeck convert ./student --out ./artifact
    """
    from limbeck import forge
    from limbeck.errors import InputError

    forge.require("torch", "transformers")
    from limbeck.cli.verify import show
    from limbeck.forge.export import export

    if precision not in ("int8", "fp32"):
        raise InputError(f"precision {precision!r} is not int8 or fp32")
    made = export(
        model,
        out,
        "int8" if precision == "int8" else "fp32",
        task=task,
        max_tokens=max_tokens,
    )
    show(made.report)
    typer.echo(f"{made.directory}  {made.size_bytes / 1e6:.1f} MB  {precision}  {made.digest}")
    typer.echo(f"next: limbeck inspect {out}")
