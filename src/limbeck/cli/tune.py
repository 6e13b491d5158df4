"""limbeck tune: the table of kernel costs of this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer


def command(
    isa: Annotated[
        str | None,
        typer.Option(help="Instruction set; default: $LIMBECK_ISA, else the best of this CPU."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.01, help="For each kernel and density, three times over.")
    ] = 0.1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure and show, keep nothing.")
    ] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Write one JSON object instead of a table.")
    ] = False,
) -> None:
    """Measure what each kernel costs here, for models loaded from now on.

    By this table an int8 layer runs dense or by blocks, whichever is faster for what its weights
    leave out. It is kept per CPU model in ~/.cache/limbeck ($LIMBECK_CACHE); without it a table
    that comes with limbeck decides. Answers are the same bits either way.

    Example: limbeck tune
    """
    from limbeck.engine import library, tuning

    chosen = library.choose_isa(isa)
    costs = tuning.measure(chosen, seconds=seconds)
    path = None if dry_run else tuning.save(chosen, costs)
    if json_output:
        typer.echo(json.dumps({"isa": chosen, "file": path and str(path), **asdict(costs)}))
        return
    typer.echo(f"{chosen}: time of four inputs of a row, the dense kernel's being 1")
    typer.echo(f"{'blocks':<10}{'cost':>7}{'faster than dense from':>26}")
    for height, cost in zip(tuning.HEIGHTS, costs.blocks, strict=True):
        kept = max(0.0, 1.0 - costs.row_of_blocks / height / 192) / cost if cost else 1.0
        typer.echo(f"{f'{height}x4':<10}{cost:>7.2f}{max(0.0, 1.0 - kept):>18.0%} sparsity")
    typer.echo(f"a row of blocks costs {costs.row_of_blocks:.1f} beside its blocks")
    typer.echo("kept nothing (--dry-run)" if path is None else f"kept in {path}")
