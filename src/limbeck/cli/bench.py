"""limbeck bench: kernels against the machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="kernels")],
    isa: Annotated[
        str | None, typer.Option(help="One instruction set; default: all of this CPU's.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.01, help="For each kernel, shape and pattern.")
    ] = 0.1,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of each layer.")] = 128,
    record: Annotated[
        Path | None, typer.Option(help="Append the figures as rows to this JSONL file.")
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Write JSON lines instead of a table.")
    ] = False,
) -> None:
    """Measure every kernel against the peak of this machine.

    One thread. The peak is that of the same run: the best of three loops that only multiply, in
    registers. Block-sparse kernels run at 80 % sparsity, and only products of kept blocks count.

    Example: limbeck bench kernels

    Example: limbeck bench kernels --isa avx2 --tokens 16
    """
    from limbeck.errors import InputError

    if what != "kernels":
        raise InputError(f"there is no benchmark {what!r} here; there is: kernels")
    from limbeck.bench import kernels

    found = []
    header = (
        f"{'isa':<12}{'kernel':<11}{'pattern':<9}{'rows':>6}{'cols':>6}{'GOP/s':>9}{'of peak':>9}"
    )
    if not json_output:
        typer.echo(header)
    for each in kernels.measure(isa=isa, tokens=tokens, seconds=seconds):
        found.append(each)
        if json_output:
            typer.echo(json.dumps(each.as_dict()))
            continue
        typer.echo(
            f"{each.isa:<12}{each.kernel:<11}{each.pattern:<9}{each.rows:>6}{each.cols:>6}"
            f"{each.median_gops:>9.0f}" + ("" if each.share is None else f"{each.share:>9.0%}")
        )
    if record is not None:
        kernels.append(record, found)
