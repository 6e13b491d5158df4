"""Runs of a recipe that may die on the way, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parent / "forge" / "recipe_trials.py"
KILLED = 137
# A plan that never comes true: what is passed is counted.
COUNTING = "nowhere:1:kill"
# trial(out, fault, stage=None) -> what came of one run, see `recipe_trials`
Trial = Callable[..., dict[str, Any]]


@contextmanager
def trials(recipe: Path) -> Iterator[Trial]:
    """Runs of this recipe, their outputs beside it."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    program = subprocess.Popen(
        [sys.executable, PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    stdin, stdout = program.stdin, program.stdout

    def run(out: str, fault: str = COUNTING, stage: int | None = None) -> dict[str, Any]:
        home = recipe.parent / out
        job = {"recipe": str(recipe), "out": str(home), "fault": fault, "stage": stage}
        stdin.write(json.dumps(job) + "\n")
        stdin.flush()
        found: dict[str, Any] = json.loads(stdout.readline())
        stages = {int(number): counts for number, counts in found["stages"].items()}
        return found | {"out": home, "stages": stages}

    yield run
    stdin.close()
    assert program.wait(timeout=30) == 0


def digests(out: Path) -> dict[str, str]:
    """The artifact's digest and that of every stage's files."""
    found = {"artifact": json.loads((out / "artifact" / "limbeck.json").read_text())["digest"]}
    for done in sorted(out.glob("*/done.json")):
        found[done.parent.name] = json.loads(done.read_text())["output"]
    return found
