"""What is asked of limbeck's server alone: refusals, cache hits, the engine without a server."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from limbeck import loadtest
from limbeck.bench.serving.asking import Asker
from limbeck.bench.serving.capacity import GOAL, CurvePoint, Effort
from limbeck.bench.serving.contestants import BUDGET, MAX_TOKENS
from limbeck.bench.serving.texts import Texts
from limbeck.errors import EngineError
from limbeck.loadtest.outcomes import Outcome

# Server-Timing's name for the whole.
TOTAL = "total"
HITS_FIRST_RATE = 1000.0
# A cache that stands less stands nothing: no probe is so slow that it takes long.
HITS_MIN_RATE = 100.0
HITS_DEADLINE_MS = 250.0
_HIT_TEXTS = 100
_ALONE_TEXTS = 1000
_ALONE_ROUNDS = 3

# In a process of its own, as a server is. It prints texts a second, one line a round.
_ALONE = """
import json, sys, time
import limbeck
asked = json.load(sys.stdin)
classify = limbeck.pipeline("text-classification", asked["model"], threads=asked["threads"])
options = {"truncation": True, "max_length": asked["max_tokens"]}
classify(asked["texts"], **options)
for _ in range(asked["rounds"]):
    began = time.perf_counter()
    classify(asked["texts"], **options)
    print(len(asked["texts"]) / (time.perf_counter() - began))
"""


def engine_alone(model: Path, texts: Texts) -> list[float]:
    """Texts a second through `limbeck.pipeline`, which sorts them by length; one reading a round.

    Raises:
        EngineError: the process failed.
    """
    asked = {
        "model": str(model),
        "threads": BUDGET,
        "max_tokens": MAX_TOKENS,
        "texts": texts.numbered(_ALONE_TEXTS),
        "rounds": _ALONE_ROUNDS,
    }
    done = subprocess.run(
        [sys.executable, "-c", _ALONE],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EngineError(f"the engine without a server failed: {done.stderr.strip()[-2000:]}")
    return [float(line) for line in done.stdout.split()]


def cache_hits(asker: Asker, texts: Texts, effort: Effort) -> loadtest.RateFound:
    """The largest rate in time of texts that were asked before."""
    repeated = texts.numbered(_HIT_TEXTS)
    plan = asker.plan(
        repeated,
        rate=HITS_FIRST_RATE,
        deadline_ms=HITS_DEADLINE_MS,
        duration_s=effort.search_s,
        warmup_s=effort.warmup_s,
    )
    # Each once, so that it is in the cache.
    asker.run(
        loadtest.Plan(
            target=plan.target,
            arrivals=loadtest.Even(rate=_HIT_TEXTS / 4),
            duration_s=4.0,
            in_order=True,
        )
    )
    return loadtest.find_rate(
        plan,
        goal=GOAL,
        seeds=effort.seeds,
        min_rate=HITS_MIN_RATE,
        tolerance=effort.tolerance,
        run=asker.run,
    )


def refusal_ms(point: CurvePoint) -> Sequence[float]:
    """Server time of each refusal of all runs, as Server-Timing has it, ascending.

    The whole, or the sum of its parts where that is more: a whole that leaves tokenising out would
    flatter.

    Raises:
        EngineError: nothing was refused, or refusals do not say their time.
    """
    spent = np.concatenate([_refusal_ms(result) for result in point.results])
    if not spent.size:
        raise EngineError(f"at {point.factor:g} times the largest rate nothing was refused")
    if not np.isfinite(spent).all():
        lacking = int((~np.isfinite(spent)).sum())
        raise EngineError(f"{lacking} of {spent.size} refusals say no server time")
    found: list[float] = np.sort(spent).tolist()
    return found


def _refusal_ms(result: loadtest.Result) -> npt.NDArray[np.float32]:
    samples = result.samples
    refused = samples.outcome == Outcome.REFUSED
    if not refused.any():
        return np.zeros(0, np.float32)
    if TOTAL not in samples.phases:
        raise EngineError(f"answers have no duration named {TOTAL!r} in Server-Timing")
    whole = samples.phases[TOTAL][refused]
    parts = [values[refused] for name, values in samples.phases.items() if name != TOTAL]
    summed = np.nansum(parts, axis=0) if parts else np.zeros_like(whole)
    longer: npt.NDArray[np.float32] = np.maximum(whole, summed)
    return longer


def kept_goodput(points: Sequence[CurvePoint]) -> list[float]:
    """Answers in time at the highest load as shares of those at the load where they were the most
    (in the median), seed by seed.

    Raises:
        EngineError: there nothing was answered in time.
    """
    best = max(points, key=lambda point: statistics.median(point.goodputs))
    if min(best.goodputs) == 0:
        raise EngineError("of the curve nothing was answered in time")
    return [kept / most for kept, most in zip(points[-1].goodputs, best.goodputs, strict=True)]
