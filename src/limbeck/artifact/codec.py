"""Frozen dataclasses <-> JSON, field by field and by name.

Every field must be present and nothing else may be: an old reader must not skip what it does not
know, and a default of today must not change the meaning of a file of yesterday.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import reprlib
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from limbeck.errors import ArtifactError, ModelError

T = TypeVar("T")


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    """Field name -> annotation of a dataclass, resolved."""
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in dataclasses.fields(kind)}


def _optional(hint: Any) -> Any:
    """X of X | None; the only union that limbeck's values use."""
    (inner,) = [item for item in get_args(hint) if item is not types.NoneType]
    return inner


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _wrong(where: str, wanted: str, found: object) -> ArtifactError:
    return ArtifactError(f"{where} must be {wanted}, found {reprlib.repr(found)}")


def encode(hint: Any, value: Any, where: str) -> Any:
    """A value of type `hint` as JSON. Numbers of other libraries become Python's own.

    Raises:
        ArtifactError: a field holds something that its type does not allow.
    """
    if _is_union(hint):
        return None if value is None else encode(_optional(hint), value, where)
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        if not isinstance(value, hint):
            raise _wrong(where, f"a {hint.__name__}", value)
        return {
            name: encode(inner, getattr(value, name), f"{where}.{name}")
            for name, inner in hints_of(hint).items()
        }
    if get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        inner = get_args(hint)[0]
        return [encode(inner, item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, bool):  # which Python also counts among the integers
        if hint is bool:
            return value
        raise _wrong(where, describe(hint), value)
    if hint is int and isinstance(value, numbers.Integral):
        return int(value)
    if hint is float and isinstance(value, numbers.Real):
        number = float(value)
        if not math.isfinite(number):
            raise _wrong(where, "a finite number", value)
        return number
    if hint is str and isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ArtifactError(f"{where} holds half of a surrogate pair") from None
        return value
    if get_origin(hint) is Literal and isinstance(value, str) and value in get_args(hint):
        return value
    if get_origin(hint) is dict and isinstance(value, dict):
        return value
    raise _wrong(where, describe(hint), value)


def decode(hint: type[T], data: Any, where: str) -> T:
    """JSON as a value of type `hint`.

    Raises:
        ArtifactError: a key is unknown or missing, a value has the wrong type, or the value's own
            rules (`__post_init__`) refuse it.
    """
    return _decode(hint, data, where)  # type: ignore[no-any-return]


def _decode(hint: Any, data: Any, where: str) -> Any:
    if hint is Any:
        return data
    origin = get_origin(hint)
    if _is_union(hint):
        return None if data is None else _decode(_optional(hint), data, where)
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return _decode_object(hint, data, where)
    if origin is Literal and isinstance(data, str) and data in get_args(hint):
        return data
    if origin is tuple and isinstance(data, list):
        items = get_args(hint)
        if items[-1] is Ellipsis or len(items) == len(data):
            return tuple(
                _decode(items[0], item, f"{where}[{index}]") for index, item in enumerate(data)
            )
    if origin is dict and isinstance(data, dict):
        inner = get_args(hint)[1]
        return {key: _decode(inner, item, f"{where}.{key}") for key, item in data.items()}
    # bool is an int to Python, and 1 is a float to JSON.
    if hint in (int, str, bool) and type(data) is hint:
        return data
    if hint is float and type(data) in (int, float):
        return float(data)
    raise _wrong(where, describe(hint), data)


def _decode_object(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong(where, "an object", data)
    hints = hints_of(kind)
    for key in data:
        if key not in hints:
            raise ArtifactError(
                f"{where} has the unknown key {reprlib.repr(key)}{_hint(key, hints)}"
            )
    for name in hints:
        if name not in data:
            raise ArtifactError(f"{where} lacks the key {name!r}")
    fields = {name: _decode(hint, data[name], f"{where}.{name}") for name, hint in hints.items()}
    try:
        return kind(**fields)
    except ModelError as error:
        raise ArtifactError(f"{where}: {error}") from None


def _hint(key: str, known: dict[str, Any]) -> str:
    import difflib  # only when something is wrong: reading a good artifact need not load it

    close = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.5)
    return f"; the nearest known key is {close[0]!r}" if close else f"; known: {', '.join(known)}"


def describe(hint: Any) -> str:
    """A type in words, for messages and for the page."""
    words = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
    if hint in words:
        return words[hint]
    if hint is Any:
        return "anything"
    origin = get_origin(hint)
    if _is_union(hint):
        return f"{describe(_optional(hint))} or null"
    if origin is Literal:
        return " or ".join(f'"{item}"' for item in get_args(hint))
    if origin is tuple:
        items = get_args(hint)
        plural = {"an integer": "integers", "a string": "strings", "an object": "objects"}
        inner = plural.get(describe(items[0]), describe(items[0]))
        return f"a list of {inner}" if items[-1] is Ellipsis else f"a list of {len(items)} {inner}"
    return "an object"
