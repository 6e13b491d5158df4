"""What the command lines of distillation and of curves have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck import measure
from limbeck.bench.distillation import sets
from limbeck.bench.distillation.sets import DataSet
from limbeck.errors import InputError

DATA = Path("../shared/data")
CACHE = Path(".limbeck/accuracy")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of either."""

    data: Path
    encoder: Path
    sets: Sequence[DataSet]
    scale: float
    quick: bool
    cache: Path
    results: Path
    jobs: int


def add_arguments(parser: argparse.ArgumentParser, results: Path, *, listed: str) -> None:
    """The options of both. results: where rows go unless told; listed: what --list says."""
    add = parser.add_argument
    add("--data", type=Path, default=DATA, metavar="DIR", help=f"default: {DATA}")
    add("--only", metavar="LIST", help="data sets, such as sst2,stsb")
    add("--scale", type=float, default=1.0, help="share of the training rows")
    add("--quick", action="store_true", help="a small run, which proves nothing")
    add("--list", action="store_true", help=listed)
    add("--encoder", type=Path, metavar="DIR", help="default: the demo's")
    add("--cache", type=Path, default=CACHE, metavar="DIR")
    add("--jobs", type=int, default=1, metavar="N", help="train so many at once; default: 1")
    add("--results", type=Path, default=results, metavar="FILE")


def asked(options: argparse.Namespace, *, quick_sets: str) -> Asked:
    """The options' values. quick_sets: the data sets of a quick run unless told.

    Raises:
        InputError: an option that cannot be.
    """
    if not 0 < options.scale <= 1:
        raise InputError(f"--scale must be above 0 and at most 1, found {options.scale:g}")
    if options.jobs < 1:
        raise InputError(f"--jobs must be positive, found {options.jobs}")
    if not options.data.is_dir():
        raise InputError(
            f"no directory {options.data}: the data sets are no part of limbeck; name the "
            "directory that holds sst2, stsb, imdb and squad with --data "
            "(make bench-accuracy DATA=DIR)"
        )
    chosen = sets.named(options.only or (quick_sets if options.quick else None))
    if options.quick:
        chosen = [sets.quick(one) for one in chosen]
    encoder = options.encoder
    if encoder is None:
        from limbeck.forge.demo.encoder import default_encoder

        encoder = default_encoder()
    if not (encoder / "config.json").is_file():
        raise InputError(f"{encoder} is no model directory; name one with --encoder")
    return Asked(
        data=options.data,
        encoder=encoder,
        sets=chosen,
        scale=options.scale,
        quick=options.quick,
        cache=options.cache,
        results=options.results,
        jobs=options.jobs,
    )


def known_keys(results: Path) -> set[str]:
    """Keys of the rows that are there."""
    return {str(row.workload.get("key", "")) for row in measure.read_rows(results)}


def say(message: str) -> None:
    """At once: what follows takes long."""
    print(message, flush=True)
