"""What the tables of rows have in common: Markdown, and where the rows were measured."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck import measure

Rows = Sequence[measure.Row]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column left, the others right."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|---|" + "---:|" * (len(columns) - 1)
    return "\n".join([line(columns), rule, *map(line, rows)]) + "\n"


def where(rows: Rows) -> str:
    """One sentence: machine, versions, commits, date."""
    row = rows[0]
    machine = row.machine
    versions: dict[str, str] = {}
    for each in rows:
        versions.update(each.versions)
    parts = [f"{machine.cpu}, {machine.cores} cores"]
    isas = sorted({each.isa for each in rows if each.isa})
    if isas:
        parts.append(f"our kernels: {', '.join(isas)}")
    parts += [f"{name} {version}" for name, version in sorted(versions.items())]
    parts += [f"commit {' and '.join(sorted({each.commit for each in rows}))}", row.date[:10]]
    busy = [float(each.extra["others_busy"]) for each in rows if "others_busy" in each.extra]
    if busy:
        parts.append(f"other processes used {min(busy):.0%} to {max(busy):.0%} of the machine")
    return "Measured on " + "; ".join(parts) + ".\n"
