"""A recipe <-> TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from limbeck.data.readers.hub import is_hub_name
from limbeck.errors import InputError
from limbeck.evaluation import Limits
from limbeck.forge.recipe import order
from limbeck.forge.recipe.registry import STAGES
from limbeck.forge.recipe.sections import (
    CurveSection,
    DataSection,
    Recipe,
    RunSection,
    StageSection,
    TaskSection,
)
from limbeck.forge.recipe.toml_values import decode, document, nearest, plain

_SECTIONS: dict[str, type[Any]] = {
    "data": DataSection,
    "task": TaskSection,
    "run": RunSection,
    "gate": Limits,
    "curve": CurveSection,
}


def read(path: Path) -> Recipe:
    """A recipe from a file; relative paths in it are looked up from where it lies.

    Raises:
        InputError: no such file, no TOML, or no recipe; the message names the place.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read the recipe {path}: {reason}") from None
    return parse(text, name=str(path), home=path.parent)


def parse(text: str, *, name: str = "recipe", home: Path = Path()) -> Recipe:
    """A recipe from TOML; see `read`."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name} is no TOML: {error}") from None
    for section in tables:
        if section not in (*_SECTIONS, "stage"):
            known = [*_SECTIONS, "stage"]
            raise InputError(f"{name} has no section [{section}]{nearest(section, known)}")
    for needed in ("data", "run", "stage"):
        if needed not in tables:
            raise InputError(f"{name} needs a section [{needed}]")
    found = {
        section: decode(kind, _table(tables[section], f"{name}: [{section}]"), f"{name}: {section}")
        for section, kind in _SECTIONS.items()
        if section in tables
    }
    recipe = Recipe(
        data=found["data"],
        run=found["run"],
        stages=_stages(tables["stage"], name),
        task=found.get("task", TaskSection()),
        gate=found.get("gate"),
        curve=found.get("curve"),
    )
    order.check(recipe.stages, name)
    return at_home(recipe, home)


def _table(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{place} must be a table, found {value!r}")
    return value


def _stages(value: Any, name: str) -> tuple[StageSection, ...]:
    if not isinstance(value, list):
        raise InputError(f"{name}: stages are written as [[stage]], in double brackets")
    found = []
    for index, table in enumerate(value):
        place = f"{name}: stage[{index}]"
        keys = dict(_table(table, place))
        kind = keys.pop("kind", None)
        if not isinstance(kind, str) or kind not in STAGES:
            hint = nearest(kind, STAGES) if isinstance(kind, str) else nearest("", STAGES)
            raise InputError(f"{place}.kind: there is no stage {kind!r}{hint}")
        found.append(StageSection(kind=kind, config=decode(STAGES[kind].config, keys, place)))
    return tuple(found)


def at_home(recipe: Recipe, home: Path) -> Recipe:
    """The recipe with its relative paths looked up from a directory."""

    def from_home(path: Path | None) -> Path | None:
        return path if path is None or is_hub_name(path) else home / path

    data = replace(
        recipe.data,
        train=from_home(recipe.data.train) or recipe.data.train,
        validation=from_home(recipe.data.validation),
        test=from_home(recipe.data.test),
        transfer=from_home(recipe.data.transfer),
    )
    stages = [replace(one, config=_model_at_home(one.config, home)) for one in recipe.stages]
    return replace(
        recipe, data=data, run=replace(recipe.run, out=home / recipe.run.out), stages=tuple(stages)
    )


def _model_at_home(config: Any, home: Path) -> Any:
    """A model named by a path that is there is that one; any other name is the hub's."""

    def found(name: str) -> str:
        return str(home / name) if home != Path() and (home / name).is_dir() else name

    names = {one.name for one in fields(config)}
    for name in ("model", "encoder"):
        if name in names and getattr(config, name) is not None:
            config = replace(config, **{name: found(getattr(config, name))})
    if "teachers" in names:
        config = replace(config, teachers=tuple(found(name) for name in config.teachers))
    return config


def to_toml(recipe: Recipe) -> str:
    """The recipe as a file that `parse` reads as an equal value."""
    tables: list[tuple[str, Mapping[str, Any]]] = [
        ("[data]", plain(recipe.data)),
        ("[task]", plain(recipe.task)),
        ("[run]", plain(recipe.run)),
    ]
    tables += [("[[stage]]", {"kind": one.kind, **plain(one.config)}) for one in recipe.stages]
    if recipe.gate is not None:
        tables.append(("[gate]", plain(recipe.gate)))
    if recipe.curve is not None:
        tables.append(("[curve]", plain(recipe.curve)))
    return document(tables)
