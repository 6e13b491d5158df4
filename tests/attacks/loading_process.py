"""A process that loads artifacts and answers from them, so that a crash is a finding and no more.

Lines of JSON in, {"directory": path, "verify": bool}; lines of JSON out, {"outcome": text}:
"refused: ..." with the error, "answered" when the answers are right, "wrong: ..." for all else.
"""

from __future__ import annotations

import faulthandler
import json
import sys

import numpy as np
import numpy.typing as npt

from limbeck import artifact
from limbeck.batch import PackedBatch, pack
from limbeck.engine import Engine, isas, reference
from limbeck.errors import ArtifactError, EngineError, ModelError
from limbeck.spec import ModelSpec
from limbeck.tensors import Weights

F32 = npt.NDArray[np.float32]

# Beyond this, float32 sums cancel and overflow, and the oracle's rounding is as good as ours.
_MODERATE = 4.0
_BARS = {"fp32": 1e-4, "int8": 0.05}


def batch_for(spec: ModelSpec) -> PackedBatch:
    """The longest sequences that the model takes, up to 20 tokens, and shorter ones."""
    longest = min(spec.encoder.max_tokens, 20)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, spec.encoder.vocab, n).tolist() for n in (longest, 1, longest)]
    types = [[min(1, max(spec.encoder.types, 1) - 1)] * len(row) for row in rows]
    return pack(rows, types)


def moderate(weights: Weights) -> bool:
    return all(np.abs(tensor.dense()).max(initial=0) < _MODERATE for tensor in weights.values())


def same(one: F32, other: F32) -> bool:
    """Bit for bit; NaN may carry any bits."""
    nan = np.isnan(one)
    bits = one[~nan].tobytes() == other[~nan].tobytes()
    return bits and np.array_equal(nan, np.isnan(other))


def outcome(directory: str, verify: bool) -> str:
    try:
        found = artifact.read(directory, verify=verify)
        spec, weights = found.spec, found.weights
        precision = spec.quant.precision
        engines = [
            Engine(spec, weights, precision=precision, threads=threads, isa=isa)
            for isa in (isas() if precision == "int8" else isas()[:1])
            for threads in (1, 2)
        ]
    except (ArtifactError, ModelError, EngineError) as error:
        return f"refused: {error}" if str(error) else "wrong: an error without a message"
    batch = batch_for(spec)
    for output in ("hidden", "mean") if spec.task.head is None else ("logits", "hidden", "mean"):
        answers = [engine.forward(batch, output) for engine in engines]
        if not all(same(answer, answers[0]) for answer in answers):
            return f"wrong: {output} differs between engines"
        if not moderate(weights):
            continue
        wanted = reference.forward(spec, weights, batch, precision, output)
        error = np.abs(answers[0] - wanted).max() / max(np.abs(wanted).max(), 1e-2)
        if not error < _BARS[precision]:
            return f"wrong: {output} is {error} from the oracle's"
    return "answered"


def main() -> None:
    faulthandler.enable()
    np.seterr(all="ignore")
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            text = outcome(asked["directory"], asked["verify"])
        except Exception as error:  # whatever else it is, it is not what a user should see
            text = f"wrong: {type(error).__name__}: {error}"
        print(json.dumps({"outcome": text}), flush=True)


if __name__ == "__main__":
    main()
