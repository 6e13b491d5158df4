"""Hugging Face and sentence-transformers directories, read without torch and without transformers.

In: a directory or a hub name. Out: a ModelSpec and float32 weights under limbeck's own names.
Neighbours: `limbeck.runtimes` and `limbeck.forge` call it; it knows spec, tensors and errors alone.
"""

from __future__ import annotations

from limbeck.huggingface.configuration import ARCHITECTURE_CLASSES
from limbeck.huggingface.read import HuggingFaceModel, read
from limbeck.huggingface.resolve import resolve

__all__ = ["ARCHITECTURE_CLASSES", "HuggingFaceModel", "read", "resolve"]
