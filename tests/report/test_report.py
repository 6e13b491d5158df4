"""The report is one file, shows what it was given, and never lets a value become markup."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from limbeck import report
from limbeck.errors import InputError, MissingExtraError
from limbeck.report import charts

jinja2 = pytest.importorskip("jinja2")

HOSTILE = "<script>alert('x')</script>\"&'><img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    """Collects tags, attributes and text, and insists that every tag is closed in order."""

    VOID = frozenset({"meta", "rect", "line", "polyline", "circle"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    def all_text(self) -> str:
        return " ".join(self.text)


def every_kind(word: str) -> list[report.Section]:
    return [
        report.Text(title=word, paragraphs=[word, word]),
        report.Text(title=word, paragraphs=[word], preformatted=True),
        report.Table(title=word, columns=[word, word], rows=[[word, 1], [word, 2.5]], note=word),
        report.Lines(
            title=word,
            x_label=word,
            y_label=word,
            series=[report.Series(name=word, points=[(0, 1), (1, 2)])],
            note=word,
        ),
        report.Bars(
            title=word, y_label=word, categories=[word, "b"], values={word: [1, 2]}, note=word
        ),
    ]


def test_hostile_strings_stay_text_everywhere() -> None:
    harmless = Reader(report.render("plain", every_kind("plain"), subtitle="plain"))
    hostile = Reader(report.render(HOSTILE, every_kind(HOSTILE), subtitle=HOSTILE))
    # The same tags in the same order, with the same attribute names: nothing broke out.
    shape = [(tag, sorted(attributes)) for tag, attributes in harmless.tags]
    assert [(tag, sorted(attributes)) for tag, attributes in hostile.tags] == shape
    assert hostile.count("script") == 0
    assert hostile.count("img") == 0
    shown = hostile.all_text().count(HOSTILE)
    assert shown == harmless.all_text().count("plain")


def test_page_needs_no_network_and_no_script() -> None:
    page = report.render("title", every_kind("word"))
    reader = Reader(page)
    for tag, attributes in reader.tags:
        assert tag not in {"script", "link", "img", "iframe", "object"}
        assert not {"src", "href", "onload", "onclick"} & set(attributes)
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_every_value_is_on_the_page() -> None:
    page = report.render(
        "Findings",
        [
            report.Table(
                title="Table",
                columns=["name", "value"],
                rows=[["alpha", 0.98765], ["beta", None], ["gamma", 123456]],
                emphasis=[0],
            ),
            report.Bars(
                title="Bars", y_label="ms", categories=["one", "two"], values={"a": [3.5, None]}
            ),
        ],
    )
    reader = Reader(page)
    text = reader.all_text()
    for expected in ("alpha", "0.9877", "beta", "–", "gamma", "123,456", "one", "two", "3.500"):
        assert expected in text
    assert page.count('class="emphasis"') == 1
    assert sum(name == "rect" and "height" in a and "x" in a for name, a in reader.tags) == 1


def test_number_columns_align_right_and_word_columns_do_not() -> None:
    page = report.render(
        "t", [report.Table(title="t", columns=["w", "n"], rows=[["a", 1], ["b", None]])]
    )
    cells = [a for name, a in Reader(page).tags if name == "td"]
    assert [a.get("class") for a in cells] == [None, "number", None, "number"]


def test_write_is_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "report.html"
    assert report.write_html(target, "first", every_kind("word")) == target
    before = target.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="sections"):
        report.write_html(target, "second", ["not a section"])  # type: ignore[list-item]
    assert target.read_text(encoding="utf-8") == before
    assert [p.name for p in target.parent.iterdir()] == ["report.html"]
    with pytest.raises(InputError, match="cannot write"):
        report.write_html(target / "below-a-file.html", "t", [])


def test_a_lone_surrogate_does_not_lose_the_page(tmp_path: Path) -> None:
    section = report.Text(title="t", paragraphs=["before \ud800 after 😀"])
    written = report.write_html(tmp_path / "r.html", "t", [section]).read_text(encoding="utf-8")
    assert "before � after 😀" in written


def test_jinja2_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"limbeck\[demo\]"):
        report.render("t", [])


def test_sections_refuse_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="row 1 has 1 cells"):
        report.Table(title="t", columns=["a", "b"], rows=[[1, 2], [1]])
    with pytest.raises(InputError, match="emphasis"):
        report.Table(title="t", columns=["a"], rows=[[1]], emphasis=[1])
    with pytest.raises(InputError, match="has 1 values"):
        report.Bars(title="t", y_label="", categories=["a", "b"], values={"s": [1]})
    with pytest.raises(InputError, match="positive"):
        report.Lines(
            title="t",
            x_label="",
            y_label="",
            series=[report.Series(name="s", points=[(0.0, 1.0)])],
            log_x=True,
        )


def stroke_points(drawing: charts.Drawing) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in stroke.points.split())]
        for stroke in drawing.strokes
    ]


def test_lines_are_drawn_to_scale() -> None:
    drawing = charts.draw_lines(
        report.Lines(
            title="t",
            x_label="x",
            y_label="y",
            series=[report.Series(name="s", points=[(0, 0), (5, 5), (10, 10)])],
        )
    )
    [points] = stroke_points(drawing)
    assert points[0] == (charts.LEFT, charts.HEIGHT - charts.BOTTOM)
    assert points[2] == (charts.WIDTH - charts.RIGHT, charts.TOP)
    assert points[1][0] == pytest.approx((points[0][0] + points[2][0]) / 2)
    assert points[1][1] == pytest.approx((points[0][1] + points[2][1]) / 2)


def test_log_axis_spaces_powers_evenly() -> None:
    drawing = charts.draw_lines(
        report.Lines(
            title="t",
            x_label="x",
            y_label="y",
            series=[report.Series(name="s", points=[(1, 0), (10, 1), (100, 2)])],
            log_x=True,
        )
    )
    [points] = stroke_points(drawing)
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0], abs=0.02)


def test_points_that_are_not_finite_break_the_line() -> None:
    points = [(0, 1.0), (1, 2.0), (2, float("nan")), (3, 1.0), (4, 2.0), (5, float("inf"))]
    drawing = charts.draw_lines(
        report.Lines(
            title="t", x_label="", y_label="", series=[report.Series(name="s", points=points)]
        )
    )
    assert [len(run) for run in stroke_points(drawing)] == [2, 2]
    assert len(drawing.dots) == 4
    nothing = report.Lines(
        title="t",
        x_label="",
        y_label="",
        series=[report.Series(name="s", points=[(0.0, float("nan"))])],
    )
    assert charts.draw_lines(nothing).empty
    assert "no finite value" in report.render("t", [nothing])


def test_bars_grow_from_zero_in_proportion() -> None:
    drawing = charts.draw_bars(
        report.Bars(title="t", y_label="", categories=["a", "b", "c"], values={"s": [1, 2, -1]})
    )
    one, two, minus = drawing.boxes
    assert two.height == pytest.approx(2 * one.height, abs=0.02)
    assert minus.height == pytest.approx(one.height, abs=0.02)
    assert one.y + one.height == pytest.approx(drawing.baseline, abs=0.02)
    assert minus.y == pytest.approx(drawing.baseline, abs=0.02)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.0, 0.0), (3, 3), (-5, 17), (1e-6, 2e-6), (1e9, 3e9), (99.5, 100)]
)
def test_ticks_are_round_and_enclose(low: float, high: float) -> None:
    marks = charts.ticks(low, high)
    assert 2 <= len(marks) <= 12
    tolerance = 1e-9 * max(abs(low), abs(high))
    assert marks[0] <= low + tolerance
    assert marks[-1] >= high - tolerance
    steps = {f"{b - a:.6e}" for a, b in itertools.pairwise(marks)}
    assert len(steps) == 1
    assert re.match(r"[125]\.0+e", steps.pop())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (1234567, "1,234,567"), (0.98765, "0.9877"), (1.5e-7, "1.5e-07"), (12.34, "12.34")],
)
def test_numbers_as_people_read_them(value: float, shown: str) -> None:
    assert charts.number(value) == shown


def test_charts_are_well_formed_svg() -> None:
    page = report.render("t", every_kind("a < b & c"))
    drawings = re.findall(r"<svg viewBox=\"0 0 760.*?</svg>", page, flags=re.S)
    assert len(drawings) == 2
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def test_points_of_a_line_may_be_named() -> None:
    series = report.Series(name="one", points=[(1.0, 2.0), (3.0, 4.0)], labels=["50", "<b>"])
    chart = report.Lines(title="named", x_label="x", y_label="y", series=[series])
    page = report.render("page", [chart])
    assert ">50</text>" in page
    assert "&lt;b&gt;</text>" in page
    assert "one: 4 at 3 (&lt;b&gt;)" in page
    with pytest.raises(InputError, match="series 'one' has 1 labels, there are 2 points"):
        report.Series(name="one", points=[(1.0, 2.0), (3.0, 4.0)], labels=["50"])
