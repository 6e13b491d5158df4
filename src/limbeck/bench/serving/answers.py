"""Nobody is timed while giving wrong answers: each server's are held against float32."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from limbeck.bench.engine import relative_error
from limbeck.bench.serving import server
from limbeck.bench.serving.contestants import MAX_TOKENS, Contestant, question
from limbeck.bench.serving.files import Files, Source
from limbeck.errors import EngineError

COUNT = 24
# Of log-odds, centred over the texts. Random weights are harder to quantise than trained ones; a
# model without a layer, or with texts mixed up, is off by 1 and more.
MAX_ERROR = {"int8": 0.3, "fp32": 1e-3}


def references(files: Files, texts: Sequence[str]) -> Mapping[Source, Sequence[float]]:
    """Log-odds of the second label, in float32, dense and pruned."""
    import limbeck

    found: dict[Source, Sequence[float]] = {}
    for source in ("hf", "hf-4x4"):
        classify = limbeck.pipeline("text-classification", files.paths[source], top_k=None)
        rows = classify(list(texts), max_length=MAX_TOKENS, truncation=True)
        by_label = [{str(each["label"]): float(each["score"]) for each in row} for row in rows]
        found[source] = [_odds([row[name] for name in sorted(row)]) for row in by_label]
    return found


def _odds(probabilities: Sequence[float]) -> float:
    first, second = probabilities
    tiny = float(np.finfo(np.float32).tiny)
    return math.log(max(second, tiny) / max(first, tiny))


def error(
    contestant: Contestant,
    running: server.Running,
    texts: Sequence[str],
    wanted: Mapping[Source, Sequence[float]],
) -> float:
    """Relative error of the server's log-odds.

    Raises:
        EngineError: it does not answer, or not what the model says.
    """
    found = []
    for text in texts:
        asked = question(contestant.dialect, text)
        status, _, body = server.ask(running.port, "POST", asked.path, asked.body)
        if status != 200:
            said = body[:300].decode(errors="replace")
            raise EngineError(f"{contestant.name} answers a text with status {status}: {said}")
        try:
            found.append(_odds(asked.probabilities(body)))
        except (ValueError, TypeError, KeyError, IndexError):
            said = body[:300].decode(errors="replace")
            raise EngineError(f"{contestant.name}: not an answer: {said}") from None
    right = np.array(wanted[contestant.reference], dtype=np.float32)
    value = relative_error(np.array(found, dtype=np.float32), right)
    limit = MAX_ERROR["fp32" if contestant.inside.endswith("fp32") else "int8"]
    if not value < limit:
        raise EngineError(
            f"{contestant.name} computes something else: relative error {value:.2g}, "
            f"allowed {limit:g}; it is not timed"
        )
    return value
