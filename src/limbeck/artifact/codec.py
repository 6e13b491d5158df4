"""Frozen dataclasses <-> JSON, field by field and by name.

Every field must be present and nothing else may be: an old reader must not skip what it does not
know, and a default of today must not change the meaning of a file of yesterday.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from limbeck.artifact.strict_json import shown
from limbeck.errors import ArtifactError, ModelError

T = TypeVar("T")


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    """Field name -> annotation of a dataclass, resolved."""
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in dataclasses.fields(kind)}


@functools.cache
def _form(hint: Any) -> tuple[str, tuple[Any, ...]]:
    """What kind of annotation this is, and its arguments. Asking typing each time would be slow."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = [item for item in arguments if item is not types.NoneType]
        return "optional", (inner,)  # X | None, the only union that limbeck's values use
    if dataclasses.is_dataclass(hint):
        return "object", ()
    forms = {Literal: "choice", tuple: "list", dict: "mapping"}
    if origin in forms:
        return forms[origin], arguments
    return "anything" if hint is Any else "plain", ()


def _wrong(where: str, hint: Any, found: object) -> ArtifactError:
    return ArtifactError(f"{where} must be {describe(hint)}, found {shown(found)}")


def encode(hint: Any, value: Any, where: str) -> Any:
    """A value of type `hint` as JSON. Numbers of other libraries become Python's own.

    Raises:
        ArtifactError: a field holds something that its type does not allow.
    """
    form, arguments = _form(hint)
    if form == "plain":
        return _encode_plain(hint, value, where)
    if form == "optional":
        return None if value is None else encode(arguments[0], value, where)
    if form == "object" and isinstance(value, hint):
        return {
            name: encode(inner, getattr(value, name), f"{where}.{name}")
            for name, inner in hints_of(hint).items()
        }
    if form == "list" and isinstance(value, (list, tuple)):
        inner = arguments[0]
        return [encode(inner, item, f"{where}[{index}]") for index, item in enumerate(value)]
    if form == "choice" and isinstance(value, str) and value in arguments:
        return value
    if form == "mapping" and isinstance(value, dict):
        return value
    raise _wrong(where, hint, value)


def _encode_plain(hint: Any, value: Any, where: str) -> Any:
    if hint is str and isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ArtifactError(f"{where} holds half of a surrogate pair") from None
        return value
    if hint is bool and isinstance(value, bool):
        return value
    if isinstance(value, bool):  # which Python also counts among the integers
        raise _wrong(where, hint, value)
    if hint is int and isinstance(value, numbers.Integral):
        return int(value)
    if hint is float and isinstance(value, numbers.Real) and math.isfinite(value):
        return float(value)
    raise _wrong(where, hint, value)


def decode(hint: type[T], data: Any, where: str) -> T:
    """JSON as a value of type `hint`.

    Raises:
        ArtifactError: a key is unknown or missing, a value has the wrong type, or the value's own
            rules (`__post_init__`) refuse it.
    """
    return _decode(hint, data, where)  # type: ignore[no-any-return]


def _decode(hint: Any, data: Any, where: str) -> Any:
    form, arguments = _form(hint)
    if form == "plain":
        # Exact types: a bool is an int to Python. An int is a number to JSON.
        if type(data) is hint:
            return data
        if hint is float and type(data) is int:
            return float(data)
    elif form == "anything":
        return data
    elif form == "optional":
        return None if data is None else _decode(arguments[0], data, where)
    elif form == "object" and isinstance(data, dict):
        return _decode_object(hint, data, where)
    elif form == "choice" and isinstance(data, str) and data in arguments:
        return data
    elif form == "mapping" and isinstance(data, dict):
        return {key: _decode(arguments[1], item, f"{where}.{key}") for key, item in data.items()}
    elif form == "list" and isinstance(data, list):
        inner, many = arguments[0], arguments[-1] is Ellipsis
        if many or len(data) == len(arguments):
            return tuple(
                _decode(inner, item, f"{where}[{index}]") for index, item in enumerate(data)
            )
    raise _wrong(where, hint, data)


def _decode_object(kind: type, data: dict[str, Any], where: str) -> Any:
    hints = hints_of(kind)
    for key in data:
        if key not in hints:
            raise ArtifactError(f"{where} has the unknown key {shown(key)}{_hint(key, hints)}")
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
    form, arguments = _form(hint)
    words = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
    if form == "plain":
        return words[hint]
    if form == "optional":
        return f"{describe(arguments[0])} or null"
    if form == "choice":
        return " or ".join(f'"{item}"' for item in arguments)
    if form == "list":
        inner = describe(arguments[0])
        inner = f"{inner.removeprefix('an ').removeprefix('a ')}s" if inner[:1] == "a" else inner
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        return f"a list of {count}{inner}"
    return "anything" if form == "anything" else "an object"
