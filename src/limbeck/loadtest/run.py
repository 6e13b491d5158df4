"""A plan -> a result: arrivals drawn, sent by one process or several, gathered."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from limbeck.errors import InputError, MissingExtraError, TargetError
from limbeck.loadtest.outcomes import Outcome, Samples, merge
from limbeck.loadtest.plan import Plan
from limbeck.loadtest.result import Result
from limbeck.loadtest.target import Address, Request, Wire, address, wire

try:
    from limbeck.loadtest.generator import Generator, Part, Progress
    from limbeck.loadtest.once import Door
except ImportError as error:
    if (error.name or "").split(".")[0] != "httptools":
        raise
    raise MissingExtraError("httptools", "serve") from None

Tell = Callable[[Progress], None]
_HANDLES_TO_SPARE = 64
_HEAD_START_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When what is sent: both arrays have one entry a request."""

    scheduled_s: npt.NDArray[np.float64]
    which: npt.NDArray[np.int32]


def draw(plan: Plan) -> Schedule:
    """The schedule of a plan: the same for the same plan, on every machine."""
    arrivals, order = np.random.SeedSequence(plan.seed).spawn(2)
    times = plan.arrivals.times(plan.span_s, np.random.default_rng(arrivals))
    count = len(plan.target.requests)
    if plan.in_order:
        which = np.arange(times.size) % count
    else:
        which = np.random.default_rng(order).integers(0, count, times.size)
    return Schedule(scheduled_s=times, which=which.astype(np.int32))


def run(plan: Plan, tell: Tell | None = None) -> Result:
    """Send what the plan says and wait for the answers.

    An interrupt (Ctrl-C) ends the run and gives what was measured until then, marked so.

    Args:
        tell: called some five times a second with how far the run is.

    Raises:
        TargetError: nobody listens there.
        MissingExtraError: httptools is not installed.
    """
    to = address(plan.target.url)
    host = reach(to)
    schedule = draw(plan)
    part = _part(plan, to, host, schedule)
    if plan.processes == 1:
        samples, interrupted, loop = _here(part, tell)
    else:
        samples, interrupted, loop = _spread(part, plan.processes, tell)
    return _result(plan, samples, interrupted, loop)


def reach(to: Address, timeout_s: float = 5.0) -> str:
    """Open and close a connection; returns the numeric address that it went to.

    Raises:
        TargetError: it cannot be opened.
    """
    try:
        with socket.create_connection((to.host, to.port), timeout=timeout_s) as opened:
            return str(opened.getpeername()[0])
    except OSError as error:
        raise TargetError(
            f"no server can be reached at {to.host} port {to.port}: {error.strerror or error}; "
            "is it running, and is this its address?"
        ) from None


def _part(plan: Plan, to: Address, host: str, schedule: Schedule) -> Part:
    planned = int((schedule.scheduled_s >= plan.warmup_s).sum())
    lost = None if plan.stop_when_lost is None else int(plan.stop_when_lost * planned)
    watch: Wire | None = None
    if plan.watch is not None:
        keys = plan.target.requests[0].headers
        kept = tuple(h for h in keys if h[0].lower() in ("authorization", "x-api-key"))
        watch = wire(Request(method="GET", path=plan.watch, headers=kept), to)
    return Part(
        door=Door(host=host, port=to.port, secure=to.secure, server_name=to.host),
        wires=[wire(request, to) for request in plan.target.requests],
        scheduled_s=schedule.scheduled_s,
        which=schedule.which,
        timeout_s=plan.patience_s,
        max_connections=_connections(plan.max_connections),
        check_every=plan.check_every,
        counted_from_s=plan.warmup_s,
        stop_after_lost=lost,
        watch=watch,
        watch_every_s=max(1.0, plan.span_s / 300),
    )


