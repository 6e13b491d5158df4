"""limbeck verify: does a model answer as its source does?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from limbeck.forge.verify import VerifyReport


def command(
    model: Annotated[str, typer.Argument(help="An artifact or a Hugging Face directory.")],
    against: Annotated[
        str | None,
        typer.Option(
            "--against", "-a", help="The Hugging Face directory that the artifact was made from."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="For a Hugging Face directory: what it is read for.")
    ] = None,
) -> None:
    """Compare torch, the numpy oracle and the engine on golden inputs of many lengths.

    An artifact alone is compared with the oracle; with --against also with torch, its weights with
    those of its source and its token ids with those of transformers.

    Example: limbeck verify ./artifact --against ./student
    """
    from limbeck import artifact, forge

    if against is not None or not artifact.is_artifact(model):
        forge.require("torch", "transformers")
    from limbeck.forge.verify import verify

    show(verify(model, against=against, task=task))


def show(report: VerifyReport) -> None:
    """Print the comparisons as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("found", "expected", "output", "relative L2", "limit", "worst at tokens")
    for column in table.columns[3:]:
        column.justify = "right"
    for row in report.comparisons:
        limit = "reported" if row.limit is None else f"{row.limit:.0e}"
        cells = (row.found, row.expected, row.output, f"{row.error:.1e}", limit)
        table.add_row(*cells, str(row.worst_tokens))
    console = Console()
    console.print(table)
    console.print(
        f"verified: {report.inputs} inputs of {min(report.lengths)} to {max(report.lengths)} "
        f"tokens, {report.tokens} tokens in all, {report.precision}"
    )
