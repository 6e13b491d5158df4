"""docs/format.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from limbeck.artifact import FORMAT_VERSION, docs
from limbeck.spec import MAX_INT8_INPUTS
from limbeck.tensors import TENSOR_TABLE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "format.md"


def test_page_is_up_to_date() -> None:
    assert docs.main([str(PAGE), "--check"]) == 0, "run: python -m limbeck.artifact.docs"


def test_check_finds_a_stale_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stale = tmp_path / "format.md"
    stale.write_text(PAGE.read_text().replace("| embedding |", "| linear |", 1))
    assert docs.main([str(stale), "--check"]) == 1
    assert "stale" in capsys.readouterr().out
    assert docs.main([str(stale)]) == 0
    assert stale.read_text() == PAGE.read_text()


def test_page_without_a_table_is_refused() -> None:
    page = re.sub(
        r"<!-- generated:parts -->.*?<!-- /generated -->", "", PAGE.read_text(), flags=re.S
    )
    with pytest.raises(SystemExit, match="parts"):
        docs.render(page)


def test_page_names_every_tensor_and_the_version() -> None:
    page = PAGE.read_text()
    assert page.startswith(f"# The artifact, format {FORMAT_VERSION}\n")
    assert f"`format` is {FORMAT_VERSION}" in page
    assert str(MAX_INT8_INPUTS) in page
    for row in TENSOR_TABLE:
        assert f"| `{row.name}` | [{', '.join(row.axes)}] | {row.kind} |" in page


def test_no_two_parts_of_the_table_share_a_name() -> None:
    names = [row.name for row in TENSOR_TABLE]
    suffixed = [name + suffix for name in names for suffix in ("", ".scale", ".values", ".bitmap")]
    assert len(suffixed) == len(set(suffixed))
