"""How long texts are in tokens, where a model cuts them, and what another maximum would cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError, ModelError
from limbeck.spec import EncoderSpec
from limbeck.text.vocabulary import read_json

_CANDIDATES = (16, 32, 48, 64, 96, 128, 192, 256, 320, 384, 448, 512, 768, 1024, 2048, 4096, 8192)


def resolve_max_tokens(directory: Path, encoder_max: int) -> int:
    """Where a model directory cuts its texts, special tokens included.

    max_seq_length of sentence_bert_config.json if there is one, else model_max_length of
    tokenizer_config.json, else `encoder_max`; never more than `encoder_max`, the longest sequence
    that the position table carries.

    Raises:
        ModelError: a value that is no positive number.
    """
    for name, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        value = read_json(directory / name).get(key)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 1:
            raise ModelError(f"{key} in {directory / name} must be positive, found {value!r}")
        # The 1e30 that transformers writes for "no maximum" ends here too.
        return int(min(value, encoder_max))
    return encoder_max


@dataclass(frozen=True, kw_only=True)
class LengthRow:
    """What cutting at `max_tokens` would do.

    truncated: share of texts that lose tokens; tokens_kept: share of all tokens that are read;
    cost_saved: share of the arithmetic that is saved, against cutting at the model's own maximum.
    """

    max_tokens: int
    truncated: float
    tokens_kept: float
    cost_saved: float


@dataclass(frozen=True, kw_only=True)
class LengthReport:
    """Lengths in tokens, special tokens included.

    percentiles: (percent, length) pairs; a percentile is the shortest length that so many percent
    of the texts do not exceed. proposal: the smallest candidate that cuts at most `max_truncated`
    of the texts, or the model's maximum where none does.
    """

    texts: int
    mean: float
    longest: int
    percentiles: tuple[tuple[int, int], ...]
    rows: tuple[LengthRow, ...]
    max_truncated: float
    proposal: LengthRow


def sequence_cost(encoder: EncoderSpec, lengths: npt.NDArray[np.int64]) -> float:
    """Multiply-adds of the encoder for sequences of these lengths, none padded.

    Each token costs 4 C^2 + 2 C F a layer, and meets every token of its sequence twice over C
    (scores, and their weighted sum): c1 * S + c2 * S^2.
    """
    linear = encoder.layers * (4 * encoder.hidden**2 + 2 * encoder.hidden * encoder.ffn)
    quadratic = encoder.layers * 2 * encoder.hidden
    values = lengths.astype(np.float64)
    return float((linear * values + quadratic * values**2).sum())


def length_statistics(
    lengths: Iterable[int],
    encoder: EncoderSpec,
    *,
    max_truncated: float = 0.01,
    candidates: Sequence[int] | None = None,
) -> LengthReport:
    """Describe lengths and propose a maximum.

    Args:
        lengths: tokens of each text as tokenised whole, special tokens included.
        max_truncated: share of texts that the proposal may cut.
        candidates: maxima to consider; those beyond the model's own are left out, and that one is
            always among them.

    Raises:
        InputError: no lengths, a length below 1, or options out of range.
    """
    values = np.asarray(list(lengths), dtype=np.int64)
    if values.size == 0:
        raise InputError("no texts to measure")
    if int(values.min()) < 1:
        raise InputError(f"a length must be at least 1 token, found {int(values.min())}")
    if not 0 <= max_truncated <= 1:
        raise InputError(f"max_truncated must be a share in 0 .. 1, found {max_truncated!r}")
    if any(candidate < 1 for candidate in candidates or ()):
        raise InputError("candidate maxima must be positive")
    limit = encoder.max_tokens
    tried = sorted({*(c for c in (candidates or _CANDIDATES) if c < limit), limit})
    full_cost = sequence_cost(encoder, np.minimum(values, limit))
    rows = []
    for maximum in tried:
        cut = np.minimum(values, maximum)
        rows.append(
            LengthRow(
                max_tokens=maximum,
                truncated=float((values > maximum).mean()),
                tokens_kept=float(cut.sum() / values.sum()),
                cost_saved=1.0 - sequence_cost(encoder, cut) / full_cost,
            )
        )
    proposal = next((row for row in rows if row.truncated <= max_truncated), rows[-1])
    percents = (50, 75, 90, 95, 99, 100)
    reached = np.percentile(values, percents, method="inverted_cdf")
    return LengthReport(
        texts=int(values.size),
        mean=float(values.mean()),
        longest=int(values.max()),
        percentiles=tuple((p, int(v)) for p, v in zip(percents, reached, strict=True)),
        rows=tuple(rows),
        max_truncated=max_truncated,
        proposal=proposal,
    )
