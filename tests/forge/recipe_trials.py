"""Runs a recipe again and again, each time in a forked process that may die on the way.

Not a test: a program that imports torch once. Lines of JSON come in, {"recipe", "out", "fault"};
lines go out, {"code", "passed", "error"}: the exit code, how often each point was passed, and what
the run said when it failed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

# before any thread begins, so that a fork has all there is
import pyarrow.parquet
import transformers.models.bert.modeling_bert

from limbeck.errors import LimbeckError
from limbeck.forge import faults, recipe

assert pyarrow.parquet
assert transformers.models.bert.modeling_bert


def trial(job: dict[str, Any]) -> dict[str, Any]:
    """One run, in this process."""
    faults.arm(job["fault"])
    wanted = recipe.read(Path(job["recipe"]))
    wanted = dataclasses.replace(wanted, run=dataclasses.replace(wanted.run, out=Path(job["out"])))
    options = recipe.Options(resamples=20, lengths=(), save_every_s=0.0)
    error = ""
    try:
        recipe.run(wanted, options)
    except LimbeckError as found:
        error = str(found)
    return {"passed": faults.passed(), "error": error}


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
        found = {"code": os.waitstatus_to_exitcode(status), "passed": {}, "error": ""}
        print(json.dumps(found | (json.loads(said) if said else {})), flush=True)


if __name__ == "__main__":
    main()
