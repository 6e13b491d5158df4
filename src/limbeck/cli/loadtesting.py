"""What loadtest does once its options are read: a plan, runs, a table, JSON lines, a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import typer

from limbeck import data
from limbeck import loadtest as load
from limbeck.cli import loadtest_tables as tables
from limbeck.cli.messages import console, say
from limbeck.cli.written import write_whole
from limbeck.errors import GateError, InputError
from limbeck.loadtest import document, page, probe, scaling
from limbeck.loadtest.shapes import Protocol, Shape, variants
from limbeck.loadtest.texts import Lengths, from_file, synthetic
from limbeck.report import Section, write_html

_GOAL = 0.99


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of one call, as the command line gave them."""

    url: str
    rate: float | None = None
    duration_s: float = 30.0
    warmup_s: float = 3.0
    find_rate: bool = False
    rates: str | None = None
    goal: float | None = None
    seeds: str = "0,1,2"
    tolerance: float = 0.05
    max_rate: float = 100_000.0
    protocol: str = "own"
    model: str | None = None
    path: str | None = None
    body: str | None = None
    data: Path | None = None
    text_column: str | None = None
    texts_at_most: int = 2000
    lengths: str = "lognormal:48:0.7"
    rows: int = 1
    unique: bool = False
    deadline_ms: str | None = None
    deadline_header: str = "X-Request-Timeout-Ms"
    priority: str | None = None
    burst: float | None = None
    burst_length_s: float = 1.0
    burst_every_s: float = 10.0
    even: bool = False
    replay: Path | None = None
    replay_text: str | None = None
    time_column: str | None = None
    speed: float = 1.0
    headers: tuple[str, ...] = ()
    api_key: str | None = None
    timeout_s: float | None = None
    seed: int = 0
    processes: int = 1
    connections: int = 10_000
    metrics: str = "/metrics"
    peak: float | None = None
    utilisation: float = 0.7
    json: str | None = None
    report: Path | None = None


def loadtest(request: Request) -> None:
    """Run what is asked for, and tell what came out, also when it is interrupted.

    Raises:
        InputError: the request makes no sense.
        TargetError: the server cannot be reached, or turns the first request away.
        GateError: a goal was given, and missed.
        KeyboardInterrupt: the run was interrupted; what was measured has been told.
    """
    _check(request)
    scaling.advise(0.0, None, peak=request.peak, utilisation=request.utilisation)
    plan = _plan(request)
    several = _numbers(request.rates, "rates") if request.rates is not None else []
    plans = [replace(plan, arrivals=load.Poisson(rate=rate)) for rate in several]
    seeds = [int(each) for each in _numbers(request.seeds, "seeds", whole=True)]
    probe.check(plan.target)
    if request.find_rate:
        _find(request, plan, seeds)
    elif plans:
        _curve(request, plans)
    else:
        _once(request, plan)


def _check(request: Request) -> None:
    modes = [
        ("--find-rate", request.find_rate),
        ("--rates", request.rates is not None),
        ("--replay", request.replay is not None),
        ("--burst", request.burst is not None),
        ("--even", request.even),
    ]
    given = [name for name, is_given in modes if is_given]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} do not go together")
    if request.rate is None and not given:
        raise InputError("say how much to send: --rate, --rates, --find-rate or --replay")
    if request.rate is None and given[0] in ("--burst", "--even"):
        raise InputError(f"{given[0]} needs --rate")
    if request.rate is not None and given and given[0] in ("--rates", "--replay"):
        raise InputError(f"--rate and {given[0]} do not go together")
    if request.find_rate and request.deadline_ms is None:
        raise InputError("--find-rate looks for answers in time: give --deadline-ms")
    if request.goal is not None and not 0 < request.goal <= 1:
        raise InputError(f"--goal is a share in 0 .. 1, such as 0.99, found {request.goal}")
    if request.replay_text is not None and request.data is not None:
        raise InputError("--replay-text and --data both give texts: choose one")
    if request.replay is None and request.replay_text is not None:
        raise InputError("--replay-text is a column of --replay")


# The plan


def _plan(request: Request) -> load.Plan:
    shape = Shape(
        protocol=cast(Protocol, request.protocol),
        model=request.model,
        path=request.path,
        body=request.body,
        rows=request.rows,
        unique=request.unique,
        headers=_headers(request),
        deadline_header=request.deadline_header or None,
    )
    mix = variants(request.deadline_ms, request.priority)
    recorded = None if request.replay is None else _recorded(request)
    arrivals = _arrivals(request) if recorded is None else recorded[0]
    if recorded is not None and recorded[1] is not None:
        texts, in_order = recorded[1], True
        if request.rows > 1 or len(mix) > 1:
            raise InputError("a replay with texts sends one a request, with one deadline")
    elif request.data is not None:
        texts = from_file(
            request.data, text_column=request.text_column, at_most=request.texts_at_most
        )
        in_order = False
    else:
        texts = synthetic(request.texts_at_most, Lengths(spec=request.lengths), request.seed)
        in_order = False
    duration_s, warmup_s = request.duration_s, request.warmup_s
    if isinstance(arrivals, load.Replay):
        duration_s, warmup_s = arrivals.length_s + 1e-3, 0.0  # all of it, and all counts
        duration_s = max(duration_s, 0.01)
    return load.Plan(
        target=load.Target(url=request.url, requests=shape.requests(texts, mix, request.seed)),
        arrivals=arrivals,
        duration_s=duration_s,
        warmup_s=warmup_s,
        seed=request.seed,
        in_order=in_order,
        timeout_s=request.timeout_s,
        processes=request.processes,
        max_connections=request.connections,
        watch=request.metrics or None,
    )


