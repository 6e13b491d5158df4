"""What each stage's model takes for one text, in turns, through the engine; kept by digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from limbeck import measure, runtimes
from limbeck.forge.recipe import store
from limbeck.forge.recipe.stage import Output


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds for one text of so many tokens."""

    stage: str
    tokens: int
    p50_ms: float
    p99_ms: float
    calls: int


def of(
    outputs: Sequence[Output], lengths: Sequence[int], kept: Path, rounds: int = 8
) -> list[Latency]:
    """Time all models at each length that they have positions for.

    Raises:
        TrainingError: what was found cannot be kept.
    """
    cpu = measure.machine().cpu
    key = [cpu, rounds, list(lengths), [output.digest for output in outputs]]
    file = kept / f"latency-{store.digest_of(key)[:32]}.json"
    found = store.read_json(file)
    if found is None:
        timed = _timed(outputs, lengths, rounds)
        found = {"cpu": cpu, "latency": [asdict(one) for one in timed]}
        store.write_json(file, found)
    return [Latency(**one) for one in found["latency"]]


def _timed(outputs: Sequence[Output], lengths: Sequence[int], rounds: int) -> list[Latency]:
    models = {output.stage: runtimes.load(output.directory) for output in outputs}
    return [
        Latency(
            stage=stage,
            tokens=tokens,
            p50_ms=timing.p50_ms,
            p99_ms=timing.p99_ms,
            calls=timing.calls,
        )
        for tokens, timings in in_turns(models, lengths, rounds).items()
        for stage, timing in timings.items()
    ]


def in_turns(
    models: Mapping[str, runtimes.Model], lengths: Sequence[int], rounds: int
) -> dict[int, dict[str, measure.Timing]]:
    """One text of each length that all models have positions for, the models in turns."""
    longest = min(model.spec.encoder.max_tokens for model in models.values())
    words = min(model.spec.encoder.vocab for model in models.values())
    draw = np.random.default_rng(0)
    found = {}
    for tokens in lengths:
        if tokens > longest:
            continue
        row = draw.integers(min(1000, words // 2), words, tokens).tolist()
        found[tokens] = measure.interleave(
            {
                name: lambda model=model, row=row: model.forward([row])  # type: ignore[misc]
                for name, model in models.items()
            },
            rounds=rounds,
            calls_per_block=4,
        )
    return found
