"""The template files beside this module, read once: families by what they are, kind and split.

A file holds one kind; under `== train ==`, `== validation ==` and `== test ==` stands one template
a line, and each line is a family of its own. A line `@name: one | two` names wording that the
templates below it, of the same file and heading, use as `{@name}`; `phrases.txt` has such lines for
all files, again by heading. `words.txt` holds the lists of single words that all splits share.

Whoever adds training wording looks at the mistakes made on validation texts, never on test texts:
the test families are there to say how wording fares that nobody had in mind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from limbeck.data.listings.grammar import Parsed, parse
from limbeck.errors import InputError

What = Literal["leak", "harmless", "carrier"]
Bank = Literal["train", "validation", "test"]

BANKS: tuple[Bank, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Family:
    """One template and everything it can say. `name` is unique, such as `leak/phone/test/03`."""

    name: str
    kind: str
    bank: Bank
    template: str

    @property
    def parsed(self) -> Parsed:
        return parse(self.template)


def _sections(name: str, text: str) -> Iterator[tuple[Bank, str]]:
    """The lines of a template file, each with the heading that it stands under."""
    bank: Bank | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("==") and line.endswith("=="):
            title = line.strip("= ")
            bank = next((known for known in BANKS if known == title), None)
            if bank is None:
                raise InputError(f"{name}:{number}: unknown heading {title!r}")
        elif bank is None:
            raise InputError(f"{name}:{number}: a line stands before any heading")
        else:
            yield bank, line


def _phrase(line: str) -> tuple[str, str]:
    """`@name: one | two` -> name and the choice `[one|two]`."""
    name, _, options = line[1:].partition(":")
    said = (option.strip() for option in options.split(" | "))
    # An underscore is a space, which would be lost at the edge of an option.
    return name.strip(), "[" + "|".join(re.sub("^_", " ", option) for option in said) + "]"


@cache
def _shared_phrases() -> dict[Bank, dict[str, str]]:
    text = (files("limbeck.data.listings") / "templates" / "phrases.txt").read_text("utf-8")
    phrases: dict[Bank, dict[str, str]] = {bank: {} for bank in BANKS}
    for bank, line in _sections("phrases.txt", text):
        name, choice = _phrase(line)
        phrases[bank][name] = choice
    return phrases


def _read_file(what: str, kind: str, text: str) -> list[Family]:
    found: list[Family] = []
    phrases = {bank: dict(shared) for bank, shared in _shared_phrases().items()}
    for bank, line in _sections(f"{what}/{kind}.txt", text):
        if line.startswith("@"):
            name, choice = _phrase(line)
            phrases[bank][name] = choice
            continue
        for name, choice in phrases[bank].items():
            line = line.replace("{@" + name + "}", choice)
        if "{@" in line:
            raise InputError(f"{what}/{kind}.txt: no such phrase in {line!r}")
        place = sum(family.bank == bank for family in found)
        found.append(Family(f"{what}/{kind}/{bank}/{place:02d}", kind, bank, line))
    return found


@cache
def families(what: What) -> tuple[Family, ...]:
    """All families of leaks, of harmless sentences, or of carrier sentences."""
    folder = files("limbeck.data.listings") / "templates" / what
    found: list[Family] = []
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".txt"):
            found.extend(
                _read_file(what, entry.name.removesuffix(".txt"), entry.read_text(encoding="utf-8"))
            )
    return tuple(found)


@cache
def by_kind(what: What, bank: Bank) -> dict[str, tuple[Family, ...]]:
    """The families of one bank, keyed by kind."""
    grouped: dict[str, list[Family]] = {}
    for family in families(what):
        if family.bank == bank:
            grouped.setdefault(family.kind, []).append(family)
    return {kind: tuple(members) for kind, members in grouped.items()}


@cache
def words() -> dict[str, tuple[str, ...]]:
    """The shared lists: `name: one | two | three` in words.txt; a name may go on in more lines."""
    text = (files("limbeck.data.listings") / "templates" / "words.txt").read_text(encoding="utf-8")
    lists: dict[str, list[str]] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, rest = line.partition(":")
        if not colon:
            raise InputError(f"words.txt:{number}: expected `name: one | two`")
        lists.setdefault(name.strip(), []).extend(word.strip() for word in rest.split("|"))
    return {name: tuple(word for word in found if word) for name, found in lists.items()}
