"""One chart -> an SVG of its own, for pages that are not ours. Strings pass through autoescape."""

from __future__ import annotations

from pathlib import Path

from limbeck.errors import MissingExtraError
from limbeck.report import charts
from limbeck.report.sections import Bars, Lines

_TEMPLATE = Path(__file__).parent / "chart.svg.jinja"
# The page's colours on white: a picture does not know whether it is looked at in the dark.
_COLOURS = ("#2563a8", "#d97706", "#2e8b57", "#b03a48", "#7b5ea7", "#6b7280")
assert len(_COLOURS) == charts.COLOURS
_HEAD, _LEGEND_LINE = 46, 20


def render_svg(chart: Lines | Bars) -> str:
    """The picture as text: the same for equal charts.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError("jinja2", "demo") from None
    drawing = charts.draw_lines(chart) if isinstance(chart, Lines) else charts.draw_bars(chart)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    foot = _HEAD + charts.HEIGHT + 8
    text: str = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        title=chart.title,
        y_label=chart.y_label,
        drawing=drawing,
        colours=_COLOURS,
        width=charts.WIDTH,
        left=charts.LEFT,
        right=charts.WIDTH - charts.RIGHT,
        head=_HEAD,
        foot=foot,
        full=foot + _LEGEND_LINE * len(drawing.legend) + 4,
    )
    return text + "\n"
