"""Tables of TOML <-> frozen dataclasses, with errors that name the place.

A field that is a dataclass itself lies flat in the table of its owner: `epochs` of a stage is the
field of its TrainingConfig. What the run decides for all stages is not among a stage's keys.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from limbeck.errors import InputError, LimbeckError

_T = TypeVar("_T")
# Fields with this in their metadata name keys that are left out of the flat part below them.
WITHOUT = "without"


def nearest(name: str, known: Iterable[str]) -> str:
    """ ", did you mean ...?" with the nearest known name, or the list of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(names)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Key:
    """One key of a table: the way to its field through nested values, and its type."""

    way: tuple[str, ...]
    type: Any


def keys_of(kind: type[Any]) -> dict[str, _Key]:
    """The keys of a dataclass's table."""
    return _keys(kind, (), frozenset())


def _keys(kind: type[Any], way: tuple[str, ...], without: frozenset[str]) -> dict[str, _Key]:
    hints = typing.get_type_hints(kind)
    found: dict[str, _Key] = {}
    for one in dataclasses.fields(kind):
        if one.name in without:
            continue
        hint = hints[one.name]
        if dataclasses.is_dataclass(hint):
            inner = _keys(
                typing.cast(type[Any], hint),
                (*way, one.name),
                without | frozenset(one.metadata.get(WITHOUT, ())),
            )
        else:
            inner = {one.name: _Key(way=(*way, one.name), type=hint)}
        if double := set(found) & set(inner):
            raise AssertionError(f"{kind.__name__} has the key {sorted(double)[0]!r} twice")
        found |= inner
    return found


def decode(kind: type[_T], table: Mapping[str, Any], place: str) -> _T:
    """The value that a table describes; keys that are not there have their defaults.

    Args:
        place: what the table is called in errors, such as "recipe.toml: stage[1]".

    Raises:
        InputError: an unknown key, a wrong type, or a value out of range.
    """
    known = keys_of(kind)
    for name in table:
        if name not in known:
            raise InputError(f"{place} has no key {name!r}{nearest(name, known)}")
    values = {
        name: _value(known[name].type, value, f"{place}.{name}") for name, value in table.items()
    }
    required = [
        one.name
        for one in dataclasses.fields(kind)  # type: ignore[arg-type]
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    for name in required:
        if name not in values:
            raise InputError(f"{place} needs the key {name!r}")
    try:
        start = kind(**{name: values[name] for name in required})
    except LimbeckError as error:
        where = f"{place}.{required[0]}" if len(required) == 1 else place
        raise InputError(f"{where}: {error}") from None
    for name, value in values.items():
        # alone first, so that the error can say which key it is about
        try:
            _replaced(start, known[name].way, value)
        except LimbeckError as error:
            alone = _makes_sense_with(start, known, values, name)
            if not alone:
                raise InputError(f"{place}.{name}: {error}") from None
    try:
        made: _T = _all_replaced(start, {known[name].way: value for name, value in values.items()})
    except LimbeckError as error:
        raise InputError(f"{place}: {error}") from None
    return made


def _makes_sense_with(
    start: Any, known: Mapping[str, _Key], values: Mapping[str, Any], name: str
) -> bool:
    """Whether a value that is refused beside the defaults is fine beside another given one."""
    for other in values:
        if other == name:
            continue
        try:
            _all_replaced(start, {known[name].way: values[name], known[other].way: values[other]})
        except LimbeckError:
            continue
        return True
    return False


def _replaced(value: Any, way: tuple[str, ...], leaf: Any) -> Any:
    return _all_replaced(value, {way: leaf})


def _all_replaced(value: Any, leaves: Mapping[tuple[str, ...], Any]) -> Any:
    """The value with these fields, some of them inside nested values, replaced in one go."""
    changes: dict[str, Any] = {}
    inner: dict[str, dict[tuple[str, ...], Any]] = {}
    for way, leaf in leaves.items():
        if len(way) == 1:
            changes[way[0]] = leaf
        else:
            inner.setdefault(way[0], {})[way[1:]] = leaf
    for name, below in inner.items():
        changes[name] = _all_replaced(getattr(value, name), below)
    return dataclasses.replace(value, **changes)


def _value(hint: Any, value: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        # TOML has no null: None is a key that is not there
        (inner,) = [one for one in arguments if one is not type(None)]
        return _value(inner, value, place)
    if origin is typing.Literal:
        if value not in arguments or isinstance(value, bool):
            words = [str(one) for one in arguments]
            hinted = nearest(value, words) if isinstance(value, str) else ""
            raise InputError(f"{place} must be one of {', '.join(words)}, found {value!r}{hinted}")
        return value
    if origin is tuple:
        return _tuple(arguments, value, place)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise InputError(f"{place} must be a table, found {value!r}")
        return decode(typing.cast(type[Any], hint), value, place)
    if hint is bool:
        return _of(bool, "true or false", value, place)
    if hint is int:
        return _of(int, "a whole number", value, place)
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{place} must be a number, found {value!r}")
        if not math.isfinite(value):
            raise InputError(f"{place} must be finite, found {value!r}")
        return float(value)
    if hint is str:
        return _of(str, "a text in quotes", value, place)
    if hint is Path:
        return Path(_of(str, "a path in quotes", value, place))
    raise AssertionError(f"{place}: no rule for {hint!r}")


def _of(kind: type[_T], said: str, value: Any, place: str) -> _T:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{place} must be {said}, found {value!r}")
    return value


def _tuple(arguments: Sequence[Any], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise InputError(f"{place} must be a list in brackets, found {value!r}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        wanted = [arguments[0]] * len(value)
    else:
        wanted = list(arguments)
        if len(value) != len(wanted):
            raise InputError(f"{place} must have {len(wanted)} entries, found {len(value)}")
    return tuple(
        _value(hint, one, f"{place}[{index}]")
        for index, (hint, one) in enumerate(zip(wanted, value, strict=True))
    )


def plain(value: Any) -> dict[str, Any]:
    """The table of a value: every key that is not None, as TOML and JSON can hold it."""
    found: dict[str, Any] = {}
    for name, key in keys_of(type(value)).items():
        leaf = value
        for step in key.way:
            leaf = getattr(leaf, step)
        if leaf is not None:
            found[name] = _plain(leaf)
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return plain(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def document(tables: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """TOML of headed tables, such as ("[data]", {...}); lists of tables are written inline."""
    parts = []
    for head, table in tables:
        lines = [f"{name} = {_text(value)}" for name, value in table.items()]
        parts.append("\n".join([head, *lines]))
    return "\n\n".join(parts) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped too
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_text(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return str(value)
