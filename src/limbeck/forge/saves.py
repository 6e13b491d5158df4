"""The state of an interrupted training run, kept so that it can go on to the same bits.

One file holds all of it: weights, optimiser, average, random state, place in the data. It is
written beside, synced and renamed, so that there is always a whole one, the old or the new.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import limbeck
from limbeck.errors import TrainingError
from limbeck.forge import faults

FILE = "training.safetensors"
_RECORD = "limbeck"


@dataclass(frozen=True, kw_only=True)
class Saves:
    """Where a run keeps its state, and after how many seconds it does so again."""

    directory: Path
    every_s: float = 120.0

    def __post_init__(self) -> None:
        if not self.every_s >= 0:
            raise TrainingError(f"every_s must not be negative, found {self.every_s!r}")

    @property
    def file(self) -> Path:
        return self.directory / FILE


@dataclass(frozen=True, kw_only=True)
class State:
    """What a run needs to go on: tensors by name, and the rest as JSON knows it."""

    tensors: Mapping[str, torch.Tensor]
    record: Mapping[str, Any]


def conditions() -> dict[str, Any]:
    """What of this process, beside weights, rows and settings, the bits of a training depend on."""
    return {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "limbeck": limbeck.__version__,
    }


def write(saves: Saves, state: State) -> None:
    """Replace what was kept before, whole or not at all.

    Raises:
        TrainingError: it cannot be written; what was kept before is still there.
    """
    draft = saves.file.with_name(f".{FILE}.{os.getpid()}")
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    try:
        saves.directory.mkdir(parents=True, exist_ok=True)
        try:
            faults.point("write")
            save_file(tensors, draft, metadata={_RECORD: json.dumps(dict(state.record))})
            _sync(draft)
            faults.point("rename")
            os.replace(draft, saves.file)
            _sync(saves.directory)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"the state of the training cannot be kept in {saves.directory} ({error}); what was "
            "kept before is still there: make room and start again, it goes on from there"
        ) from None


def read(saves: Saves) -> State | None:
    """What was kept last; None where nothing was.

    Raises:
        TrainingError: the file is damaged.
    """
    if not saves.file.is_file():
        return None
    try:
        with safe_open(saves.file, framework="pt") as file:
            record = json.loads((file.metadata() or {})[_RECORD])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise TrainingError(
            f"{saves.file} is damaged ({error}); delete it, and the training starts anew"
        ) from None
    return State(tensors=tensors, record=record)


def optimiser_tensors(
    optimiser: torch.optim.Optimizer, parameters: list[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The optimiser's state by number of the parameter; one that never had a gradient has none."""
    return {
        f"optimiser.{number}.{name}": value
        for number, parameter in enumerate(parameters)
        for name, value in optimiser.state.get(parameter, {}).items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer,
    parameters: list[torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """Give the optimiser what `optimiser_tensors` took from another one."""
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimiser":
            number, _, key = rest.partition(".")
            parameter = parameters[int(number)]
            optimiser.state[parameter][key] = value.to(parameter.device)


def _sync(path: Path) -> None:
    faults.point("fsync")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
