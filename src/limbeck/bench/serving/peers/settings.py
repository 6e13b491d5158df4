"""What every peer's server is told: on the command line, and its processes by one variable.

Standard library only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

# Workers that a framework starts by itself see the environment, not the command line.
VARIABLE = "LIMBECK_BENCH_SERVER"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`workers` processes that compute, `threads` in each; at most `batch` texts together, which
    wait up to `wait_ms` for one another.

    `slots`: requests that compute at once in a worker where the framework hands each to a thread.
    0: as many as the framework has threads.
    """

    port: int
    model: str
    tokenizer: str
    workers: int
    threads: int
    batch: int = 1
    wait_ms: float = 0
    slots: int = 0
    max_tokens: int = 512

    @classmethod
    def from_arguments(cls, arguments: Sequence[str] | None = None) -> Self:
        """Read the command line, and hand it on to processes begun from here."""
        parser = argparse.ArgumentParser(description="A peer's server of text classification.")
        for field in dataclasses.fields(cls):
            kind = {"int": int, "float": float, "str": str}[str(field.type)]
            required = field.default is dataclasses.MISSING
            default = None if required else field.default
            name = f"--{field.name.replace('_', '-')}"
            parser.add_argument(name, type=kind, required=required, default=default)
        settings = cls(**vars(parser.parse_args(arguments)))
        os.environ[VARIABLE] = json.dumps(dataclasses.asdict(settings))
        return settings

    @classmethod
    def from_environment(cls) -> Self:
        """What `from_arguments` handed on."""
        return cls(**json.loads(os.environ[VARIABLE]))
