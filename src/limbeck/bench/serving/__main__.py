"""Servers of text classification under the same load: how many requests a second in time?

`make peers` first, then `python -m limbeck.bench.serving`. Each server is measured alone, whole, at
one deadline, and its rows are written before the next: a run that was stopped goes on with --run
last. The configurations of each peer are searched where no search is kept. Server and load share
the processors that this process may use, nothing is pinned, and every server has two threads to
compute with.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from limbeck import measure
from limbeck.bench.engine import BUSY
from limbeck.bench.entries import SHAPES, choose
from limbeck.bench.peers import default_tokenizer, run_name, split
from limbeck.bench.serving import answers, choosing, files, jobs, kinds, record, table, texts
from limbeck.bench.serving.capacity import QUICK, Choice, Effort
from limbeck.bench.serving.contestants import CONTESTANTS, Contestant, contestant
from limbeck.bench.serving.record import Bench
from limbeck.bench.worker import interpreter
from limbeck.errors import EngineError, InputError, LimbeckError, TargetError

RESULTS = Path("benchmarks/results/serving.jsonl")
CACHE = Path(".limbeck/bench/serving")
DEADLINES = (250.0, 50.0)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured. `search`: also where a search is kept; `quick`: never, without that."""

    contestants: Sequence[Contestant]
    deadlines: Sequence[float]
    search: bool
    quick: bool
    results: Path


def _choices(plan: Plan, bench: Bench, each: Contestant) -> dict[float, Choice]:
    """Deadline -> what is measured.

    Raises:
        EngineError: no configuration works.
    """
    first = each.grid[0]
    if len(each.grid) == 1:
        return {deadline: Choice(config=first, rate=0) for deadline in plan.deadlines}
    if not plan.search:
        known = {at: choosing.known_choice(bench, each, at) for at in plan.deadlines}
        kept = {at: choice for at, choice in known.items() if choice is not None}
        if len(kept) == len(known):
            return kept
        if plan.quick:
            bench.say(f"  {each.name}: no search is kept, so the first of its grid: {first}")
            return {at: kept.get(at, Choice(config=first, rate=0)) for at in plan.deadlines}
    bench.say(f"  {each.name}: search over {len(each.grid)} configurations")
    return choosing.search(bench, each)


def _done(plan: Plan, bench: Bench, each: Contestant) -> set[float]:
    """Deadlines for which the run holds its figure."""
    return {
        float(row.workload["deadline_ms"])
        for row in measure.read_rows(plan.results)
        if (row.run, row.benchmark, row.subject) == (bench.run, kinds.RATE, each.name)
        and row.workload["model"] == bench.files.shape.name
        and row.workload["texts"] == bench.texts.name
    }


def run(plan: Plan, bench: Bench) -> list[str]:
    """Measure what the run still lacks and append its rows; returns what could not be measured."""
    problems: list[str] = []
    for each in plan.contestants:
        done = _done(plan, bench, each)
        todo = [deadline for deadline in plan.deadlines if deadline not in done]
        if not todo:
            continue
        began = time.monotonic()
        bench.say(f"{each.name} ({each.inside})")
        at: float | None = None
        try:
            # Before anything is built on it: is there an environment?
            interpreter(each.environment)
            choices = _choices(plan, bench, each)
            for at in todo:
                bench.say(f"  {at:g} ms, {choices[at].config}")
                whole = at == max(plan.deadlines)
                rows, lacking = jobs.measure_one(bench, each, at, choices[at], whole=whole)
                measure.append_rows(plan.results, rows)
                problems += lacking
                _say(bench, rows, lacking)
        except (EngineError, TargetError) as error:
            problems.append(f"{each.name}: {error}")
            bench.say(f"  not measured: {error}")
            lost = todo if at is None else todo[todo.index(at) :]
            absent = [record.absent_row(bench, each, deadline, str(error)) for deadline in lost]
            measure.append_rows(plan.results, absent)
        bench.say(f"  {time.monotonic() - began:.0f} s")
    return problems


def _say(bench: Bench, rows: Sequence[measure.Row], problems: Sequence[str]) -> None:
    for row in rows:
        if row.benchmark == kinds.CURVE:
            offered = float(row.workload["offered"])
            bench.say(f"    {offered:.0f}/s offered: {row.value:.0f}/s in time")
        else:
            what = row.workload.get("what", "largest rate in time")
            p99 = f", p99 {row.p99:.2f}" if row.p99 is not None else ""
            spread = f"({row.low:.2f} .. {row.high:.2f})"
            bench.say(f"    {what}: {row.value:.2f} {row.unit} {spread}{p99}")
        busy = float(row.extra.get("others_busy", 0))
        if busy > BUSY:
            bench.say(f"    other processes used {busy:.0%} of this machine before")
    for problem in problems:
        bench.say(f"    not measured: {problem}")


