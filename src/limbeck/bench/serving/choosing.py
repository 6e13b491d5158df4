"""The search over a grid, and what it found last: kept, for it takes as long as the measurement."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from limbeck import measure
from limbeck.bench.serving import capacity
from limbeck.bench.serving.asking import Asker
from limbeck.bench.serving.capacity import Choice
from limbeck.bench.serving.contestants import BUDGET, Config, Contestant
from limbeck.bench.serving.kinds import SEARCH
from limbeck.bench.serving.record import Bench, versions_of
from limbeck.bench.serving.starting import started
from limbeck.errors import EngineError, TargetError


def _search_file(bench: Bench) -> Path:
    return bench.cache / "search.jsonl"


def known_choice(bench: Bench, contestant: Contestant, deadline_ms: float) -> Choice | None:
    """What the last search on this machine found for these versions, texts and model."""
    workload = bench.workload(deadline_ms=deadline_ms)
    versions = versions_of(contestant)
    machine = measure.machine()
    for row in reversed(measure.read_rows(_search_file(bench))):
        same = (row.subject, dict(row.workload), dict(row.versions)) == (
            contestant.name,
            workload,
            versions,
        )
        if same and (row.machine.cpu, row.machine.cores) == (machine.cpu, machine.cores):
            config = Config(**json.loads(str(row.extra["settings"])))
            if config in contestant.grid:
                return Choice(config=config, rate=row.value)
    return None


def search(bench: Bench, contestant: Contestant) -> dict[float, Choice]:
    """The best configuration of the grid for each deadline; kept for later runs.

    A configuration that does not start or does not stand its load is said, and is not chosen.

    Raises:
        EngineError: none of them works.
    """
    best: dict[float, Choice] = {}
    problem = ""
    for config in contestant.grid:
        try:
            with started(contestant, config, bench.files, bench.logs) as running:
                best = capacity.compare(
                    Asker(contestant, running),
                    config,
                    bench.texts.texts,
                    best,
                    bench.deadlines,
                    bench.effort,
                    bench.say,
                )
        except (EngineError, TargetError) as error:
            problem = str(error)
            bench.say(f"    {config}: {problem}")
    if not best:
        raise EngineError(problem)
    versions = versions_of(contestant)
    rows = [
        measure.Row(
            run=bench.run,
            benchmark=SEARCH,
            subject=contestant.name,
            workload=bench.workload(deadline_ms=deadline_ms),
            unit="requests/s",
            value=choice.rate,
            low=choice.rate,
            high=choice.rate,
            repeats=1,
            threads=BUDGET,
            extra={"settings": json.dumps(dataclasses.asdict(choice.config))},
            versions=versions,
        )
        for deadline_ms, choice in best.items()
    ]
    measure.append_rows(_search_file(bench), rows)
    return best
