"""Everything that can be timed: its name, its environment, what it loads, and who runs it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from limbeck.bench.protocol import Loaded
from limbeck.errors import InputError

Precision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """`source`: which file of the test model it loads, a key of the paths given to `load`.

    `environment`: the one under .peers that it runs in; None: this one. `note` tells two settings
    of one runtime apart. `static`: it knows no shapes but those it was compiled for. `packs`: it
    takes rows of unequal length without padding them.
    """

    runtime: Literal["limbeck", "onnxruntime", "torch", "openvino", "ctranslate2", "deepsparse"]
    precision: Precision
    source: Literal["hf", "plain", "fp32", "int8", "static"]
    environment: str | None = None
    note: str = ""
    static: bool = False
    packs: bool = False

    @property
    def name(self) -> str:
        return f"{self.runtime} {self.precision}" + (f" {self.note}" if self.note else "")

    def load(self, paths: Mapping[str, str], threads: int) -> Loaded:
        """The model in this process, by the runner of the same name.

        Peers that convert the source first keep the result in `paths["work"]`.
        """
        runner = importlib.import_module(f"limbeck.bench.runners.run_{self.runtime}")
        work = Path(paths["work"]) if "work" in paths else None
        loaded: Loaded = runner.load(self, Path(paths[self.source]), work, threads)
        return loaded


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant(runtime="limbeck", precision="int8", source="hf", packs=True),
        Contestant(runtime="limbeck", precision="fp32", source="hf", packs=True),
        Contestant(runtime="limbeck", precision="bf16", source="hf", packs=True),
        Contestant(runtime="onnxruntime", precision="int8", source="int8"),
        Contestant(runtime="onnxruntime", precision="fp32", source="fp32"),
        Contestant(runtime="torch", precision="fp32", source="hf"),
        Contestant(runtime="torch", precision="bf16", source="hf"),
        Contestant(runtime="torch", precision="int8", source="hf"),
        Contestant(
            runtime="openvino",
            precision="int8",
            source="plain",
            environment="openvino",
            note="f32-hint",
        ),
        Contestant(
            runtime="openvino",
            precision="int8",
            source="plain",
            environment="openvino",
            note="bf16-hint",
        ),
        Contestant(
            runtime="ctranslate2",
            precision="int8",
            source="hf",
            environment="ctranslate2",
            packs=True,
        ),
        Contestant(
            runtime="deepsparse",
            precision="int8",
            source="static",
            environment="deepsparse",
            static=True,
        ),
    )
}
REFERENCE = "torch fp32"


def contestant(name: str) -> Contestant:
    """The contestant of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name not in CONTESTANTS:
        raise InputError(f"no contestant {name!r}; there are: {', '.join(CONTESTANTS)}")
    return CONTESTANTS[name]
