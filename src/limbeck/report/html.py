"""Sections -> HTML. Every string passes through jinja2's autoescape; no markup is built by hand."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limbeck.errors import InputError, MissingExtraError
from limbeck.report import charts
from limbeck.report.sections import Bars, Cell, Lines, Section, Table, Text
from limbeck.whole_files import check_replaceable, whole_file

_TEMPLATE = Path(__file__).parent / "page.html.jinja"


def _cell(value: Cell) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    return charts.number(value)


def _right_aligned(table: Table) -> list[bool]:
    def is_number(value: Cell) -> bool:
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))

    return [
        bool(table.rows) and all(is_number(row[column]) for row in table.rows)
        for column in range(len(table.columns))
    ]


def _view(section: Section) -> dict[str, Any]:
    match section:
        case Text():
            return {"kind": "text", "section": section}
        case Table():
            return {
                "kind": "table",
                "section": section,
                "rows": [[_cell(value) for value in row] for row in section.rows],
                "right": _right_aligned(section),
            }
        case Lines():
            return {"kind": "chart", "section": section, "drawing": charts.draw_lines(section)}
        case Bars():
            return {"kind": "chart", "section": section, "drawing": charts.draw_bars(section)}
    raise InputError(f"a report has Text, Table, Lines and Bars sections, not {section!r}")


def render(title: str, sections: Sequence[Section], *, subtitle: str = "") -> str:
    """The page as text.

    Raises:
        MissingExtraError: jinja2 is not installed.
        InputError: a section is of no known kind.
    """
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError("jinja2", "demo") from None
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(
        title=title,
        subtitle=subtitle,
        views=[_view(section) for section in sections],
        width=charts.WIDTH,
        height=charts.HEIGHT,
        left=charts.LEFT,
        right=charts.WIDTH - charts.RIGHT,
    )
    # A lone surrogate has no UTF-8 form; show it as the replacement sign rather than lose the page.
    return page.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def write_html(
    path: str | os.PathLike[str], title: str, sections: Sequence[Section], *, subtitle: str = ""
) -> Path:
    """Write the page to `path`, whole or not at all, and return the path.

    Raises:
        MissingExtraError: jinja2 is not installed.
        InputError: a section is of no known kind, or the file cannot be written.
    """
    target = Path(path)
    check_replaceable(target)
    page = render(title, sections, subtitle=subtitle)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target, "w") as file:
            file.write(page)
    except OSError as error:
        raise InputError(f"cannot write the report to {target}: {error}") from None
    return target
