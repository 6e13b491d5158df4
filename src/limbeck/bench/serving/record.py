"""What is measured, and its rows: one kind a benchmark name."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck import loadtest, measure
from limbeck.bench.serving import capacity
from limbeck.bench.serving.capacity import Choice, CurvePoint, Effort, Say
from limbeck.bench.serving.contestants import BUDGET, Contestant
from limbeck.bench.serving.files import Files, Source
from limbeck.bench.serving.kinds import ABSENT, CURVE, OWN, RATE
from limbeck.bench.serving.texts import Texts
from limbeck.bench.worker import interpreter
from limbeck.errors import EngineError

_MOST_WHY = 300


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all jobs share. `wanted`: log-odds of `texts.numbered(answers.COUNT)`, by weights."""

    files: Files
    texts: Texts
    wanted: Mapping[Source, Sequence[float]]
    effort: Effort
    deadlines: Sequence[float]
    run: str
    cache: Path
    say: Say

    @property
    def logs(self) -> Path:
        return self.cache / "logs"

    def workload(self, **more: str | int | float) -> dict[str, str | int | float]:
        """What stands in every row."""
        return {"model": self.files.shape.name, "texts": self.texts.name, **more}


def versions_of(contestant: Contestant) -> dict[str, str]:
    """Of its packages, in its environment.

    Raises:
        EngineError: the environment is not there, or lacks one.
    """
    if contestant.ours:
        return measure.versions(contestant.packages)
    code = (
        "import importlib.metadata, json, sys\n"
        "print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))\n"
    )
    done = subprocess.run(
        [str(interpreter(contestant.environment)), "-c", code, *contestant.packages],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EngineError(f"{contestant.name}: {done.stderr.strip()[-500:]}")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def rate_row(
    bench: Bench,
    contestant: Contestant,
    deadline_ms: float,
    choice: Choice,
    found: loadtest.RateFound,
    facts: Mapping[str, str | int | float],
) -> measure.Row:
    """The largest rate in time: the median over seeds."""
    rates = list(found.rates)
    extra: dict[str, str | int | float] = {
        "config": str(choice.config),
        "inside": contestant.inside,
        "seeds": ", ".join(map(str, found.seeds)),
        "rates": ", ".join(f"{rate:.1f}" for rate in rates),
        "lowest": min(rates),
        "highest": max(rates),
        "tolerance": found.tolerance,
        "generator_limited": int(found.limited),
        **facts,
    }
    if found.knee is not None:
        extra |= {
            "p50_ms": found.knee.latency_ms(50),
            "p99_ms": found.knee.latency_ms(99),
            "lateness_p99_ms": loadtest.percentile(found.knee.lateness_ms, 99),
        }
    return measure.Row(
        run=bench.run,
        benchmark=RATE,
        subject=contestant.name,
        workload=bench.workload(deadline_ms=deadline_ms, goal=capacity.GOAL),
        unit="requests/s",
        value=measure.percentile(rates, 0.5),
        low=measure.percentile(rates, 0.25),
        high=measure.percentile(rates, 0.75),
        repeats=len(rates),
        threads=BUDGET,
        extra=extra,
        versions=versions_of(contestant),
    )


def curve_rows(
    bench: Bench, contestant: Contestant, deadline_ms: float, points: Sequence[CurvePoint]
) -> list[measure.Row]:
    """Answers in time a second, one row an offered rate: medians over seeds, counts added up."""
    rows = []
    versions = versions_of(contestant)
    for point in points:
        counts = [result.counts for result in point.results]
        answered = point.answered_ms
        extra: dict[str, str | int | float] = {
            "share_in_time": statistics.median(one.share_in_time for one in counts),
            "refused": sum(one.refused for one in counts),
            "late": sum(one.late for one in counts),
            "timed_out": sum(one.timed_out for one in counts),
            "errors": sum(one.errors for one in counts),
            "generator_void": sum(bool(result.void) for result in point.results),
        }
        if answered.size:
            extra |= {
                "p50_ms": loadtest.percentile(answered, 50),
                "p99_ms": loadtest.percentile(answered, 99),
            }
        rows.append(
            measure.Row(
                run=bench.run,
                benchmark=CURVE,
                subject=contestant.name,
                workload=bench.workload(
                    deadline_ms=deadline_ms, factor=point.factor, offered=round(point.offered, 2)
                ),
                unit="answers in time/s",
                value=statistics.median(point.goodputs),
                low=min(point.goodputs),
                high=max(point.goodputs),
                repeats=len(point.goodputs),
                threads=BUDGET,
                extra=extra,
                versions=versions,
            )
        )
    return rows


def own_row(
    bench: Bench,
    contestant: Contestant,
    what: str,
    unit: str,
    readings: Sequence[float],
    **extra: str | int | float,
) -> measure.Row:
    """What limbeck's own server was asked."""
    return measure.Row(
        run=bench.run,
        benchmark=OWN,
        subject=contestant.name,
        workload=bench.workload(what=what),
        unit=unit,
        value=measure.percentile(readings, 0.5),
        low=measure.percentile(readings, 0.25),
        high=measure.percentile(readings, 0.75),
        repeats=len(readings),
        threads=BUDGET,
        extra=extra,
        versions=versions_of(contestant),
    )


def absent_row(bench: Bench, contestant: Contestant, deadline_ms: float, why: str) -> measure.Row:
    """That a contestant could not be measured: nobody is left out silently."""
    return measure.Row(
        run=bench.run,
        benchmark=ABSENT,
        subject=contestant.name,
        workload=bench.workload(deadline_ms=deadline_ms),
        unit="requests/s",
        value=0,
        low=0,
        high=0,
        repeats=1,
        threads=BUDGET,
        extra={"why": why.replace(str(Path.cwd()), ".")[:_MOST_WHY]},
    )
