"""Findings -> one HTML file that opens without a network.

In: a title and sections (text, table, line chart, bar chart) as plain values. Out: one file with
its styles and drawings inside. Neighbours: the demo and the benchmarks; nobody writes a second one.
"""

from __future__ import annotations

from limbeck.report.html import render, write_html
from limbeck.report.sections import Bars, Cell, Lines, Section, Series, Table, Text

__all__ = [
    "Bars",
    "Cell",
    "Lines",
    "Section",
    "Series",
    "Table",
    "Text",
    "render",
    "write_html",
]
