"""Sentence templates: `[one|other|]` is a choice, `{slot}` a drawn value, all else stands as it is.

Parsed once, expanded with a `random.Random` into segments that still know which of them are
contact details, so that the place of a leak is known to the character.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, TypeAlias

from limbeck.errors import InputError

Role = Literal["text", "value", "leak", "third"]


class Segment(NamedTuple):
    """A stretch of text. `twin` is the same stretch with fictional numbers, names and domains.

    role: "text" stands in the template; "value" is a drawn number, name or word; "leak" is a
    contact of the host; "third" is a contact of somebody else.
    """

    text: str
    twin: str
    role: Role = "text"
    notation: str = ""


@dataclass(frozen=True)
class _Slot:
    name: str


@dataclass(frozen=True)
class _Choice:
    options: tuple[Parsed, ...]


Node: TypeAlias = "str | _Slot | _Choice"
Parsed: TypeAlias = "tuple[Node, ...]"
Fill = Callable[[str, random.Random], Segment]


def _parse_sequence(template: str, at: int, inside: bool) -> tuple[Parsed, int]:
    nodes: list[Node] = []
    plain: list[str] = []

    def close_plain() -> None:
        if plain:
            nodes.append("".join(plain))
            plain.clear()

    while at < len(template):
        sign = template[at]
        if sign == "{":
            end = template.find("}", at)
            if end < 0:
                raise InputError(f"template {template!r}: the brace at {at} is not closed")
            close_plain()
            nodes.append(_Slot(template[at + 1 : end]))
            at = end + 1
        elif sign == "[":
            close_plain()
            options: list[Parsed] = []
            at += 1
            while True:
                option, at = _parse_sequence(template, at, True)
                options.append(option)
                if at >= len(template):
                    raise InputError(f"template {template!r}: a bracket is not closed")
                at += 1
                if template[at - 1] == "]":
                    break
            nodes.append(_Choice(tuple(options)))
        elif inside and sign in "|]":
            break
        else:
            plain.append(sign)
            at += 1
    close_plain()
    return tuple(nodes), at


@cache
def parse(template: str) -> Parsed:
    """Parse a template.

    Raises:
        InputError: a bracket or brace is not closed.
    """
    nodes, _ = _parse_sequence(template, 0, False)
    return nodes


def expand(nodes: Parsed, rng: random.Random, fill: Fill) -> list[Segment]:
    """Draw one sentence from a parsed template; `fill` draws the value of a named slot."""
    out: list[Segment] = []
    for node in nodes:
        if isinstance(node, str):
            out.append(Segment(node, node))
        elif isinstance(node, _Slot):
            out.append(fill(node.name, rng))
        else:
            out.extend(expand(rng.choice(node.options), rng, fill))
    return out


def literals(nodes: Parsed) -> Iterable[str]:
    """Every stretch of fixed wording in a template, choices included."""
    for node in nodes:
        if isinstance(node, str):
            yield node
        elif isinstance(node, _Choice):
            for option in node.options:
                yield from literals(option)


def slots(nodes: Parsed) -> Iterable[str]:
    """Every slot name in a template, choices included."""
    for node in nodes:
        if isinstance(node, _Slot):
            yield node.name
        elif isinstance(node, _Choice):
            for option in node.options:
                yield from slots(option)
