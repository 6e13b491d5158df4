"""limbeck inspect: what a model is, or how long texts are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="An artifact, a Hugging Face directory, or a hub name."
        ),
    ] = None,
    lengths: Annotated[
        Path | None, typer.Option("--lengths", help="File of texts whose lengths to describe.")
    ] = None,
    with_model: Annotated[
        str | None, typer.Option("--model", "-m", help="The model that reads them.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column with the text; default: by its usual names.")
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="Column with a second text, for models of pairs.")
    ] = None,
    max_truncated: Annotated[
        float, typer.Option(help="Share of texts that the proposed maximum may cut.")
    ] = 0.01,
    precision: Annotated[
        str, typer.Option(help="auto, fp32, bf16 or int8: describe the model as loaded so.")
    ] = "auto",
    json_output: Annotated[
        bool, typer.Option("--json", help="Write one JSON object instead of tables.")
    ] = False,
) -> None:
    """Describe a model, or the lengths of texts in a file.

    For a model: shape, task, precision, size, digest, the kernel of each layer, where it comes
    from, and what was measured on it. For a file: percentiles of the lengths in tokens, what
    cutting at each maximum would lose and save, and a proposal.

    Example: limbeck inspect ./demo

    Example: limbeck inspect --lengths listings.jsonl --model ./demo
    """
    from limbeck.errors import InputError

    if lengths is not None:
        from limbeck.cli.lengths import describe_lengths

        if model is not None and with_model is not None:
            raise InputError("the model is named twice, as argument and with --model")
        describe_lengths(
            lengths,
            model or with_model,
            text_column=text_column,
            pair_column=pair_column,
            max_truncated=max_truncated,
            as_json=json_output,
        )
        return
    name = model or with_model
    if name is None:
        raise InputError("name a model, or a file of texts with --lengths")
    from limbeck.cli.description import describe_model

    describe_model(name, precision=precision, as_json=json_output)