def _arrivals(request: Request) -> load.Arrivals:
    rate = request.rate if request.rate is not None else 10.0  # where a search begins
    if request.burst is not None:
        return load.Burst(
            base_rate=rate,
            burst_rate=rate * request.burst,
            length_s=request.burst_length_s,
            every_s=request.burst_every_s,
        )
    return load.Even(rate=rate) if request.even else load.Poisson(rate=rate)


def _recorded(request: Request) -> tuple[load.Replay, list[str] | None]:
    """The recorded arrivals, and their texts in the order in which they come."""
    assert request.replay is not None
    rows = list(
        data.read_times(
            request.replay, time_column=request.time_column, text_column=request.replay_text
        )
    )
    if not rows:
        raise InputError(f"{request.replay} has no rows to replay")
    replay = load.Replay(recorded_s=np.array([row.time_s for row in rows]), speed=request.speed)
    if request.replay_text is None:
        return replay, None
    return replay, [rows[n].text or "" for n in replay.order]


def _headers(request: Request) -> tuple[tuple[str, str], ...]:
    headers = []
    for line in request.headers:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise InputError(f"--header must be like 'Name: value', found {line!r}")
        headers.append((name.strip(), value.strip()))
    if request.api_key:
        headers.append(("Authorization", f"Bearer {request.api_key}"))
    return tuple(headers)


def _numbers(text: str, what: str, *, whole: bool = False) -> list[float]:
    try:
        found = [float(int(each)) if whole else float(each) for each in text.split(",")]
    except ValueError:
        raise InputError(f"--{what} must be numbers with commas between, found {text!r}") from None
    if len(set(found)) < len(found):
        raise InputError(f"--{what} names one twice: {text!r}")
    return found


# The three ways of running


def _once(request: Request, plan: load.Plan) -> None:
    with _bar() as tell:
        result = load.run(plan, tell)
    tables.show_result(result, to_stderr=request.json == "-")
    sections = page.of_result(result)
    met = request.goal is not None and result.meets(request.goal)
    found = document.of_result(result)
    if met or request.peak is not None:
        advice = scaling.advise(
            plan.arrivals.rate if met else result.goodput,
            result,
            peak=request.peak,
            utilisation=request.utilisation,
        )
        sections += page.of_advice(advice)
        found["scaling"] = document.of_advice(advice)
        tables.show_advice(advice, to_stderr=request.json == "-")
    _write(request, [found], sections)
    if result.interrupted:
        raise KeyboardInterrupt
    if request.goal is not None:
        _judge([result], request.goal)


def _curve(request: Request, plans: list[load.Plan]) -> None:
    results: list[load.Result] = []
    for plan in plans:
        with _bar(f"{plan.arrivals.rate:g}/s ") as tell:
            results.append(load.run(plan, tell))
        if results[-1].interrupted:
            break
    tables.show_curve(results, to_stderr=request.json == "-")
    sections = page.of_curve(results)
    for result in results:
        title = f"At {result.plan.arrivals.rate:g} requests a second"
        sections.append(page.heading(title))
        sections += page.of_result(result)
    _write(request, [document.of_result(result) for result in results], sections)
    if results[-1].interrupted:
        raise KeyboardInterrupt
    if request.goal is not None:
        _judge(results, request.goal)


def _find(request: Request, plan: load.Plan, seeds: list[int]) -> None:
    with _bar() as tell:
        found = load.find_rate(
            plan,
            goal=request.goal if request.goal is not None else _GOAL,
            seeds=seeds,
            tolerance=request.tolerance,
            max_rate=request.max_rate,
            run=lambda each: load.run(each, tell),
            tell=lambda each: say(tables.probe_line(each)),
        )
    advice = scaling.advise(
        found.rate, found.knee, peak=request.peak, utilisation=request.utilisation
    )
    tables.show_rate(found, to_stderr=request.json == "-")
    tables.show_advice(advice, to_stderr=request.json == "-")
    _write(request, [document.of_rate(found, advice)], page.of_rate(found, advice))
    if found.interrupted:
        raise KeyboardInterrupt


def _judge(results: list[load.Result], goal: float) -> None:
    problems = []
    for result in results:
        if result.void:
            problems.append(f"at {result.plan.arrivals.rate:g}/s the run is void")
        elif not result.meets(goal):
            problems.append(
                f"at {result.plan.arrivals.rate:g}/s {result.counts.share_in_time:.2%} were "
                f"answered in time, the goal is {goal:.2%}"
            )
    if problems:
        raise GateError("; ".join(problems))


def _write(request: Request, rows: list[dict[str, Any]], sections: list[Section]) -> None:
    if request.json is not None:
        lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        if request.json == "-":
            typer.echo(lines, nl=False)
        else:
            write_whole(Path(request.json), lines)
    if request.report is not None:
        write_html(request.report, "Load test", sections, subtitle=request.url)
        say(f"limbeck: wrote {request.report}")


@contextmanager
def _bar(name: str = "") -> Iterator[Callable[[load.Progress], None] | None]:
    """A progress bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    # Drawn when a run tells of itself: a thread that draws would make the generator late.
    with Progress(*columns, console=console(), auto_refresh=False, transient=True) as bar:
        task = bar.add_task(name)

        def tell(at: load.Progress) -> None:
            text = f"{name}{at.sent:,} sent, {at.in_time:,} in time, {at.in_flight:,} in flight"
            bar.update(task, total=at.planned, completed=at.sent, description=text)
            bar.refresh()

        yield tell
