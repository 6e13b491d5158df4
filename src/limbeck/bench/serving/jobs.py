"""One contestant at one deadline: started, compared, measured; what limbeck alone is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from limbeck import loadtest, measure
from limbeck.bench.serving import answers, bounds, capacity, own, record
from limbeck.bench.serving.asking import Asker
from limbeck.bench.serving.capacity import Choice, CurvePoint
from limbeck.bench.serving.contestants import Config, Contestant
from limbeck.bench.serving.record import Bench
from limbeck.bench.serving.starting import started
from limbeck.errors import EngineError

_MACHINE_REST_S = 1.0
Part = Callable[[], list[measure.Row]]


def _under_load(
    bench: Bench, contestant: Contestant, asker: Asker, points: Sequence[CurvePoint]
) -> list[Part]:
    """Of the server that was just measured. Without a rate there are no points to look at."""

    def refusals() -> list[measure.Row]:
        spent = own.refusal_ms(points[-1])
        seen = points[-1].refused_ms
        row = record.own_row(
            bench,
            contestant,
            bounds.REFUSALS.what,
            "ms",
            spent,
            client_p50_ms=loadtest.percentile(seen, 50),
            client_p99_ms=loadtest.percentile(seen, 99),
        )
        return [dataclasses.replace(row, p99=measure.percentile(spent, 0.99))]

    def goodput() -> list[measure.Row]:
        kept = [100 * share for share in own.kept_goodput(points)]
        return [record.own_row(bench, contestant, bounds.GOODPUT.what, "%", kept)]

    def hits() -> list[measure.Row]:
        bench.say("    answers from the cache")
        found = own.cache_hits(asker, bench.texts, bench.effort)
        row = record.own_row(
            bench,
            contestant,
            bounds.HITS.what,
            "requests/s",
            found.rates,
            generator_limited=int(found.limited),
        )
        return [row]

    return [refusals, goodput, hits] if points else [hits]


def _engine_alone(bench: Bench, contestant: Contestant) -> list[float]:
    bench.say("    the engine without a server")
    return own.engine_alone(bench.files.paths[contestant.source], bench.texts)


def _afterwards(
    bench: Bench, contestant: Contestant, config: Config, rate: float, before: Sequence[float]
) -> list[Part]:
    """before: what the engine did alone before the server was measured."""

    def alone() -> list[measure.Row]:
        readings = [*before, *_engine_alone(bench, contestant)]
        share = [100 * rate / reading for reading in readings]
        return [
            record.own_row(bench, contestant, "engine without a server", "texts/s", readings),
            record.own_row(bench, contestant, bounds.OF_THE_ENGINE.what, "%", share),
        ]

    def starts() -> list[measure.Row]:
        bench.say("    starts")
        readings = []
        for _ in range(bench.effort.starts):
            with started(contestant, config, bench.files, bench.logs) as running:
                readings.append(running.ready_s)
        return [record.own_row(bench, contestant, bounds.START.what, "s", readings)]

    return [alone, starts]


def _collect(parts: Sequence[Part], contestant: Contestant) -> tuple[list[measure.Row], list[str]]:
    """Rows of all parts, and why one has none."""
    rows, problems = [], []
    for part in parts:
        try:
            rows += part()
        except EngineError as error:
            problems.append(f"{contestant.name}: {error}")
    return rows, problems


def measure_one(
    bench: Bench, contestant: Contestant, deadline_ms: float, choice: Choice, *, whole: bool
) -> tuple[list[measure.Row], list[str]]:
    """Rows of one contestant at one deadline, and what could not be measured.

    Args:
        whole: the curve too, and, of limbeck's own server, what is asked of it alone.

    Raises:
        EngineError: engine or server do not start, or the server answers wrongly, or does not
            recover from its load.
        TargetError: it went away.
    """
    rest = measure.Rest()
    rest(_MACHINE_REST_S)
    problems: list[str] = []
    before = _engine_alone(bench, contestant) if whole and contestant.ours else []
    with started(contestant, choice.config, bench.files, bench.logs) as running:
        some = bench.texts.numbered(answers.COUNT)
        error = answers.error(contestant, running, some, bench.wanted)
        idle_mb = running.memory_mb()
        asker = Asker(contestant, running)
        found = capacity.measure_rate(
            asker,
            bench.texts.texts,
            deadline_ms,
            start_rate=choice.rate or capacity.FIRST_RATE,
            effort=bench.effort,
            say=bench.say,
        )
        facts: dict[str, str | int | float] = {
            "error": error,
            "ready_s": running.ready_s,
            "idle_mb": idle_mb,
            "memory_mb": running.memory_mb(),
            "others_busy": rest.others_busy,
        }
        rows = [record.rate_row(bench, contestant, deadline_ms, choice, found, facts)]
        points: list[CurvePoint] = []
        if whole and found.rate:
            bench.say("    the curve: half of that rate to three times as much")
            points = capacity.curve(
                asker, bench.texts.texts, deadline_ms, rate=found.rate, effort=bench.effort
            )
            rows += record.curve_rows(bench, contestant, deadline_ms, points)
        if whole and contestant.ours:
            more, problems = _collect(_under_load(bench, contestant, asker, points), contestant)
            rows += more
    if whole and contestant.ours:
        parts = _afterwards(bench, contestant, choice.config, found.rate, before)
        more, others = _collect(parts, contestant)
        rows += more
        problems += others
    return rows, problems
