"""README's table of curves: the last run of each data set, its sentences and its picture."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from limbeck import measure
from limbeck.bench import tables
from limbeck.bench.curve import table

README = "before\n<!-- rows:compression -->\n<!-- /rows -->\nafter\n"


def row(
    subject: str,
    ms: float,
    kept: float,
    *,
    data_set: str = "sst2",
    behind: tuple[str, float] | None = None,
    rounding: float = 0.1,
    run: str = "r1",
    quick: int = 0,
    front: int = 0,
) -> measure.Row:
    layers, _, what = subject.partition("-layers-")
    pattern, _, share = what.partition("-")
    extra: dict[str, str | int | float] = {
        "metric": 0.9 * kept, "metric_low": 0.8 * kept, "metric_high": kept, "teacher": 90.0,
        "kept": kept, "kept_low": kept - 1, "kept_high": kept + 1,
        "rounding": rounding, "rounding_low": rounding - 0.2, "rounding_high": rounding + 0.2,
        "speed": 10 / ms, "size_mb": 23.04, "front": front,
    }  # fmt: skip
    if behind is not None:
        rival, points = behind
        extra |= {"rival": rival, "behind": points}
        extra |= {"behind_low": points - 0.5, "behind_high": points + 0.5}
    return measure.Row(
        run=run, benchmark="compression", subject=subject, unit="ms",
        value=ms, low=ms - 0.1, high=ms + 0.1, repeats=48, threads=2, isa="avx2",
        workload={
            "data_set": data_set, "metric": "accuracy", "rows": 872, "tokens": 128, "batch": 1,
            "base": {"6": "teacher", "3": "student"}.get(layers, "rival"), "layers": int(layers),
            "pattern": pattern, "sparsity": int(share or 0) / 100, "seed": 0, "quick": quick,
            "train_rows": 20000, "transfer_rows": 20000, "epochs": 1.0, "criterion": "movement",
        },
        extra=extra, versions={"limbeck": "0.1.0"}, commit="c0ffee",
    )  # fmt: skip


SST2 = [
    row("6-layers-dense", 10.0, 99.8, front=1),
    row("6-layers-4x4-50", 7.0, 99.0, behind=("3-layers-dense", -1.0), front=1),
    row("6-layers-4x4-80", 4.8, 95.5, behind=("3-layers-dense", 0.2), rounding=0.4),
    row("6-layers-1x4-50", 9.0, 98.4, behind=("3-layers-dense", 0.1)),
    row("6-layers-1x4-80", 6.0, 94.9, behind=("3-layers-dense", 2.0)),
    row("3-layers-dense", 5.0, 97.5, front=1),
    row("3-layers-4x4-50", 3.0, 93.0, behind=("2-layers-dense", -2.0), front=1),
    row("2-layers-dense", 3.1, 91.0),
    row("3-layers-4x4-80", 2.0, 90.0, behind=("2-layers-dense", 0.3), front=1),
]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    file = tmp_path / "results" / "compression.jsonl"
    measure.append_rows(file, [row("6-layers-dense", 55.0, 11.0, run="old"), *SST2])
    measure.append_rows(file, [row("6-layers-dense", 77.0, 12.0, run="quick", quick=1)])
    return file.parent


def test_a_table_and_sentences(results: Path) -> None:
    filled = tables.fill(README, results)
    lines = filled.splitlines()
    cells = [line for line in lines if line.startswith("| ")]
    assert len({line.count("|") for line in cells}) == 1
    assert cells[1] == (
        "| **3-layers-4x4-80** | 80 % | 81.00 | 90.00 (89.00–91.00) | 2.00 (1.90–2.10) | 5.00 | "
        "23.0 |"
    )
    assert len(cells) == 1 + len(SST2)
    for absent in ("55.0", "77.0"):
        assert absent not in filled
    for sentence in (
        "- 98.5 % of the teacher's metric is kept in 4x4 up to 50 % (99.00 (98.00–100.00) %) and "
        "in 1x4 at no sparsity.",
        "- At 80 %, where the bar is 95 %: 4x4 keeps 95.50 (94.50–96.50) %, reached; 1x4 keeps "
        "94.90 (93.90–95.90) %, missed.",
        "- int8 alone costs the dense model +0.10 (-0.10 to +0.30) points; the most of those of "
        "full depth 6-layers-4x4-80: +0.40 (+0.20 to +0.60).",
        "- Faster than every dense student; not to be told from the fastest: 3-layers-4x4-80 "
        "(2-layers-dense: -0.30 (-0.80 to +0.20)).",
        "- More accurate than the best dense student that is as fast: 3-layers-4x4-50 "
        "(2-layers-dense: +2.00 (+1.50 to +2.50)), 6-layers-4x4-50 (3-layers-dense: +1.00 (+0.50 "
        "to +1.50)).",
        "- Not to be told from the best dense student that is as fast: 6-layers-4x4-80 "
        "(3-layers-dense: -0.20 (-0.70 to +0.30)), 6-layers-1x4-50 (3-layers-dense: -0.10 (-0.60 "
        "to +0.40)).",
        "- Less accurate than the best dense student that is as fast: 6-layers-1x4-80 "
        "(3-layers-dense: -2.00 (-2.50 to -1.50)).",
        "![SST-2: accuracy over time](docs/figures/compression-sst2.svg)",
    ):
        assert sentence in lines, sentence
    assert tables.fill(filled, results) == filled


def test_each_data_set_has_its_bar(results: Path) -> None:
    measure.append_rows(
        results / "compression.jsonl",
        [
            row("6-layers-dense", 10.0, 99.8, data_set="squad", run="r2"),
            row("6-layers-4x4-80", 4.0, 93.0, data_set="squad", run="r2"),
        ],
    )
    filled = tables.fill(README, results)
    assert "where the bar is 92 %: 4x4 keeps 93.00 (92.00–94.00) %, reached" in filled
    assert filled.index("**SST-2**") < filled.index("**SQuAD v1.1 dev**")


def test_what_is_unknown_is_not_said() -> None:
    dense, cut = row("6-layers-dense", 10.0, 99.8), row("6-layers-4x4-80", 4.0, 93.0)
    for one in (dense, cut):
        for end in ("", "_low", "_high"):
            del one.extra[f"kept{end}"]  # type: ignore[attr-defined]
            del one.extra[f"rounding{end}"]  # type: ignore[attr-defined]
    assert table.said("sst2", [dense, cut]) == [
        "98.5 % of the teacher's metric is kept in 4x4 at no sparsity."
    ]
    assert table.said("sst2", [dense]) == []
    assert "| 6-layers-4x4-80 | 80 % | 83.70 | – |" in table.compression([dense, cut])


def test_no_rows_break_nothing(tmp_path: Path) -> None:
    filled = tables.fill(README, tmp_path)
    assert "There are no rows yet; `make bench-accuracy` makes them." in filled
    assert tables.pictures(README, tmp_path) == {}
    measure.append_rows(tmp_path / "compression.jsonl", [row("6-layers-dense", 1.0, 99.0, quick=1)])
    assert tables.fill(README, tmp_path) == filled


def test_pictures_are_written_and_checked(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2")
    readme = results.parent / "README.md"
    readme.write_text(README, encoding="utf-8")
    command = [str(readme), "--results", str(results)]
    picture = results.parent / "docs" / "figures" / "compression-sst2.svg"
    assert tables.main([*command, "--check"]) == 1
    assert not picture.exists()
    assert tables.main(command) == 0
    assert tables.main([*command, "--check"]) == 0
    tree = ElementTree.fromstring(picture.read_text(encoding="utf-8"))
    space = "{http://www.w3.org/2000/svg}"
    assert len(tree.findall(f".//{space}polyline")) == 4
    texts = [one.text for one in tree.iter(f"{space}text")]
    assert texts.count("50") == 3
    assert {"6 layers, 4x4", "6 layers, 1x4", "3 layers, 4x4", "dense"} < set(texts)
    picture.write_text("stale", encoding="utf-8")
    capsys.readouterr()
    assert tables.main([*command, "--check"]) == 1
    assert "compression-sst2.svg" in capsys.readouterr().err
