"""Runs a recipe again and again, each time in a forked process that may die on the way.

Not a test: a program that imports torch once. Lines of JSON come in, {"recipe", "out", "fault",
"stage"}; lines go out, {"code", "passed", "stages", "error"}: the exit code, how often each point
was passed, in the whole run and from the beginning of each stage that it made to that of the next,
and what the run said when it failed.

stage: the number of the stage, from 0, from whose beginning on the fault counts; None: from the
beginning of the run.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

# before any thread begins, so that a fork has all there is
import pyarrow.parquet
import transformers.models.bert.modeling_bert

from limbeck.errors import LimbeckError
from limbeck.forge import faults, recipe

assert pyarrow.parquet
assert transformers.models.bert.modeling_bert


def count_by_stage(out: Path, fault: str, stage: int | None) -> dict[int, Counter[str]]:
    """Count what is passed in each stage, and plan a fault in one of them."""
    found: dict[int, Counter[str]] = {}
    real, passings = faults.point, Counter[str]()

    def point(name: str) -> None:
        nonlocal passings
        if name == "stage":
            number = len(list(out.glob("*/done.json")))
            passings = found[number] = Counter()
            if number == stage:
                faults.arm(fault)
        passings[name] += 1
        real(name)

    faults.point = point
    return found


def trial(job: dict[str, Any]) -> dict[str, Any]:
    """One run, in this process."""
    stage, fault = job.get("stage"), job["fault"]
    faults.arm(fault if stage is None else "")
    stages = count_by_stage(Path(job["out"]), fault, stage)
    wanted = recipe.read(Path(job["recipe"]))
    wanted = dataclasses.replace(wanted, run=dataclasses.replace(wanted.run, out=Path(job["out"])))
    options = recipe.Options(resamples=20, lengths=(), save_every_s=0.0)
    error = ""
    try:
        recipe.run(wanted, options)
    except LimbeckError as found:
        error = str(found)
    return {"passed": faults.passed(), "stages": stages, "error": error}


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            code = 99
            try:
                os.write(writer, json.dumps(trial(job)).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(writer)
        with open(reader, "rb") as told:
            said = told.read()
        _, status = os.waitpid(child, 0)
        found = {"code": os.waitstatus_to_exitcode(status), "passed": {}, "stages": {}, "error": ""}
        print(json.dumps(found | (json.loads(said) if said else {})), flush=True)


if __name__ == "__main__":
    main()