def _deadlines(text: str) -> list[float]:
    try:
        found = sorted({float(part) for part in split(text)}, reverse=True)
    except ValueError:
        found = []
    if not found or min(found) <= 0 or max(found) == float("inf"):
        raise InputError(f"--deadlines takes milliseconds, as in 250,50; found {text!r}")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m limbeck.bench.serving", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="one seed, short, 250 ms, kept searches; not recorded")
    add("--only", help=f"of {','.join(CONTESTANTS)}", metavar="LIST")
    add("--deadlines", help="in milliseconds; default 250,50", metavar="LIST")
    add("--search", action="store_true", help="search anew where a search is kept")
    add("--shape", choices=tuple(SHAPES), default=next(iter(SHAPES)))
    add("--texts", type=Path, help="texts of a file; default: made-up words", metavar="FILE")
    add("--tokenizer", type=Path, help="tokenizer.json; default all-MiniLM-L6-v2's", metavar="FILE")
    add("--seeds", type=int, help="default 3", metavar="N")
    add("--run", help="go on with this run; 'last': with the last one", metavar="NAME")
    add("--list", action="store_true", help="say who takes part, with which grid, and who cannot")
    add("--results", type=Path, metavar="FILE")
    add("--cache", type=Path, default=CACHE, metavar="DIR")
    return parser


def _effort(options: argparse.Namespace) -> Effort:
    effort = QUICK if options.quick else Effort()
    if options.seeds is None:
        return effort
    if options.seeds < 1:
        raise InputError("--seeds starts at 1")
    return replace(effort, seeds=tuple(range(options.seeds)))


def make_plan(options: argparse.Namespace) -> Plan:
    """The options' plan.

    Raises:
        InputError: an option that cannot be.
    """
    names = split(options.only) if options.only else list(CONTESTANTS)
    wanted = choose(names, tuple(CONTESTANTS), "server")
    if not wanted:
        raise InputError(f"--only takes some of: {', '.join(CONTESTANTS)}")
    default = DEADLINES[:1] if options.quick else DEADLINES
    return Plan(
        contestants=[contestant(name) for name in wanted],
        deadlines=_deadlines(options.deadlines) if options.deadlines else default,
        search=options.search,
        quick=options.quick,
        results=options.results or (options.cache / "quick.jsonl" if options.quick else RESULTS),
    )


def make_bench(options: argparse.Namespace, plan: Plan) -> Bench:
    """Files, texts and right answers, made or found.

    Raises:
        InputError: an option that cannot be.
        MissingExtraError: what makes the files is not installed.
    """
    name = run_name(options.run, plan.results)
    effort = _effort(options)
    made = files.write(
        options.cache, SHAPES[options.shape], options.tokenizer or default_tokenizer()
    )
    asked = texts.from_file(options.texts) if options.texts else texts.synthetic(made.tokenizer)
    return Bench(
        files=made,
        texts=asked,
        wanted=answers.references(made, asked.numbered(answers.COUNT)),
        effort=effort,
        deadlines=plan.deadlines,
        run=name,
        cache=options.cache,
        say=lambda line: print(line, flush=True),
    )


def _list(plan: Plan) -> None:
    for each in plan.contestants:
        try:
            interpreter(each.environment)
            there = "here"
        except EngineError as error:
            there = str(error)
        print(f"{each.name}: {each.inside}; {there}")
        for config in each.grid:
            print(f"  {config}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    # Ended by a signal or by Ctrl-C, it ends its servers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = _parser().parse_args(arguments)
    try:
        plan = make_plan(options)
        if options.list:
            _list(plan)
            return 0
        bench = make_bench(options, plan)
        print(f"run {bench.run} on {measure.machine().cpu}, rows in {plan.results}", flush=True)
        problems = run(plan, bench)
        rows = [row for row in measure.read_rows(plan.results) if row.run == bench.run]
        print(f"\n{table.serving(rows)}")
    except KeyboardInterrupt:
        print("stopped; go on with: --run last", file=sys.stderr)
        return 130
    except LimbeckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for problem in problems:
        print(f"not measured: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
