"""The wing with torch: teacher -> student -> int8 -> artifact.

In: an encoder directory and rows of one of its tasks. Out: a Hugging Face directory and a verified
artifact. Neighbours: data below brings rows, engine and artifact below judge and store; cli above
calls.
"""

from __future__ import annotations

import importlib.util

from limbeck.errors import MissingExtraError


def require(*packages: str, extra: str = "forge") -> None:
    """Check that optional packages are there, before a slow step finds out.

    Raises:
        MissingExtraError: one is not installed; the message names the extra that brings it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, extra)
