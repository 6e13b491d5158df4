"""limbeck demo: contact details leaked in listings, from encoder to verified artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where artifact and report go.")] = Path(
        "demo"
    ),
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            "-d",
            help="Descriptions to carry the leaks (a column text), or your own labelled texts "
            "(columns text and label, two labels): CSV, JSONL or Parquet.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher", "-t", help="Encoder: a directory or a hub name; default: all-MiniLM-L6-v2."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Everything tiny but real, in a minute or two.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of texts and training.")] = 0,
    minutes: Annotated[float, typer.Option(help="Time for the whole demo.")] = 10.0,
    layers: Annotated[
        int | None, typer.Option(help="Layers of the student; default: half of the teacher's.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Append the figures as rows to this file.")
    ] = None,
) -> None:
    """Find contact details leaked in listings: train, distil, quantise, measure.

    It fine-tunes a teacher, distils it into a student of half the depth, quantises and verifies
    that, and compares both with regex rules and with TF-IDF regression on unseen texts.

    Example: limbeck demo --data descriptions.jsonl.gz --minutes 10
    """
    from limbeck import forge

    forge.require("torch", "transformers")
    forge.require("sklearn", "jinja2", extra="demo")
    from rich.console import Console

    from limbeck.cli.messages import console as progress_console
    from limbeck.forge.demo import present
    from limbeck.forge.demo.run import run
    from limbeck.forge.demo.settings import DemoSettings

    settings = DemoSettings(
        out=out,
        data=data,
        teacher=teacher,
        quick=quick,
        seed=seed,
        minutes=minutes,
        layers=layers,
        record=record,
    )
    result = run(settings, progress_console())
    page = present.save(result)
    if record is not None:
        present.record(result, record)
    shown = Console()
    for table in present.tables(result):
        shown.print(table)
    shown.print(present.time_table(result.seconds))
    shown.print(f"artifact {settings.artifact}   report {page}")
    shown.print("try next:")
    for line in present.next_commands(result):
        shown.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
