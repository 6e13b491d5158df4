"""The kinds of section that a report is made of: frozen values, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from limbeck.errors import InputError

# What a table cell or a bar may hold; None shows as a dash.
Cell = str | int | float | None


@dataclass(frozen=True, kw_only=True)
class Text:
    """Paragraphs; `preformatted` keeps spaces and line ends, for commands and logs."""

    title: str
    paragraphs: Sequence[str]
    preformatted: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells under column names. Columns whose cells are all numbers align right.

    `emphasis`: numbers of the rows (from 0) that the reader should look at first.

    Raises:
        InputError: a row has more or fewer cells than there are columns, or `emphasis` names a
            row that is not there.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    emphasis: Sequence[int] = ()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise InputError(
                    f"table {self.title!r}: row {number} has {len(row)} cells, "
                    f"there are {len(self.columns)} columns"
                )
        for number in self.emphasis:
            if not 0 <= number < len(self.rows):
                raise InputError(f"table {self.title!r}: emphasis names row {number}, absent")


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart: points (x, y) in drawing order. A point that is not finite breaks it.

    labels: a word beside each point, or none at all.

    Raises:
        InputError: there are labels, but not one a point.
    """

    name: str
    points: Sequence[tuple[float, float]]
    labels: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.labels and len(self.labels) != len(self.points):
            raise InputError(
                f"series {self.name!r} has {len(self.labels)} labels, there are "
                f"{len(self.points)} points"
            )


@dataclass(frozen=True, kw_only=True)
class Lines:
    """A line chart. `log_x` draws x on a logarithmic scale; every x must then be positive.

    Raises:
        InputError: `log_x` with an x that is not positive.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    note: str = ""
    log_x: bool = False
    y_from_zero: bool = False

    def __post_init__(self) -> None:
        if self.log_x and any(x <= 0 for line in self.series for x, _ in line.points):
            raise InputError(f"chart {self.title!r}: log_x needs every x to be positive")


@dataclass(frozen=True, kw_only=True)
class Bars:
    """A bar chart: for each category one bar a series. `values[series][i]` belongs to category i.

    A value that is None or not finite leaves its place empty. Bars grow from zero.

    Raises:
        InputError: a series has more or fewer values than there are categories.
    """

    title: str
    y_label: str
    categories: Sequence[str]
    values: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        for name, values in self.values.items():
            if len(values) != len(self.categories):
                raise InputError(
                    f"chart {self.title!r}: series {name!r} has {len(values)} values, "
                    f"there are {len(self.categories)} categories"
                )


Section = Text | Table | Lines | Bars
