"""Load tests as tables on the terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from limbeck.loadtest.result import PERCENTS, percentile

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from limbeck.loadtest import RateFound, Result
    from limbeck.loadtest.capacity import Probe
    from limbeck.loadtest.scaling import Advice


def _console(to_stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=to_stderr, highlight=False, soft_wrap=not sys.stdout.isatty())


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    return table


def ms(value: float) -> str:
    """Milliseconds as people read them; a dash where there is no figure."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def share(value: float) -> str:
    return f"{value:.2%}" if math.isfinite(value) else "-"


def show_result(result: Result, *, to_stderr: bool) -> None:
    """One run: counts, latencies, the server's own split, the generator's lateness."""
    console, counts = _console(to_stderr), result.counts
    outcomes = _table("outcome", "requests", "share")
    named = (
        ("in time", counts.in_time),
        ("late", counts.late),
        ("refused", counts.refused),
        ("timed out", counts.timed_out),
        ("errors", counts.errors),
        ("unfinished", counts.unfinished),
    )
    for name, count in named:
        if count or name != "unfinished":
            part = count / counts.sent if counts.sent else float("nan")
            outcomes.add_row(name, f"{count:,}", share(part))
    outcomes.add_row("sent", f"{counts.sent:,}", "")
    for name, count in result.by_kind.items():
        outcomes.add_row(f"  {name}", f"{count:,}", "")
    for name, each in result.by_group.items():
        outcomes.add_row(f"  {name}", f"{each.sent:,}", f"{share(each.share_in_time)} in time")
    console.print(outcomes)
    times = _table("ms", *(f"p{percent:g}" for percent in PERCENTS), "max")
    lines = {
        "latency": result.answered_ms,
        "refusals": result.refused_ms,
        **{f"server: {name}": values for name, values in result.phases.items()},
        "generator late": result.lateness_ms,
    }
    for name, values in lines.items():
        if values.size:
            figures = (*PERCENTS, 100.0)
            times.add_row(name, *(ms(percentile(values, each)) for each in figures))
    console.print(times)
    console.print(
        f"sent {result.rate:,.1f}/s for {result.elapsed_s:.1f} s, answered in time "
        f"{result.goodput:,.1f}/s ({share(counts.share_in_time)})"
    )
    if result.samples.retry_after:
        console.print(f"{result.samples.retry_after:,} answers said Retry-After")
    for name, example in result.samples.examples.items():
        console.print(f"{name}, for example: {example[:160]!r}", markup=False)
    for reason in result.void:
        console.print(f"VOID: {reason}", markup=False)


def show_curve(results: Sequence[Result], *, to_stderr: bool) -> None:
    """Rates against latency and goodput."""
    table = _table("rate", "in time/s", "in time", "p50 ms", "p90 ms", "p99 ms", "late p99 ms", "")
    for result in results:
        table.add_row(
            f"{result.plan.arrivals.rate:g}",
            f"{result.goodput:,.1f}",
            share(result.counts.share_in_time),
            *(ms(result.latency_ms(each)) for each in (50, 90, 99)),
            ms(percentile(result.lateness_ms, 99)),
            "void" if result.void else "",
        )
    _console(to_stderr).print(table)


def probe_line(probe: Probe) -> str:
    """One line about a probe, as it ends."""
    result = probe.result
    verdict = "void" if result.void else "met" if probe.met else "missed"
    if result.interrupted:
        verdict = "interrupted"
    return (
        f"limbeck: seed {probe.seed}, {probe.rate:.4g}/s: {share(result.counts.share_in_time)} in "
        f"time, p99 {ms(result.latency_ms(99))} ms, {verdict}"
    )


def show_rate(found: RateFound, *, to_stderr: bool) -> None:
    """The figure of a search, and the run at the knee."""
    console = _console(to_stderr)
    if found.knee is not None:
        show_result(found.knee, to_stderr=to_stderr)
    each = ", ".join(f"{rate:.4g}" for rate in found.rates) or "none finished"
    console.print(
        f"largest rate with {found.goal:.2%} in time: {found.rate:.4g}/s (median of seeds: {each})"
    )
    if found.limited:
        console.print("at least that: the generator or --max-rate was the limit, not the server")


def show_advice(advice: Advice, *, to_stderr: bool) -> None:
    """What autoscaling should watch."""
    console = _console(to_stderr)
    console.print(
        f"for each replica {advice.target_rate:.4g}/s ({advice.utilisation:.0%} of "
        f"{advice.capacity:.4g}/s)"
        + (f"; {advice.replicas} for {advice.peak:g}/s" if advice.replicas is not None else "")
    )
    if advice.watch is not None:
        console.print(f"scale on {advice.watch[0]}, target {advice.watch[1]:.3g}")
