"""The command line: `python -m limbeck.bench.distillation --data DIR`, or `make bench-accuracy`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from limbeck import measure
from limbeck.bench.distillation import at_once, digests, estimate, findings, plan, sets
from limbeck.bench.distillation.asking import Asked, add_arguments, asked, known_keys, say
from limbeck.bench.distillation.plan import Finding, Run
from limbeck.bench.distillation.sets import DataSet, Rows
from limbeck.bench.distillation.work import Workshop
from limbeck.errors import InputError, LimbeckError
from limbeck.tasks import bootstrap
from limbeck.text import Tokenizer

RESULTS = Path("benchmarks/results/distillation.jsonl")
_QUICK_SETS = "sst2,stsb"
_QUICK_METHODS = "soft,hard"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A data set with its rows and what is to be found out about it."""

    data_set: DataSet
    rows: Rows
    findings: list[Finding]


@dataclass(frozen=True, kw_only=True)
class Request(Asked):
    """What is asked for."""

    methods: Sequence[plan.Method]
    seeds: Sequence[int]


def read(request: Request) -> list[Part]:
    """The rows of every data set, and all findings that the request is about."""
    sets.check(request.data, request.sets)
    encoder = digests.of_directory(request.encoder)
    parts = []
    for one in request.sets:
        rows = sets.read(request.data, one, request.scale)
        wanted = plan.findings(
            one,
            request.methods,
            request.seeds,
            rows=rows.train.digest,
            transfer=None if rows.transfer is None else rows.transfer.digest,
            encoder=encoder,
            test=digests.of_examples(rows.test),
        )
        parts.append(Part(data_set=one, rows=rows, findings=wanted))
    return parts


def missing(part: Part, known: set[str]) -> list[Finding]:
    return [finding for finding in part.findings if finding.key not in known]


def to_train(wanted: Sequence[Finding], shop: Workshop) -> list[Run]:
    """The runs behind these findings that are not in the cache, in an order that works."""
    runs = plan.in_order(run for finding in wanted for run in finding.needed)
    return [run for run in runs if not shop.is_trained(run)]


class Clock:
    """Says what comes and how long all will take."""

    def __init__(self, request: Request, parts: Sequence[Part], known: set[str]) -> None:
        self._shop = Workshop(request.cache, request.encoder)
        self._speeds = estimate.Speeds(request.cache)
        self._jobs = request.jobs
        tokenizer = Tokenizer.from_directory(request.encoder)
        self._parts = [
            (
                part,
                to_train(missing(part, known), self._shop),
                estimate.mean_tokens(tokenizer, part.rows, part.data_set.max_tokens),
            )
            for part in parts
        ]

    def left(self) -> list[tuple[Run, float]]:
        """Runs that are not trained yet with their estimated seconds."""
        self._speeds.look()
        found: list[tuple[Run, float]] = []
        for part, runs, lengths in self._parts:
            each = estimate.seconds(runs, self._speeds, lengths, part.rows)
            found += [(run, each[run.key]) for run in runs if not self._shop.is_trained(run)]
        return found

    def before(self, run: Run) -> str:
        left = self.left()
        own = {each.key: seconds for each, seconds in left}[run.key]
        total = sum(seconds for _, seconds in left) / self._jobs
        return f"{run}: about {own / 60:.0f} min; {len(left)} models and {total / 60:.0f} min to go"


def listed(request: Request) -> None:
    """Print which models would be trained, and for about how long."""
    parts, known = read(request), known_keys(request.results)
    shop = Workshop(request.cache, request.encoder)
    left = Clock(request, parts, known).left()
    minutes = {run.key: seconds / 60 for run, seconds in left}
    for part in parts:
        wanted = missing(part, known)
        done = len(part.findings) - len(wanted)
        print(
            f"{part.data_set.title}: {len(part.rows.train)} rows to train on, "
            f"{len(part.rows.test)} to measure on; {done} of {len(part.findings)} rows are there"
        )
        for run in plan.in_order(run for finding in wanted for run in finding.needed):
            said = "trained" if shop.is_trained(run) else f"about {minutes[run.key]:.1f} min"
            print(f"  {run.key}  {run}, {run.training.epochs:g} epochs: {said}")
    print(f"{len(left)} models to train, about {sum(minutes.values()):.0f} minutes in all")


