"""A training that was stopped goes on when its command is given again.

Its state lies beside what it makes, in OUT.training, with a file that says what it was asked for.
Both go when the model is saved.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from limbeck.cli.messages import say
from limbeck.engine import LatencyTable
from limbeck.errors import InputError, LimbeckError
from limbeck.forge import saves as saving
from limbeck.forge.processes import Group
from limbeck.forge.recipe import store
from limbeck.forge.saves import Saves

ASKED_FILE = "asked.json"
_LATENCY_FILE = "latency.json"
_OWN = frozenset({ASKED_FILE, _LATENCY_FILE, saving.FILE})
# Fields that may be others when a training goes on: its steps are the same.
_APART = frozenset({"max_seconds"})
_SHOWN = 3
_DIGEST_LETTERS = 64


def directory_for(out: Path) -> Path:
    """Where the state of a training is kept that makes `out`."""
    named = out if out.name not in ("", "..") else Path(os.path.realpath(out))
    return named.with_name(f"{named.name}.training")


@contextlib.contextmanager
def kept(out: Path, group: Group, asked: Mapping[str, Any]) -> Iterator[Saves]:
    """Keep the state of a training while the block runs, or go on from what is kept.

    When the block ends well, the state is deleted; when it does not, one line says where it is.

    Args:
        asked: what decides the outcome: configuration, and digests of rows and models.

    Raises:
        InputError: what is kept belongs to another training, or the directory cannot be used.
        TrainingError: it cannot be written to.
    """
    saves = Saves(directory=directory_for(out))
    with contextlib.ExitStack() as stack:
        problem: LimbeckError | None = None
        if group.is_first:
            try:
                _check_directory(saves.directory)
                stack.enter_context(store.locked(saves.directory))
                _begin(saves, _plain({**asked, **saving.conditions(), "processes": group.count}))
            except LimbeckError as error:
                problem = error
        problem = group.firsts(problem)
        if problem is not None:
            raise problem
        try:
            yield saves
            group.wait()  # nobody looks for the state any more
        except BaseException as error:
            if group.is_first:
                _leave(saves, error)
            raise
        if group.is_first:
            _clear(saves.directory)


def measured_once(saves: Saves, measure: Callable[[], LatencyTable]) -> LatencyTable:
    """What the machine took when this training began: a second look would find other times.

    Raises:
        TrainingError: it cannot be kept.
    """
    file = saves.directory / _LATENCY_FILE
    found = store.read_json(file)
    if found is not None:
        return LatencyTable.from_dict(found)
    table = measure()
    store.write_json(file, table.as_dict())
    return table


def _check_directory(directory: Path) -> None:
    """Whether this is the state of a training, or nothing yet: some of it will be deleted."""
    if not directory.is_dir() or (directory / ASKED_FILE).is_file():
        return
    found = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    if found:
        raise InputError(
            f"{directory} holds {found[0]!r} and not what a training was asked for; the state of "
            "this one would lie there: move it away, or name another --out"
        )


def _begin(saves: Saves, asked: Mapping[str, Any]) -> None:
    if not saves.file.is_file():
        _clear(saves.directory, own=_OWN)
        store.write_json(saves.directory / ASKED_FILE, asked)
        return
    differences = _differences(store.read_json(saves.directory / ASKED_FILE) or {}, asked)
    if differences:
        more = len(differences) - _SHOWN
        tail = f", and {more} more" if more > 0 else ""
        raise InputError(
            f"{saves.directory} keeps the state of another training "
            f"({', '.join(differences[:_SHOWN])}{tail}): give that command again to go on with "
            f"it, or delete {saves.directory} to start anew"
        )
    say(f"limbeck: going on from the state of the training in {saves.directory}")


def _leave(saves: Saves, error: BaseException) -> None:
    """What is kept after a failure, and a line about it unless the error says where it is."""
    if not saves.file.is_file():
        _clear(saves.directory)
    elif str(saves.directory) not in str(error):
        say(
            f"limbeck: the state of the training is kept in {saves.directory}; the same command "
            "goes on from there"
        )


def _clear(directory: Path, own: frozenset[str] | None = None) -> None:
    """Delete what is ours, and the directory with it unless something else lies there.

    Args:
        own: delete these alone, and leave the directory.
    """
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            if path.name in _OWN or (own is None and path.name.startswith(".")):
                path.unlink()
        if own is None:
            directory.rmdir()


def _plain(asked: Mapping[str, Any]) -> dict[str, Any]:
    """As it looks when it has been through a file."""
    found: dict[str, Any] = json.loads(json.dumps(asked))
    return found


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What two trainings do not share, as a person would name it."""
    first, second = dict(_flat(there)), dict(_flat(here))
    found = []
    for place in sorted(first.keys() | second.keys()):
        before, now = first.get(place), second.get(place)
        name = place[-1]
        if before == now or name in _APART:
            continue
        if any(isinstance(one, str) and len(one) == _DIGEST_LETTERS for one in (before, now)):
            found.append(f"other {name}")
        else:
            found.append(f"{name} {before} there, {now} here")
    return found


def _flat(value: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    for name, one in value.items():
        if isinstance(one, Mapping):
            yield from _flat(one, (*place, name))
        else:
            yield (*place, name), one
