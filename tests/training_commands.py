"""The commands that train, as a user types them, in a directory with all that they take."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import models
import recipes
from limbeck.cli.main import run

SHAPE = models.Shape(layers=2, hidden=16, heads=2, ffn=32)


def workplace(zoo: Callable[..., Path], place: Path) -> Path:
    """A directory with rows, an encoder and a trained teacher."""
    shutil.copytree(zoo("bert", "feature-extraction", shape=SHAPE), place / "encoder")
    recipes.write_rows(place / "rows.jsonl", 60)
    assert run(asked(place, "train", place / "teacher")) == 0
    return place


def asked(place: Path, command: str, out: Path, *more: str) -> list[str]:
    """The arguments of train, distil, prune or qat."""
    taken = {
        "train": ["--model", str(place / "encoder"), "--max-tokens", "16", "--precision", "fp32"],
        "distil": ["--teacher", str(place / "teacher"), "--precision", "fp32"],
        "prune": [str(place / "teacher"), "--every", "1", "--precision", "fp32"],
        "qat": [str(place / "teacher")],
    }
    shared = ["--data", str(place / "rows.jsonl"), "--epochs", "2", "--batch-size", "8"]
    cache = [] if command == "train" else ["--cache", str(place / "logits")]
    return [command, *taken[command], *shared, *cache, "--out", str(out), *more]


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below it."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
