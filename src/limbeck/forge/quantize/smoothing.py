"""A model directory whose activations are smoother, checked to answer as before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from limbeck import runtimes
from limbeck.engine import dequantize_weights
from limbeck.engine.reference import fp32
from limbeck.errors import VerifyError
from limbeck.forge.quantize.rewriting import rewritten
from limbeck.forge.quantize.smooth import channels, check_alpha, smooth
from limbeck.runtimes import packed_texts

# Two float32 passes over other weights: as `verify.Limits.fp32`.
_LIMIT = 1e-4


def smoothed(
    source: Path,
    target: Path,
    texts: Sequence[str],
    *,
    alpha: float = 0.5,
    max_tokens: int,
    task: str | None = None,
) -> Path:
    """Write `source` to `target` with its outliers moved into weights and biases.

    Args:
        texts: on which outliers are found.
        max_tokens: where they are cut.

    Raises:
        InputError: no texts, or alpha is no share.
        VerifyError: the answers are not those from before.
    """
    check_alpha(alpha)
    opened = runtimes.open_source(source, task)
    encoder = opened.spec.encoder
    floats = dequantize_weights(opened.weights)
    batches = list(packed_texts(opened, texts, max_tokens))
    changed = smooth(encoder, floats, channels(encoder, floats, batches), alpha)
    before = fp32.encode(encoder, floats, batches[0])
    after = fp32.encode(encoder, {**floats, **changed}, batches[0])
    spread = float(np.linalg.norm(before - before.mean(axis=0)))
    error = float(np.linalg.norm(after - before)) / spread
    if not error <= _LIMIT:
        raise VerifyError(
            f"smoothing moved the states of {source.name} by {error:.2e} (limit {_LIMIT:g}); its "
            "outliers are too large for float32 to move: leave smoothing out"
        )
    return rewritten(source, target, changed, task)
