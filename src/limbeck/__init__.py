"""limbeck: BERT-class models on ordinary CPUs, distilled, pruned, quantised and fast.

In: a model directory and text. Out: transformers' answers, without torch.
Importing this package imports nothing heavy, starts no thread and probes no CPU.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from limbeck.batch import PackedBatch as PackedBatch
    from limbeck.errors import ArtifactError as ArtifactError
    from limbeck.errors import EngineError as EngineError
    from limbeck.errors import InputError as InputError
    from limbeck.errors import LimbeckError as LimbeckError
    from limbeck.errors import ModelError as ModelError
    from limbeck.pipeline import pipeline as pipeline
    from limbeck.runtimes import Model as Model
    from limbeck.runtimes import load as load
    from limbeck.spec import EncoderSpec as EncoderSpec
    from limbeck.spec import TaskSpec as TaskSpec

_HOMES = {
    "ArtifactError": "limbeck.errors",
    "EncoderSpec": "limbeck.spec",
    "EngineError": "limbeck.errors",
    "InputError": "limbeck.errors",
    "LimbeckError": "limbeck.errors",
    "Model": "limbeck.runtimes",
    "ModelError": "limbeck.errors",
    "PackedBatch": "limbeck.batch",
    "TaskSpec": "limbeck.spec",
    "load": "limbeck.runtimes",
    "pipeline": "limbeck.pipeline",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        if name != "pipeline":  # the module of that name must not shadow the function
            globals()[name] = value
        return value
    raise AttributeError(f"module 'limbeck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
