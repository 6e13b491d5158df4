"""run.json: what a run decided once for all its stages, and holds to wherever it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from limbeck.errors import InputError
from limbeck.forge.recipe import store
from limbeck.forge.training import ChosenPrecision, PrecisionProbe

FILE = "run.json"
_VERSION = 1
# What may lie in an output directory that is not a run's yet.
_HARMLESS = frozenset({".lock"})


@dataclass(frozen=True, kw_only=True)
class RunState:
    """threads: of torch. probe: seconds of a step in each precision, and the one chosen; None
    where the recipe says which, or nothing has been trained yet."""

    threads: int
    probe: PrecisionProbe | None = None

    @property
    def precision(self) -> ChosenPrecision | None:
        return None if self.probe is None else self.probe.chosen


def check_directory(run: Path) -> None:
    """Whether a run may live here: nothing is there, or an earlier run.

    Raises:
        InputError: it is a file, or holds something else.
    """
    if run.is_file():
        raise InputError(f"{run} is a file; name a directory with out")
    if not run.is_dir() or (run / FILE).is_file():
        return
    found = sorted(path.name for path in run.iterdir() if path.name not in _HARMLESS)
    # the first write of a run is run.json; a draft of it is all that a killed one leaves
    found = [name for name in found if not name.startswith(f".{FILE}.")]
    if found:
        raise InputError(
            f"{run} holds {found[0]!r} and no run of a recipe; name another directory with out"
        )


def open_state(run: Path, threads: int | None, begin: RunState | None = None) -> RunState:
    """The run's state, begun where there is none; threads that the recipe names go before it.

    Args:
        begin: what a new run begins with; None: as this machine has it.

    Raises:
        InputError: run.json is damaged or of another version.
    """
    fields = store.read_json(run / FILE)
    if fields is None:
        state = begin or RunState(threads=threads or torch.get_num_threads())
        keep(run, state)
    else:
        state = _decoded(run / FILE, fields)
    if threads is not None and threads != state.threads:
        state = replace(state, threads=threads)
        keep(run, state)
    return state


def keep(run: Path, state: RunState) -> None:
    """Write run.json."""
    store.write_json(run / FILE, {"version": _VERSION, **asdict(state)})


def keep_marker(run: Path) -> None:
    """Say that a directory holds runs, one a seed."""
    run.mkdir(parents=True, exist_ok=True)
    if not (run / FILE).is_file():
        store.write_json(run / FILE, {"version": _VERSION, "runs": "one a seed"})


def _decoded(path: Path, fields: dict[str, Any]) -> RunState:
    try:
        if fields["version"] != _VERSION:
            raise ValueError(f"version {fields['version']}")
        probe = fields["probe"]
        state = RunState(
            threads=int(fields["threads"]),
            probe=None if probe is None else PrecisionProbe(**probe),
        )
        if state.threads < 1 or state.precision not in (None, "fp32", "bf16"):
            raise ValueError("values that are none")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no state of a run ({error}); name another out") from None
    return state


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads for torch inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
