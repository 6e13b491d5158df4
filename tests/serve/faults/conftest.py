"""A small artifact for servers in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httptools")

from limbeck import pipeline
from serving_program import store

# Several rows of different lengths: a batch takes a while, and rows could be mixed up.
BODIES = [
    {"inputs": ["the old hotel by the river " * (1 + row * 3 % 7) for row in range(n, n + 6)]}
    for n in range(5)
]


class Stored:
    """An artifact, and what it answers to `BODIES` without a server."""

    def __init__(self, path: Path, source: Path) -> None:
        self.path = path
        self.digest = store(path, source)
        with_all = {"top_k": None}
        pipe: Any = pipeline("text-classification", str(path))
        self.outputs = [pipe(body["inputs"], **with_all) for body in BODIES]
        self.bodies = [{**body, "parameters": with_all} for body in BODIES]

    def right(self, which: int, value: Any) -> bool:
        """Whether an answer is bit by bit the one that each text gets alone."""
        return bool(value["outputs"] == self.outputs[which])


@pytest.fixture(scope="session")
def stored(zoo: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Stored:
    directory = tmp_path_factory.mktemp("served") / "model"
    return Stored(directory, zoo("bert", "text-classification"))
