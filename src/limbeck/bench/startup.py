"""What starting costs: import, the first answer of a cold process, a call after a pause, memory.

`python -m limbeck.bench.startup` makes int8 artifacts of the test model, dense and with 80 % of its
4x4 blocks gone, and starts a new process for every reading. "Cold" is the process, not the disk:
the first reading, which fills the page cache, is dropped.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from limbeck import artifact, measure
from limbeck.bench import models
from limbeck.bench.engine import CACHE
from limbeck.errors import EngineError, LimbeckError

RESULTS = Path("benchmarks/results/startup.jsonl")
TEXT = "A quiet flat near the station, with a garden and a view of the river."

_IMPORT = """
import time
start = time.perf_counter()
import limbeck
print(time.perf_counter() - start)
"""
_IMPORT_ALL = """
import time
start = time.perf_counter()
import limbeck
limbeck.pipeline, limbeck.load
print(time.perf_counter() - start)
"""
# VmHWM is the largest resident size that the process ever had, file pages included.
_MEMORY = """
import sys
import limbeck
limbeck.pipeline("text-classification", sys.argv[1])(sys.argv[2])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
BOUND_IMPORT_MS = 300
BOUND_PREDICT_MS = {"dense": 700, "4x4": 500}
SPARSE_MEMORY_MB = 200
# Of an artifact with 80 % of its blocks gone, to the float32 weights of the same model.
SPARSE_SIZE_SHARE = 1 / 6


def bound_memory_mb(artifact_mb: float) -> float:
    """What resident memory is held to: 1.3 times the artifact, and 60 MB."""
    return 1.3 * artifact_mb + 60


def _run(command: Sequence[str], given: str | None = None) -> str:
    # Compiled modules are kept, as they are wherever somebody installs a package.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise EngineError(f"{' '.join(command[:3])} ... failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


_COLD = "limbeck predict, one text, cold process"
_SPARSE = "4x4 at 80 %"


# The median of calls of one short text by two threads, which rest so long before each.
_CALLS = """
import statistics, sys, time
from limbeck import runtimes
from limbeck.batch import pack
model = runtimes.load(sys.argv[1], threads=2)
rest_s = float(sys.argv[2])
batch = pack([list(range(32))])
seconds = []
for _ in range(45):
    time.sleep(rest_s)
    began = time.perf_counter()
    model.forward(batch, output="hidden")
    seconds.append(time.perf_counter() - began)
print(statistics.median(seconds[5:]))
"""
_REST_S = 0.02
_CALL = f"32 tokens, 2 threads, {_SPARSE}"


