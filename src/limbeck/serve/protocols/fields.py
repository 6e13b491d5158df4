"""The fields that protocols share: each is checked once, here, and strictly.

JSON's types are taken as they are: "12" is no number, true is no integer. What is wrong is refused
with its place, and with the nearest name where one is unknown.
"""

from __future__ import annotations

import difflib
import math
import re
import reprlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from limbeck.serve.protocols.base import Call
from limbeck.serve.refused import RefusedError
from limbeck.serve.request import PRIORITIES, characters_of
from limbeck.serve.settings import NAME_PATTERN, LimitSettings

TIMEOUT_HEADER = "x-request-timeout-ms"
_NAME = re.compile(NAME_PATTERN)
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
_SHOWN_CHARACTERS = 80
# It looks at the first parts of a value only; repr() would write a megabyte to cut it off.
_cut = reprlib.Repr()
_cut.maxstring = _cut.maxother = _cut.maxlong = _SHOWN_CHARACTERS


def shown(value: object) -> str:
    """A value in a message, cut where a client made it long."""
    text = _cut.repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def kind(value: object) -> str:
    """JSON's name for the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an object" if isinstance(value, Mapping) else "an array"


def nearest(name: str, known: Collection[str]) -> str:
    """What may have been meant, and all that there is, for the end of a message."""
    close = difflib.get_close_matches(name[:_SHOWN_CHARACTERS], sorted(known), n=1, cutoff=0.5)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}known: {', '.join(map(repr, sorted(known))) or 'none'}"


def an_object(
    value: object,
    where: str,
    *,
    known: Collection[str] | None = None,
    required: Collection[str] = (),
) -> dict[str, Any]:
    """An object with no unknown field, and with all that are required.

    Args:
        where: its place, for messages, such as "the body".
        known: names of all its fields; None: any.

    Raises:
        RefusedError: bad_request.
    """
    if not isinstance(value, dict):
        raise RefusedError("bad_request", f"{where} must be an object, found {kind(value)}")
    for name in value:
        if known is not None and name not in known:
            raise RefusedError(
                "bad_request", f"{where} has no field {shown(name)}; {nearest(name, known)}"
            )
    for name in required:
        if name not in value:
            raise RefusedError("bad_request", f"{where} lacks the field {name!r}")
    return value


def a_string(value: object, where: str) -> str:
    """Raises RefusedError (bad_request) for anything but a string."""
    if not isinstance(value, str):
        raise RefusedError("bad_request", f"{where} must be a string, found {kind(value)}")
    return value


def a_boolean(value: object, where: str) -> bool:
    """Raises RefusedError (bad_request) for anything but true and false."""
    if not isinstance(value, bool):
        raise RefusedError("bad_request", f"{where} must be true or false, found {kind(value)}")
    return value


def an_integer(value: object, where: str, *, lowest: int, highest: int | None = None) -> int:
    """Raises RefusedError (bad_request) for anything but an integer in the range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError("bad_request", f"{where} must be an integer, found {kind(value)}")
    if value < lowest or (highest is not None and value > highest):
        upto = f"from {lowest}" if highest is None else f"in {lowest} .. {highest}"
        raise RefusedError("bad_request", f"{where} must be {upto}, found {shown(value)}")
    return value


def a_list(value: object, where: str) -> list[Any]:
    """Raises RefusedError (bad_request) for anything but an array."""
    if not isinstance(value, list):
        raise RefusedError("bad_request", f"{where} must be an array, found {kind(value)}")
    return value


def a_name(value: str, what: str) -> str:
    """A name of a model or version.

    Raises:
        RefusedError: bad_request; no such name can exist.
    """
    if _NAME.match(value) is None or value.endswith("\n"):
        raise RefusedError(
            "bad_request",
            f"{shown(value)} is no name of a {what}: letters, digits, '.', '_' and '-', beginning "
            "with a letter or digit, 128 at most",
        )
    return value


def timeout_s(
    call: Call,
    value: object,
    *,
    limits: LimitSettings,
    where: str = "timeout_ms",
    unit_s: float = 1e-3,
) -> float | None:
    """How long the client will wait, counted from the head of its request.

    Args:
        value: of the body, which wins over the header X-Request-Timeout-Ms; None: not given there.
        where: the name of the body's field.
        unit_s: seconds in one unit of it.

    Returns:
        Seconds; None where neither says.

    Raises:
        RefusedError: deadline for 0, which has passed before anything can be done; bad_request for
            a negative number, more than the limit, or no number.
    """
    given = call.headers.get(TIMEOUT_HEADER)
    longest_s = limits.max_timeout_ms / 1000
    header_s = None
    if given is not None:
        name = "the header X-Request-Timeout-Ms"
        if _NUMBER.fullmatch(given.strip()) is None:
            raise RefusedError("bad_request", f"{name} must be a number, found {shown(given)}")
        header_s = _seconds(float(given), name, longest_s, 1e-3)
    return header_s if value is None else _seconds(value, where, longest_s, unit_s)


def _seconds(value: object, where: str, longest_s: float, unit_s: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError("bad_request", f"{where} must be a number, found {kind(value)}")
    # Compared before multiplying: an integer can have more digits than a float can hold.
    if value < 0 or value > longest_s / unit_s or not math.isfinite(value):
        raise RefusedError(
            "bad_request",
            f"{where} must be in 0 .. {longest_s / unit_s:.0f}, found {shown(value)}",
        )
    if value == 0:
        raise RefusedError("deadline", f"{where} is 0: the deadline has passed on arrival")
    return value * unit_s


def priority(value: object, where: str = "priority") -> int | None:
    """A class of priority by name or number; None where not given.

    Raises:
        RefusedError: bad_request.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if value not in PRIORITIES:
            raise RefusedError(
                "bad_request", f"{where} {shown(value)} is unknown; {nearest(value, PRIORITIES)}"
            )
        return PRIORITIES[value]
    return an_integer(value, where, lowest=0, highest=max(PRIORITIES.values()))


def parameters(value: object, where: str = "parameters") -> dict[str, Any]:
    """Options of the model's task by name; they are judged by its pipeline. null is none.

    Raises:
        RefusedError: bad_request for anything but an object.
    """
    return {} if value is None else an_object(value, where)


def use_cache(call: Call) -> bool:
    """False where the client says `Cache-Control: no-cache` (or no-store)."""
    said = call.headers.get("cache-control", "").lower()
    return not {"no-cache", "no-store"} & {part.strip() for part in said.split(",")}


def within_limits(inputs: Sequence[Any], limits: LimitSettings) -> None:
    """Raises RefusedError (too_large) for more rows or characters than a request may have."""
    if len(inputs) > limits.rows:
        raise RefusedError(
            "too_large", f"{len(inputs)} inputs; at most {limits.rows} are taken in one request"
        )
    characters = sum(map(characters_of, inputs))
    if characters > limits.characters:
        raise RefusedError(
            "too_large",
            f"{characters} characters; at most {limits.characters} are taken in one request",
        )
