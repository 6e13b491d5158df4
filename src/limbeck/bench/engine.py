"""The engine against ONNX Runtime: errors first, then time.

`python -m limbeck.bench.engine` makes the test model, starts one process a contestant, compares
their answers with torch's, and then lets them take turns. Rows go to benchmarks/results.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from limbeck import measure
from limbeck.bench import models, onnx_export
from limbeck.bench.contestants import REFERENCE, contestant
from limbeck.bench.protocol import F32, Output
from limbeck.bench.worker import Worker
from limbeck.bench.workloads import DEFAULT, ERRORS, GRID, Point
from limbeck.errors import EngineError, LimbeckError

# Logits are what users ask for, and an engine may leave out what does not reach them; hidden states
# are the same work for everybody.
OUTPUTS: tuple[Output, ...] = ("logits", "hidden")
CACHE = Path(".limbeck/bench")
RESULTS = Path("benchmarks/results/engine.jsonl")
# A block lasts about this long, so that one that measures 5 ms calls sees as much of the
# machine's weather as one that measures 500 ms calls.
BLOCK_S = 0.3
MAX_CALLS = 40
# Fewer make no quartiles.
MIN_ROUNDS = 3
# Above this share of the machine used by others, the times are said to be doubtful.
BUSY = 0.1
SUBJECTS = ("limbeck int8", "limbeck fp32", "onnxruntime int8", "onnxruntime fp32")
# Who a contestant's speed is held against.
RIVAL = {"limbeck int8": "onnxruntime int8", "limbeck fp32": "onnxruntime fp32"}
# A fast wrong answer is no answer: fp32 against torch, int8 against the peer's int8 error.
MAX_FP32_ERROR = 1e-4
MAX_INT8_ERROR_RATIO = 1.5


def relative_error(found: F32, wanted: F32) -> float:
    """Relative L2 distance, both centred over their rows: what all answers share counts nothing.

    found, wanted: [N, ...], one row an input.
    """
    found = found - found.mean(axis=0)
    wanted = wanted - wanted.mean(axis=0)
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def errors(workers: Mapping[str, Worker], reference: Worker, vocab: int) -> dict[str, list[float]]:
    """name -> relative error of logits and of hidden states, against the reference."""
    found: dict[str, list[float]] = {name: [] for name in workers}
    for output in OUTPUTS:
        wanted = reference.answer(ERRORS, output, vocab=vocab)
        for name, worker in workers.items():
            answer = worker.answer(ERRORS, output, vocab=vocab)
            found[name].append(relative_error(answer, wanted))
    return found


def refuse_wrong_answers(found: Mapping[str, Sequence[float]]) -> None:
    """Stop before timing when a contestant does not compute what it should.

    Raises:
        EngineError: an fp32 error over MAX_FP32_ERROR, or our int8 error over
            MAX_INT8_ERROR_RATIO times the peer's where both run.
    """
    for name, values in found.items():
        bound = [MAX_FP32_ERROR] * 2
        if name.endswith("int8"):
            peer = found.get(RIVAL.get(name, name), values)
            bound = [value * MAX_INT8_ERROR_RATIO for value in peer]
        for output, value, limit in zip(("logits", "hidden states"), values, bound, strict=True):
            if not value <= limit:
                raise EngineError(
                    f"{name}: relative error of {output} {value:.3g} is over {limit:.3g}; "
                    "nothing was timed"
                )


def time_point(
    workers: Mapping[str, Worker],
    point: Point,
    output: Output,
    *,
    vocab: int,
    rounds: int,
    rest: measure.Rest,
    limit_s: float | None = None,
) -> dict[str, measure.Timing]:
    """Interleaved timings of one output at one point.

    With `limit_s`, as many of the rounds as fit into so many seconds, but MIN_ROUNDS at least.
    """
    calls = {}
    round_s = 0.0
    for name, worker in workers.items():
        once = worker.time(point, output, vocab=vocab, calls=2)[-1]
        calls[name] = min(MAX_CALLS, max(1, round(BLOCK_S / once)))
        round_s += once * (calls[name] + 1)
    if limit_s is not None:
        rounds = min(rounds, max(MIN_ROUNDS, int(limit_s / round_s)))

    def block(worker: Worker) -> measure.Block:
        return lambda count: worker.time(point, output, vocab=vocab, calls=count)

    return measure.interleave_blocks(
        {name: block(worker) for name, worker in workers.items()},
        rounds=rounds,
        calls=calls,
        sleep=rest,
    )


def _rows(
    timings: Mapping[str, measure.Timing],
    found: Mapping[str, Sequence[float]],
    workers: Mapping[str, Worker],
    others_busy: float,
    **fields: object,
) -> list[measure.Row]:
    rows = []
    for name, timing in timings.items():
        extra: dict[str, str | int | float] = {
            "error_logits": found[name][0],
            "error_hidden": found[name][1],
            "others_busy": round(others_busy, 3),
        }
        rival = RIVAL.get(name)
        if rival is not None and rival in timings:
            speed = measure.ratio(timings[rival], timing)
            extra |= {
                "rival": rival,
                "speed": speed.median,
                "speed_low": speed.low,
                "speed_high": speed.high,
            }
        facts = dict(workers[name].facts)
        rows.append(
            measure.Row.timed(
                timing,
                subject=name,
                isa=facts.pop("isa", ""),
                versions=facts,
                extra=extra,
                **fields,
            )
        )
    return rows


def run(
    *,
    shape: models.Shape,
    points: Sequence[Point],
    outputs: Sequence[Output],
    threads: Sequence[int],
    names: Sequence[str],
    rounds: int,
    cache: Path,
) -> list[measure.Row]:
    """Measure and return the rows; prints as it goes.

    Raises:
        LimbeckError: something is missing, or a contestant's answers are wrong.
    """
    directory = cache / shape.name
    hf = models.write_model(directory / "hf", shape)
    onnx = onnx_export.export(hf, directory / "onnx")
    paths = {"hf": str(hf), "fp32": str(onnx.fp32), "int8": str(onnx.int8)}
    run_name = measure.new_run()
    rows: list[measure.Row] = []
    print(f"{shape.name} on {measure.machine().cpu}, run {run_name}", flush=True)
    with Worker(REFERENCE, paths, threads=max(threads)) as reference, ExitStack() as stack:
        everyone = {
            count: {name: stack.enter_context(Worker(name, paths, threads=count)) for name in names}
            for count in threads
        }
        for count, workers in everyone.items():
            found = errors(workers, reference, shape.vocab)
            for name, (logits, hidden) in found.items():
                print(
                    f"  {count} threads, {name:18}: relative error of logits {logits:.2e}, "
                    f"hidden states {hidden:.2e}",
                    flush=True,
                )
            refuse_wrong_answers(found)
            for point, output in itertools.product(points, outputs):
                rest = measure.Rest()
                timings = time_point(
                    workers, point, output, vocab=shape.vocab, rounds=rounds, rest=rest
                )
                made = _rows(
                    timings,
                    found,
                    workers,
                    rest.others_busy,
                    run=run_name,
                    benchmark="engine",
                    workload={
                        "model": shape.name,
                        "batch": point.batch,
                        "tokens": point.tokens,
                        "output": output,
                        "rounds": rounds,
                    },
                    threads=count,
                )
                if rest.others_busy > BUSY:
                    print(
                        f"  other processes used {rest.others_busy:.0%} of this machine meanwhile: "
                        "believe the ratios more than the times",
                        flush=True,
                    )
                for row in made:
                    speed = row.extra.get("speed")
                    against = f", {speed:.2f} x {row.extra['rival']}" if speed else ""
                    print(
                        f"  {count} threads, {point!s:>7} {output}, {row.subject:18}: "
                        f"{row.value:8.2f} ms ({row.low:.2f} .. {row.high:.2f}){against}",
                        flush=True,
                    )
                rows += made
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m limbeck.bench.engine", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--grid", action="store_true", help="{1,8,32} x {32,128,384}")
    where.add_argument("--points", help="as in 1x128,32x128", metavar="LIST")
    parser.add_argument("--output", choices=[*OUTPUTS, "both"], default="both")
    parser.add_argument("--threads", default="1,2", help="as in 1,2", metavar="LIST")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--subjects",
        default=",".join(SUBJECTS),
        help="contestants, as in 'limbeck int8,onnxruntime int8'",
        metavar="LIST",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        threads = [int(count) for count in options.threads.split(",")]
    except ValueError:
        parser.error(f"--threads takes numbers, as in 1,2; found {options.threads!r}")
    try:
        points: Sequence[Point] = GRID if options.grid else DEFAULT
        if options.points:
            points = [Point.parse(text) for text in options.points.split(",")]
        rows = run(
            shape=models.Shape(),
            points=points,
            outputs=OUTPUTS if options.output == "both" else [options.output],
            threads=threads,
            names=[contestant(name.strip()).name for name in options.subjects.split(",")],
            rounds=options.rounds,
            cache=options.cache,
        )
    except LimbeckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    measure.append_rows(options.results, rows)
    print(f"{len(rows)} rows appended to {options.results}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