def _connections(wanted: int) -> int:
    """As many as the limit on open files allows; the soft limit is raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _HANDLES_TO_SPARE
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        if soft < needed:
            return max(1, soft - _HANDLES_TO_SPARE)
    return wanted


def _result(plan: Plan, samples: Samples, interrupted: bool, loop: str) -> Result:
    counted = samples.scheduled_s >= plan.warmup_s
    kept = replace(
        samples,
        scheduled_s=samples.scheduled_s[counted],
        latency_ms=samples.latency_ms[counted],
        lateness_ms=samples.lateness_ms[counted],
        kind=samples.kind[counted],
        which=samples.which[counted],
        phases={name: values[counted] for name, values in samples.phases.items()},
    )
    unsent = bool((kept.outcome == Outcome.UNSENT).any())
    unfinished = bool((kept.outcome == Outcome.UNFINISHED).any())
    return Result(
        plan=plan,
        samples=kept,
        planned=int(counted.sum()),
        interrupted=interrupted,
        stopped=(unsent or unfinished) and not interrupted,
        loop=loop,
    )


# One process


def _runner() -> tuple[asyncio.Runner, str]:
    """uvloop where it is installed: it sends half as many again from one core."""
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner(), "asyncio"
    return asyncio.Runner(loop_factory=uvloop.new_event_loop), "uvloop"


def _here(part: Part, tell: Tell | None) -> tuple[Samples, bool, str]:
    interrupted = False
    generator = Generator(part, tell)

    async def go() -> Samples:
        nonlocal interrupted
        loop = asyncio.get_running_loop()

        def stop() -> None:
            nonlocal interrupted
            interrupted = True
            generator.stop()

        mine = threading.current_thread() is threading.main_thread()
        if mine:
            loop.add_signal_handler(signal.SIGINT, stop)
        try:
            return await generator.run(time.monotonic() + _HEAD_START_S)
        finally:
            if mine:
                loop.remove_signal_handler(signal.SIGINT)

    runner, name = _runner()
    with runner:
        samples = runner.run(go())
    return samples, interrupted, name


# Several processes


def _spread(part: Part, processes: int, tell: Tell | None) -> tuple[Samples, bool, str]:
    """Every n-th request goes to the same process; all start at one moment."""
    context = multiprocessing.get_context("spawn")
    workers: list[tuple[Any, multiprocessing.connection.Connection[Any, Any]]] = []
    interrupted = False
    try:
        for number in range(processes):
            ours, theirs = context.Pipe()
            lost = part.stop_after_lost
            mine = replace(
                part,
                scheduled_s=part.scheduled_s[number::processes],
                which=part.which[number::processes],
                max_connections=max(1, part.max_connections // processes),
                stop_after_lost=None if lost is None else lost // processes,
                watch=part.watch if number == 0 else None,
            )
            process = context.Process(target=_work, args=(theirs, mine), daemon=True)
            process.start()
            theirs.close()
            workers.append((process, ours))
        for _, pipe in workers:
            if pipe.recv() != "ready":
                raise InputError("a process of the generator did not start")
        start = time.monotonic() + _HEAD_START_S
        for _, pipe in workers:
            pipe.send(start)
        parts: dict[int, Samples] = {}
        progress: dict[int, Progress] = {}
        loop = ""
        while len(parts) < processes:
            try:
                waiting = {pipe: n for n, (_, pipe) in enumerate(workers) if n not in parts}
                for ready in multiprocessing.connection.wait(list(waiting)):
                    number = next(n for pipe, n in waiting.items() if pipe is ready)
                    message = workers[number][1].recv()
                    if isinstance(message, Progress):
                        progress[number] = message
                        if tell is not None:
                            tell(_sum(list(progress.values())))
                        continue
                    parts[number], stopped, loop = message
                    if stopped and part.stop_after_lost is not None:
                        _stop(workers)
            except KeyboardInterrupt:
                interrupted = True
                _stop(workers)
        for process, _ in workers:
            process.join()
        return merge([parts[n] for n in range(processes)]), interrupted, loop
    except EOFError:
        raise TargetError("a process of the generator died; see what it said above") from None
    finally:
        for process, pipe in workers:
            pipe.close()
            if process.is_alive():
                process.terminate()
            process.join()


def _stop(workers: list[tuple[Any, Any]]) -> None:
    for _, pipe in workers:
        with contextlib.suppress(OSError):
            pipe.send("stop")


def _sum(parts: list[Progress]) -> Progress:
    return Progress(
        elapsed_s=max(each.elapsed_s for each in parts),
        sent=sum(each.sent for each in parts),
        planned=sum(each.planned for each in parts),
        in_time=sum(each.in_time for each in parts),
        in_flight=sum(each.in_flight for each in parts),
    )


def _work(pipe: multiprocessing.connection.Connection[Any, Any], part: Part) -> None:
    """What a process of the generator does. Ctrl-C reaches it through its parent alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    generator = Generator(part, pipe.send)

    async def go() -> tuple[Samples, bool]:
        loop = asyncio.get_running_loop()
        stopped = False

        def told() -> None:
            nonlocal stopped
            loop.remove_reader(pipe.fileno())
            stopped = True
            generator.stop()

        pipe.send("ready")
        start = pipe.recv()
        loop.add_reader(pipe.fileno(), told)  # "stop", or the parent has gone
        os.set_blocking(pipe.fileno(), True)  # libuv has taken that away
        try:
            samples = await generator.run(start)
        finally:
            if not stopped:
                loop.remove_reader(pipe.fileno())
        return samples, not stopped and generator.stopped

    runner, name = _runner()
    with runner:
        samples, stopped = runner.run(go())
    with contextlib.suppress(BrokenPipeError):  # the parent has gone
        pipe.send((samples, stopped, name))
    pipe.close()
