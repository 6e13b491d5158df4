"""The command line: `python -m limbeck.bench.curve --data DIR`, or `make bench-accuracy`."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from limbeck import measure
from limbeck.bench.curve import files, plan
from limbeck.bench.curve.plan import Wanted
from limbeck.bench.distillation import digests, sets
from limbeck.bench.distillation.asking import Asked, add_arguments, asked, known_keys, say
from limbeck.bench.distillation.work import Workshop
from limbeck.errors import InputError, LimbeckError
from limbeck.forge.recipe import curve, store
from limbeck.forge.recipe.sections import CurveSection

RESULTS = Path("benchmarks/results/compression.jsonl")
_QUICK_SETS = "sst2"


@dataclass(frozen=True, kw_only=True)
class Request(Asked):
    """What is asked for."""

    seed: int

    @property
    def section(self) -> CurveSection:
        return plan.QUICK if self.quick else plan.WHOLE


def read(request: Request) -> list[Wanted]:
    """The curves that are asked for, with the rows that they are made of."""
    sets.check(request.data, request.sets)
    encoder = digests.of_directory(request.encoder)
    found = []
    for one in request.sets:
        rows = sets.read(request.data, one, request.scale)
        found.append(
            Wanted(
                data_set=one,
                rows=rows,
                teacher=plan.teacher(one, rows, encoder),
                seed=request.seed,
                section=request.section,
            )
        )
    return found


def missing(wanted: Wanted, encoder: Path, known: set[str]) -> list[str]:
    """Artifacts of the curve of which there is no row. A teacher has its encoder's shape."""
    return [name for name in plan.names(wanted, encoder) if wanted.key_of(name) not in known]


def home_of(request: Request, wanted: Wanted) -> Path:
    return request.cache / "curves" / wanted.folder


def listed(request: Request) -> None:
    """Print which artifacts there would be, and which are made already."""
    known, shop = known_keys(request.results), Workshop(request.cache, request.encoder)
    for wanted in read(request):
        names = plan.names(wanted, request.encoder)
        left = missing(wanted, request.encoder, known)
        points = home_of(request, wanted) / "points"
        print(
            f"{wanted.data_set.title}: {len(wanted.rows.train)} rows to train on, "
            f"{len(wanted.rows.test)} to measure on; {len(names) - len(left)} of {len(names)} rows "
            "are there"
        )
        there = "trained" if shop.is_trained(wanted.teacher) else "to be trained"
        print(f"  {wanted.teacher.key}  {wanted.teacher}: {there}")
        for name in left:
            begun = (points / name / "run.json").is_file()
            said = "begun, perhaps with other settings" if begun else "to be made"
            print(f"  {wanted.key_of(name)}  {name}: {said}")


def run_all(request: Request) -> list[measure.Row]:
    """Make the curves of which rows are missing, and append each one's rows when it is whole.

    Rows of a curve are of one run, for times are compared within it: where one is missing, all are
    measured, and of what was trained nothing is trained again.
    """
    known, shop = known_keys(request.results), Workshop(request.cache, request.encoder)
    appended = []
    for wanted in read(request):
        if not missing(wanted, request.encoder, known):
            say(f"{wanted.data_set.title}: all rows are there")
            continue
        began = time.perf_counter()
        if not shop.is_trained(wanted.teacher):
            say(f"{wanted.teacher}: is trained first")
            shop.train(wanted.teacher, wanted.rows)
        rows = made(request, wanted, shop)
        measure.append_rows(request.results, rows)
        appended += rows
        for row in rows:
            say(_line(row))
        say(f"{wanted.data_set.title}: {(time.perf_counter() - began) / 60:.1f} min")
    return appended


def made(request: Request, wanted: Wanted, shop: Workshop) -> list[measure.Row]:
    """One curve, made or gone on with, as rows."""
    home = home_of(request, wanted)
    _forget(home)
    found = files.write(wanted.rows, request.cache / "rows")
    recipe = wanted.recipe(shop.directory(wanted.teacher) / "model", found, home)
    measured = curve.make(
        recipe, say=lambda line: say(f"{wanted.data_set.name}: {line}"), jobs=request.jobs
    )
    about = wanted.about(scale=request.scale, quick=request.quick)
    return [
        replace(row, workload={**row.workload, "key": wanted.key_of(row.subject)})
        for row in curve.rows(measured, about)
    ]


def _forget(home: Path) -> None:
    """What other code found about models is not what this one finds: it is measured again."""
    home.parent.mkdir(parents=True, exist_ok=True)
    marker = home.parent / f"{home.name}.json"
    code = {"scored by": digests.scoring_code()}
    if store.read_json(marker) != code:
        shutil.rmtree(home / "figures", ignore_errors=True)
        store.write_json(marker, code)


def _line(row: measure.Row) -> str:
    extra = row.extra
    said = f"{row.workload['data_set']} {row.subject}: {float(extra['metric']):.2f} points"
    if "kept" in extra:
        kept, low, high = (float(extra[f"kept{end}"]) for end in ("", "_low", "_high"))
        said += f", {kept:.2f} ({low:.2f} to {high:.2f}) % kept"
    return f"{said}, {row.value:.2f} ms, {float(extra['speed']):.2f} times faster"


def _request(options: argparse.Namespace) -> Request:
    if options.seed < 0:
        raise InputError(f"--seed must not be negative, found {options.seed}")
    return Request(**vars(asked(options, quick_sets=_QUICK_SETS)), seed=options.seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m limbeck.bench.curve",
        description="What pruning and int8 keep and gain. Makes what is missing for these settings "
        "and this code.",
    )
    add_arguments(parser, RESULTS, listed="say what would run")
    parser.add_argument("--seed", type=int, default=0, help="of students and prunings; default: 0")
    options = parser.parse_args(arguments)
    try:
        request = _request(options)
        if options.list:
            listed(request)
        else:
            rows = run_all(request)
            print(f"{len(rows)} rows appended to {request.results}")
    except LimbeckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
