"""All protocols by name. Each is imported when it is enabled, and not before."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Final

from limbeck.errors import InputError
from limbeck.serve.protocols.base import Context, Route

# In this order; where several would answer an unknown path, the first one does.
PROTOCOLS: Final = {
    "own": "limbeck.serve.protocols.own",
    "classic": "limbeck.serve.protocols.classic",
    "decision": "limbeck.serve.protocols.decision",
    "huggingface": "limbeck.serve.protocols.huggingface",
    "oip": "limbeck.serve.protocols.oip",
    "openai": "limbeck.serve.protocols.openai",
}


def routes(context: Context) -> list[Route]:
    """The routes of all protocols that the settings enable.

    Raises:
        InputError: a protocol that there is not.
    """
    wanted = context.settings.server.protocols
    check(wanted)
    found: list[Route] = []
    for name, module in PROTOCOLS.items():
        if wanted is None or name in wanted:
            found += importlib.import_module(module).routes(context)
    return found


def check(wanted: Iterable[str] | None) -> None:
    """Whether there are such protocols; None is all.

    Raises:
        InputError: a protocol that there is not.
    """
    for name in wanted or ():
        if name not in PROTOCOLS:
            close = difflib.get_close_matches(name, PROTOCOLS, n=1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise InputError(
                f"server.protocols: there is no protocol {name!r}; {meant}"
                f"known: {', '.join(PROTOCOLS)}"
            )
