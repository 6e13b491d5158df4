"""Stage "verify": the artifact as it lies on disk against torch and the oracle, once more.

Export verifies what it writes; this is for limits of one's own, and for the report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from limbeck.errors import InputError
from limbeck.forge.recipe import store
from limbeck.forge.recipe.stage import TORCH_KINDS, Figures, Stage, Work, never
from limbeck.forge.verify import Limits, verify


@dataclass(frozen=True, kw_only=True)
class VerifyStage:
    """The largest relative errors allowed: of fp32 engines, and of int8 hidden states."""

    fp32: float = Limits.fp32
    int8: float = Limits.int8

    def __post_init__(self) -> None:
        for name in ("fp32", "int8"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, found {getattr(self, name)!r}")


def inputs(config: VerifyStage, work: Work) -> Mapping[str, str]:
    return {"source": work.last(*TORCH_KINDS).digest}


def run(config: VerifyStage, work: Work, directory: Path) -> Figures:
    report = verify(
        work.last("artifact").directory,
        against=work.last(*TORCH_KINDS).directory,
        limits=Limits(fp32=config.fp32, int8=config.int8),
    )
    found = {
        "inputs": report.inputs,
        "tokens": report.tokens,
        "errors": {
            f"{one.found} against {one.expected}, {one.output}": one.error
            for one in report.comparisons
        },
    }
    text = json.dumps(found, indent=1, sort_keys=True)
    store.write_file(directory / "verify.json", text.encode() + b"\n")
    return found


STAGE = Stage(
    kind="verify",
    takes=("artifact",),
    gives="check",
    config=VerifyStage,
    run=run,
    inputs=inputs,
    seeded=never,
)
