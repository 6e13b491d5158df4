"""What a result depends on, in hexadecimal: files, rows, and the code that made it."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import limbeck
from limbeck.evaluation import Examples

_PACKAGE = Path(limbeck.__file__).parent
# Files of the forge that have no part in what a trained model is.
_NO_PART = {
    *("__init__", "asking", "baselines", "budget", "export", "faults", "files", "golden"),
    *("processes", "progress", "quality", "saves", "shapes", "side_by_side"),
    "verify",
}
_SCORING = ("evaluation", "tasks", "pipeline", "runtimes", "engine", "text", "artifact")
LENGTH = 16


def of_values(*values: Any) -> str:
    """Digest of anything that JSON can hold."""
    text = json.dumps(values, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def of_directory(directory: Path) -> str:
    """Digest of a model directory's configuration, tokenizer and weights."""
    hasher = hashlib.sha256()
    for file in sorted(directory.iterdir()):
        if file.suffix in (".json", ".safetensors", ".txt", ".bin") and file.is_file():
            hasher.update(file.name.encode())
            with file.open("rb") as opened:
                hasher.update(hashlib.file_digest(opened, "sha256").digest())
    return hasher.hexdigest()[:LENGTH]


def of_examples(rows: Examples) -> str:
    """Digest of rows to measure on."""
    return of_values(rows.problem, rows.texts, rows.pairs, rows.targets)


def of_source(files: Iterable[Path]) -> str:
    """Digest of what Python files do: comments, docstrings and layout do not count."""
    hasher = hashlib.sha256()
    for file in sorted(files):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and _is_docstring(body[0]):
                body[:] = body[1:]
        hasher.update(file.name.encode())
        hasher.update(ast.dump(tree).encode())
    return hasher.hexdigest()[:LENGTH]


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@functools.cache
def training_code() -> str:
    """The code that decides what a trained model is."""
    forge = [file for file in (_PACKAGE / "forge").glob("*.py") if file.stem not in _NO_PART]
    return of_source([*forge, *(_PACKAGE / "text").glob("*.py")])


@functools.cache
def scoring_code() -> str:
    """The code that decides how good a model is found to be; of the engine, its Python side."""
    return of_source(file for room in _SCORING for file in (_PACKAGE / room).rglob("*.py"))