def run_all(request: Request) -> list[measure.Row]:
    """Train and score what is missing, and append each row as soon as it is known."""
    parts, known = read(request), known_keys(request.results)
    shop = Workshop(request.cache, request.encoder)
    clock = Clock(request, parts, known)
    name = measure.new_run()
    made: list[measure.Row] = []

    def append(row: measure.Row) -> None:
        measure.append_row(request.results, row)
        made.append(row)
        say(_line(row))

    about = {"run": name, "scale": request.scale, "quick": request.quick}
    if request.jobs > 1:

        def hear(run: Run, minutes: float | None) -> None:
            say(clock.before(run) if minutes is None else f"{run}: {minutes:.1f} min")

        runs = [(run, part.rows) for part in parts for run in to_train(missing(part, known), shop)]
        at_once.train(runs, shop, request.jobs, hear)
    for part in parts:
        for finding in missing(part, known):
            for run in to_train([finding], shop):
                say(clock.before(run))
                began = time.perf_counter()
                shop.train(run, part.rows)
                say(f"{run}: {(time.perf_counter() - began) / 60:.1f} min")
            append(findings.row(finding, shop, part.rows, **about))  # type: ignore[arg-type]
    for group in together(parts):
        if findings.overall_key([finding for finding, _ in group]) in known:
            continue
        if to_train([finding for finding, _ in group], shop):
            say(
                f"{group[0][0].subject}: no mean over data sets, for some of their models are no "
                f"longer in {request.cache}"
            )
            continue
        append(findings.overall(group, shop, **about))  # type: ignore[arg-type]
    return made


def together(parts: Sequence[Part]) -> list[list[tuple[Finding, Rows]]]:
    """The same difference on all data sets, where there are several."""
    found: dict[str, list[tuple[Finding, Rows]]] = {}
    for part in parts:
        for finding in part.findings:
            if finding.minus:
                found.setdefault(finding.subject, []).append((finding, part.rows))
    return [group for group in found.values() if len(group) == len(parts) > 1]


def held_out(request: Request) -> None:
    """Train, and print how well held-out training rows are answered; nothing is recorded.

    For choosing epochs, rates and weights: the rows that results come from are not looked at.
    """
    shop = Workshop(request.cache, request.encoder)
    for part in read(request):
        for run in plan.in_order(run for finding in part.findings for run in finding.needed):
            shop.train(run, part.rows)
            rows = part.rows.held_out
            answered = shop.answer(run, "fp32", rows, digests.scoring_code())
            name, metric = findings.metric_of(answered)
            found = bootstrap.interval(metric, len(rows))
            print(
                f"{run}, {run.training.epochs:g} epochs: {name} {found}, {len(rows)} held-out rows"
            )


def _line(row: measure.Row) -> str:
    said = f"{row.workload['data_set']} {row.subject}: {row.value:.2f} points"
    for what, unit in (("kept", "% kept"), ("gained", "points gained")):
        if what in row.extra:
            value, low, high = (float(row.extra[f"{what}{end}"]) for end in ("", "_low", "_high"))
            said += f", {value:.2f} ({low:.2f} to {high:.2f}) {unit}"
    return said


def _seeds(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--seeds is a list of numbers such as 0,1,2, found {text!r}") from None
    if len(set(found)) < len(found) or min(found) < 0:
        raise InputError(f"--seeds must be different and not negative, found {text!r}")
    return found


def _request(options: argparse.Namespace) -> Request:
    if options.epochs is not None and not options.epochs > 0:
        raise InputError(f"--epochs must be positive, found {options.epochs:g}")
    common = asked(options, quick_sets=_QUICK_SETS)
    if options.epochs is not None:
        chosen = [
            replace(one, student=replace(one.student, epochs=options.epochs)) for one in common.sets
        ]
        common = replace(common, sets=chosen)
    quick = options.quick
    return Request(
        **vars(common),
        methods=plan.methods(options.methods or (_QUICK_METHODS if quick else None)),
        seeds=_seeds(options.seeds or ("0" if quick else "0,1,2")),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m limbeck.bench.distillation",
        description="What distillation keeps. Trains what is missing for this recipe and code.",
    )
    add_arguments(parser, RESULTS, listed="say what would run, and how long")
    parser.add_argument("--methods", metavar="LIST", help="such as soft,hard,online,two-teachers")
    parser.add_argument("--seeds", metavar="LIST", help="of the students; default: 0,1,2")
    parser.add_argument("--epochs", type=float, metavar="N", help="of the students")
    parser.add_argument(
        "--held-out", action="store_true", help="measure on held-out training rows; record nothing"
    )
    options = parser.parse_args(arguments)
    try:
        request = _request(options)
        if options.list:
            listed(request)
        elif options.held_out:
            held_out(request)
        else:
            made = run_all(request)
            print(f"{len(made)} rows appended to {request.results}")
    except LimbeckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