def _reported(code: str, *arguments: object) -> measure.Block:
    """Processes that run `code` and print seconds."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return lambda count: [float(_run(command)) for _ in range(count)]


def _predict(directory: Path) -> measure.Block:
    """Whole `limbeck predict` processes: from the call of the program to its end."""
    program = Path(sys.executable).parent / "limbeck"
    if not program.is_file():
        raise EngineError(f"no program {program}: install limbeck into this environment")

    def block(count: int) -> list[float]:
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            answer = _run([str(program), "predict", str(directory), TEXT])
            seconds.append(time.perf_counter() - start)
            if "label" not in answer:
                raise EngineError(f"limbeck predict gave no answer but {answer[:200]!r}")
        return seconds

    return block


def int8_artifact(hf: Path, directory: Path, *, by: str) -> Path:
    """A Hugging Face directory as an int8 artifact, sparse layers as blocks; `by`: who made it."""
    from limbeck import engine, runtimes
    from limbeck.spec import QuantSpec

    source = runtimes.open_source(hf)
    artifact.write(
        directory,
        spec=replace(source.spec, quant=QuantSpec(precision="int8")),
        weights=engine.quantize_weights(source.weights, source.spec.encoder),
        tokenizer_json=(hf / "tokenizer.json").read_bytes(),
        lineage={"made by": by},
    )
    return directory


def write_artifact(cache: Path, shape: models.Shape) -> Path:
    """The test model as an int8 artifact."""
    place = cache / (shape.name + ("" if shape.blocks is None else f"-{shape.pattern}"))
    hf = models.write_model(place / "hf", shape)
    return int8_artifact(hf, place / "artifact", by="limbeck.bench.startup")


def run(*, cache: Path, rounds: int, shape: models.Shape) -> list[measure.Row]:
    """Measure and return the rows.

    Raises:
        LimbeckError: a process failed.
    """
    directory = write_artifact(cache, shape)
    sparse_directory = write_artifact(cache, replace(shape, blocks=models.Blocks(rows=4, cols=4)))
    with artifact.read(directory) as opened:
        size_mb = opened.size_bytes / 1e6
    with artifact.read(sparse_directory) as opened:
        sparse_mb = opened.size_bytes / 1e6
        float_mb = sum(4 * math.prod(tensor.shape) for tensor in opened.weights.values()) / 1e6
    timings = measure.interleave_blocks(
        {
            "import limbeck": _reported(_IMPORT),
            "import limbeck, with pipeline and load": _reported(_IMPORT_ALL),
            _COLD: _predict(directory),
            f"{_COLD}, {_SPARSE}": _predict(sparse_directory),
            f"{_CALL}, call after call": _reported(_CALLS, sparse_directory, 0),
            f"{_CALL}, {1e3 * _REST_S:.0f} ms of rest before each call": _reported(
                _CALLS, sparse_directory, _REST_S
            ),
        },
        rounds=rounds,
    )
    bounds = {
        "import limbeck": f"{BOUND_IMPORT_MS} ms",
        _COLD: f"{BOUND_PREDICT_MS['dense']} ms",
        f"{_COLD}, {_SPARSE}": f"{BOUND_PREDICT_MS['4x4']} ms",
    }
    run_name = measure.new_run()
    workload: dict[str, str | int | float] = {
        "model": f"{shape.name} int8",
        "artifact_mb": round(size_mb, 1),
    }
    rows = [
        measure.Row.timed(
            timing,
            run=run_name,
            benchmark="startup",
            subject=subject,
            workload=workload,
            extra={"bound": bounds[subject]} if subject in bounds else {},
            versions=measure.versions(["limbeck", "numpy", "tokenizers"]),
        )
        for subject, timing in timings.items()
    ]

    def in_mb(subject: str, readings: Sequence[float], bound_mb: float) -> measure.Row:
        return measure.Row(
            run=run_name,
            benchmark="startup",
            subject=subject,
            workload=workload,
            unit="MB",
            value=measure.percentile(readings, 0.5),
            low=measure.percentile(readings, 0.25),
            high=measure.percentile(readings, 0.75),
            repeats=len(readings),
            extra={"bound": f"{bound_mb:.0f} MB"},
            versions=measure.versions(["limbeck", "numpy", "tokenizers"]),
        )

    for path, subject, bound_mb in (
        (directory, f"int8 artifact of {size_mb:.0f} MB", bound_memory_mb(size_mb)),
        (sparse_directory, f"{_SPARSE}, artifact of {sparse_mb:.0f} MB", SPARSE_MEMORY_MB),
    ):
        peaks = [
            int(_run([sys.executable, "-c", _MEMORY, str(path), TEXT])) * 1024 / 1e6
            for _ in range(rounds)
        ]
        rows.append(in_mb(f"largest resident size, {subject}", peaks, bound_mb))
    subject = f"artifact, {_SPARSE}, of {float_mb:.0f} MB in float32"
    rows.append(in_mb(subject, [sparse_mb], float_mb * SPARSE_SIZE_SHARE))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m limbeck.bench.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        rows = run(cache=options.cache, rounds=options.rounds, shape=models.Shape())
    except LimbeckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for row in rows:
        bound = f", bound {row.extra['bound']}" if "bound" in row.extra else ""
        print(
            f"  {row.subject}: {row.value:.3g} {row.unit} ({row.low:.3g} .. {row.high:.3g}){bound}"
        )
    measure.append_rows(options.results, rows)
    print(f"{len(rows)} rows appended to {options.results}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
