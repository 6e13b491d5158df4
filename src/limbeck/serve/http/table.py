"""Which route a path belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from limbeck.serve.protocols.base import Route
from limbeck.serve.refused import RefusedError

_PLACE = re.compile(r"\{([a-z_]+)\}")


@dataclass(slots=True, eq=False)
class Found:
    """The routes of one path by method, and the values of its placeholders."""

    methods: dict[str, Route]
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def allow(self) -> str:
        """For the header of that name."""
        allowed = set(self.methods) | {"OPTIONS"} | ({"HEAD"} if "GET" in self.methods else set())
        return ", ".join(sorted(allowed))

    def any(self) -> Route:
        """One of them, for its words of refusal."""
        return next(iter(self.methods.values()))


@dataclass(slots=True, eq=False)
class _Pattern:
    compiled: re.Pattern[str]
    methods: dict[str, Route] = field(default_factory=dict)


class Table:
    """Static paths in a dictionary, the others tried in the order in which they were given."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._static: dict[str, Found] = {}
        self._patterns: dict[str, _Pattern] = {}
        for route in self.routes:
            if _PLACE.search(route.path) is None:
                methods = self._static.setdefault(route.path, Found({})).methods
            else:
                shape = _PLACE.sub("{}", route.path)
                pattern = self._patterns.setdefault(shape, _Pattern(_compiled(route.path)))
                methods = pattern.methods
            if route.method in methods:
                raise AssertionError(f"{route.method} {route.path} is routed twice")
            methods[route.method] = route

    def find(self, path: str) -> Found | None:
        """The routes of a path as it was sent, percent signs and all; None: no such path.

        Raises:
            RefusedError: bad_request: what percent signs stand for is not UTF-8.
        """
        found = self._static.get(path)
        if found is not None:
            return found
        for pattern in self._patterns.values():
            match = pattern.compiled.fullmatch(path)
            if match is not None:
                values = match.groupdict()
                if "%" in path:
                    values = {name: _unquoted(value) for name, value in values.items()}
                return Found(pattern.methods, values)
        if "%" in path:
            return self._static.get(_unquoted(path))
        return None

    def nearest(self, path: str) -> Route | None:
        """The route that shares the most leading segments with an unknown path: its protocol tells
        the client. The first of equals, None where no segment is shared.
        """
        asked = path.split("/")[1:]
        best, most = None, 0
        for route in self.routes:
            shared = 0
            for own, other in zip(route.path.split("/")[1:], asked):
                if own != other or not own:
                    break
                shared += 1
            if shared > most:
                best, most = route, shared
        return best


def _compiled(path: str) -> re.Pattern[str]:
    parts = _PLACE.split(path)  # text, name, text, name, ..., text
    return re.compile(
        "".join(f"(?P<{part}>[^/]+)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    )


def _unquoted(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError("bad_request", "the path is not UTF-8") from None
