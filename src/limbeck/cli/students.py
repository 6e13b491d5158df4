"""limbeck students: which shapes keep a promise of time and size on this CPU."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from limbeck.forge.shapes import Load, Measured


class Target(StrEnum):
    """Where the student is to run."""

    edge = "edge"
    cloud = "cloud"


# One small core and little memory, or all CPUs and several requests at a time.
_EDGE_MB = 40.0
_CLOUD_BATCH = 8


def command(
    max_ms: Annotated[
        float | None, typer.Option(help="Longest time for the batch, 95th percentile.", min=0.0)
    ] = None,
    max_mb: Annotated[
        float | None, typer.Option(help="Largest int8 artifact; edge: 40 unless given.", min=0.0)
    ] = None,
    target: Annotated[
        Target | None,
        typer.Option(help="edge: one thread, one text. cloud: all CPUs, eight texts at once."),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Tokens of a text.", min=1, max=512)] = 128,
    batch: Annotated[
        int | None, typer.Option(help="Texts at once; default: 1, for the cloud 8.", min=1)
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Default: the CPUs that this process may use; edge: 1.", min=1),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of timing for each shape.", min=1)] = 5,
    json_output: Annotated[
        bool, typer.Option("--json", help="Write one JSON object instead of a table.")
    ] = False,
) -> None:
    """List shapes that a student can have, with size and speed on this CPU.

    Published students (TinyBERT, MiniLM, DistilBERT, RoBERTa-small, ALBERT) and a grid of layers
    and widths, timed in int8 with random weights: what a shape costs does not depend on what it
    has learned. How good it gets does, so take the largest that keeps your promise. Without
    --max-ms and --max-mb all are shown.

    Example: limbeck students --max-ms 10 --target edge
    """
    from limbeck.forge import progress, shapes

    edge = target is Target.edge
    load = shapes.Load(
        batch=batch or (_CLOUD_BATCH if target is Target.cloud else 1),
        tokens=tokens,
        threads=threads or (1 if edge else None),
    )
    limit_mb = _EDGE_MB if edge and max_mb is None else max_mb
    candidates = (*shapes.PUBLISHED, *shapes.grid())
    with progress.bar("timing shapes", len(candidates)) as bar:
        found = list(shapes.measure(candidates, load, rounds=rounds, each=bar.advance))
    found.sort(key=lambda one: one.p50_ms)
    fitting = [one for one in found if one.fits(max_ms, limit_mb)]
    if json_output:
        typer.echo(
            json.dumps(
                {
                    "batch": load.batch,
                    "tokens": load.tokens,
                    "threads": load.threads,
                    "max_ms": max_ms,
                    "max_mb": limit_mb,
                    "students": [_row(one, one in fitting) for one in found],
                },
                indent=2,
            )
        )
        return
    _show(fitting, len(found), load)


def _row(one: Measured, fits: bool) -> dict[str, object]:
    shape = one.shape
    return {
        "name": shape.name,
        "layers": shape.layers,
        "hidden": shape.hidden,
        "heads": shape.heads,
        "ffn": shape.ffn,
        "parameters": shape.parameters,
        "int8_mb": round(shape.int8_bytes / 1e6, 2),
        "p50_ms": round(one.p50_ms, 3),
        "p95_ms": round(one.p95_ms, 3),
        "fits": fits,
        "runs": shape.runs,
        "note": shape.note,
    }


def _show(fitting: list[Measured], measured: int, load: Load) -> None:
    from rich.console import Console
    from rich.table import Table

    threads = load.threads
    where = "all CPUs" if threads is None else f"{threads} thread{'s' * (threads > 1)}"
    table = Table(
        "student", "layers", "width", "M parameters", "int8 MB", "p50 ms", "p95 ms", "",
        title=f"{load.batch} x {load.tokens} tokens, {where}",
    )  # fmt: skip
    for column in table.columns[1:7]:
        column.justify = "right"
    for one in fitting:
        shape = one.shape
        table.add_row(
            shape.name,
            str(shape.layers),
            str(shape.hidden),
            f"{shape.parameters / 1e6:.1f}",
            f"{shape.int8_bytes / 1e6:.1f}",
            f"{one.p50_ms:.2f}",
            f"{one.p95_ms:.2f}",
            shape.note,
        )
    console = Console()
    console.print(table)
    if len(fitting) < measured:
        console.print(f"{measured - len(fitting)} of {measured} shapes do not keep the limits")
