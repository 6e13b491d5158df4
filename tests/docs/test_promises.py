"""The guide's table of promises: every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guide" / "serve.md").read_text(encoding="utf-8")
TABLES = GUIDE.partition("## Promises and their tests")[2].partition("\n## ")[0]
ROWS = [line for line in TABLES.splitlines() if line.startswith("| ") and "`" in line]
NAMED = re.findall(r"`([\w./]+\.py)(?:::(\w+))?`", TABLES)


def test_there_are_nine_promises_and_nine_faults() -> None:
    # Memory is two rows: that it stays flat, and what happens where there is none.
    assert len(ROWS) == 10 + 9
    assert all(re.search(r"test_\w+\.py", row) for row in ROWS)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_is_named_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / "tests" / "serve" / file).read_text(encoding="utf-8"))
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    found |= {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if name:
        assert name in found
    else:
        assert any(one.lower().startswith("test") for one in found)


def test_every_file_of_faults_is_named() -> None:
    there = {f"faults/{path.name}" for path in (ROOT / "tests/serve/faults").glob("test_*.py")}
    assert there <= {file for file, _ in NAMED}
