"""Runtimes: a path or a hub name in, a Model that answers out, whatever computes behind it.

In: an artifact or a Hugging Face directory. Out: `Model`, one protocol for all runtimes.
Neighbours: artifact, huggingface, text and engine below; `limbeck.pipeline` above.
"""

from __future__ import annotations

from limbeck.runtimes.calibration import packed_texts, static_ranges
from limbeck.runtimes.loading import load
from limbeck.runtimes.model import Model, Output
from limbeck.runtimes.own import OwnModel
from limbeck.runtimes.source import Source, open_source

__all__ = [
    "Model",
    "Output",
    "OwnModel",
    "Source",
    "load",
    "open_source",
    "packed_texts",
    "static_ranges",
]
