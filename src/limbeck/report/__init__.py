"""Findings -> one HTML file that opens without a network.

In: a title and sections (text, table, line chart, bar chart) as plain values. Out: one file with
its styles and drawings inside, or one chart as an SVG. Neighbours: the demo and the benchmarks;
nobody writes a second one.
"""

from __future__ import annotations

from limbeck.report.html import render, write_html
from limbeck.report.sections import Bars, Cell, Lines, Section, Series, Table, Text
from limbeck.report.svg import render_svg

__all__ = [
    "Bars",
    "Cell",
    "Lines",
    "Section",
    "Series",
    "Table",
    "Text",
    "render",
    "render_svg",
    "write_html",
]
