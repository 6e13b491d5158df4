"""What every runtime offers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from limbeck.batch import PackedBatch
from limbeck.engine.reference import Output as Output
from limbeck.spec import ModelSpec
from limbeck.text import Tokenizer


@runtime_checkable
class Model(Protocol):
    """A loaded model. All methods may be called from many threads at once."""

    @property
    def spec(self) -> ModelSpec:
        """What the model is; `spec.quant` says how it computes, not how it was stored."""

    @property
    def source(self) -> Path:
        """The directory that it was loaded from."""

    @property
    def digest(self) -> str:
        """Identifies what was loaded: an artifact's digest, or a hash of a directory's files."""

    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, read at the first call."""

    def forward(
        self,
        ids: Sequence[Sequence[int]] | PackedBatch,
        type_ids: Sequence[Sequence[int]] | None = None,
        *,
        output: Output = "logits",
        alone: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Token ids -> "logits" [B, L] or [T, L], "hidden" [T, C], or pooled "mean", "cls", "max"
        [B, C]; an empty batch gives an array without rows. alone: no other call runs meanwhile, so
        this one may have the threads of all instances.

        Raises:
            InputError: ids that the model has no table row for, an empty or an overlong sequence.
        """

    def describe(self) -> dict[str, Any]:
        """What runs, where, on which kernels and in how many bytes; plain JSON values."""
