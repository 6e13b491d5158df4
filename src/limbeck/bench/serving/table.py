"""Rows of serving -> Markdown: who stands how much, and what limbeck's own server does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limbeck import measure
from limbeck.bench.markdown import markdown, where
from limbeck.bench.serving.bounds import BOUNDS
from limbeck.bench.serving.contestants import BUDGET, CONTESTANTS, PEERS
from limbeck.bench.serving.kinds import ABSENT, CURVE, OWN, RATE
from limbeck.errors import InputError

Rows = Sequence[measure.Row]
# Deadline, subject.
_Key = tuple[float, str]


def _newest(rows: Rows) -> dict[tuple[str, str], Rows]:
    """(model, texts) -> each server's rows of its last run, on the CPU of the last run of all; of
    those alone that take part today."""
    found: dict[tuple[str, str], dict[str, list[measure.Row]]] = {}
    cpus: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.subject not in CONTESTANTS:
            continue
        key = (str(row.workload["model"]), str(row.workload["texts"]))
        cpus[key] = row.machine.cpu
        own = found.setdefault(key, {}).setdefault(row.subject, [])
        if own and own[-1].run != row.run:
            own.clear()
        own.append(row)
    return {
        key: [row for own in servers.values() for row in own if row.machine.cpu == cpus[key]]
        for key, servers in found.items()
    }


def _by_deadline(rows: Rows, benchmark: str) -> dict[_Key, measure.Row]:
    return {
        (float(row.workload["deadline_ms"]), row.subject): row
        for row in rows
        if row.benchmark == benchmark
    }


def best_peer(rates: Mapping[_Key, measure.Row], deadline_ms: float) -> measure.Row | None:
    """The peer that stands most in that time; None where none stands anything."""
    found = [rates[deadline_ms, name] for name in PEERS if (deadline_ms, name) in rates]
    best = max(found, key=lambda row: row.value, default=None)
    return best if best is not None and best.value > 0 else None


def _rates(rates: Mapping[_Key, measure.Row], absent: Mapping[_Key, measure.Row]) -> str:
    deadlines = sorted({at for at, _ in (*rates, *absent)}, reverse=True)
    body = []
    for name, contestant in CONTESTANTS.items():
        rows = [rates[at, name] for at in deadlines if (at, name) in rates]
        if not rows:
            continue
        cells = [name, contestant.inside]
        for at in deadlines:
            row = rates.get((at, name))
            rival = best_peer(rates, at)
            if row is None:
                cells += ["–", "–", "–"]
                continue
            least = "at least " if row.extra["generator_limited"] else ""
            low, high = row.extra["lowest"], row.extra["highest"]
            cells.append(f"{least}{row.value:.0f} ({low:.0f}–{high:.0f})")
            cells.append(f"**{row.value / rival.value:.2f}**" if rival else "–")
            cells.append(str(row.extra["config"]))
        cells.append(f"{max(float(row.extra['memory_mb']) for row in rows):.0f}")
        cells.append(f"{max(float(row.extra['ready_s']) for row in rows):.1f}")
        cells.append(f"{max(float(row.extra['error']) for row in rows):.1e}")
        body.append(cells)
    heads = ["server", "inside"]
    for at in deadlines:
        heads += [f"{at:g} ms, requests/s", "to the best peer", "configuration"]
    return markdown([*heads, "MB", "s to ready", "error"], body)


def _missing(rates: Mapping[_Key, measure.Row], absent: Mapping[_Key, measure.Row]) -> str:
    deadlines = sorted({at for at, _ in (*rates, *absent)}, reverse=True)
    said = []
    for at in deadlines:
        for name in CONTESTANTS:
            if (at, name) in rates:
                continue
            row = absent.get((at, name))
            why = "not asked for in this run" if row is None else str(row.extra["why"])
            said.append(f"- {name} at {at:g} ms: {' '.join(why.split())}")
    return "Not measured:\n\n" + "\n".join(said) + "\n" if said else ""


def _curves(rows: Rows) -> str:
    curves = [row for row in rows if row.benchmark == CURVE]
    if not curves:
        return ""
    factors = sorted({float(row.workload["factor"]) for row in curves})
    body = []
    for name in dict.fromkeys(row.subject for row in curves):
        own = {float(row.workload["factor"]): row for row in curves if row.subject == name}
        cells = [name]
        for factor in factors:
            row = own.get(factor)
            if row is None:
                cells.append("–")
                continue
            mark = "?" if row.extra["generator_void"] else ""
            cells.append(f"{row.value:.0f} of {float(row.workload['offered']):.0f}{mark}")
        body.append(cells)
    at = float(curves[0].workload["deadline_ms"])
    said = (
        f"Answers within {at:g} ms a second, of so many offered (the largest rate in time, times):"
    )
    table = markdown(["server", *(f"{factor:g} x" for factor in factors)], body)
    doubt = "?: the generator was late itself.\n" if "?" in table else ""
    return f"{said}\n\n{table}{doubt}"


def _own(rows: Rows) -> str:
    found = [row for row in rows if row.benchmark == OWN]
    if not found:
        return ""
    body = []
    for row in found:
        least = "at least " if row.extra.get("generator_limited") else ""
        p99 = f", p99 {row.p99:.2f}" if row.p99 is not None else ""
        digits = 0 if row.value >= 100 else 2
        value = f"{least}{row.value:.{digits}f} {row.unit}"
        spread = f"({row.low:.{digits}f}–{row.high:.{digits}f})"
        what = f"{row.subject}: {row.workload['what']}"
        bound = BOUNDS.get(str(row.workload["what"]))
        said = "–" if bound is None else bound.text if bound.kept(row) else f"{bound.text}: missed"
        body.append([what, f"{value} {spread}{p99}", said])
    return markdown(["limbeck's server", "median (quartiles)", "bound"], body)


def _runs(rows: Rows) -> str:
    """Which servers were measured when, where that was not in one run."""
    runs: dict[str, list[str]] = {}
    for row in rows:
        names = runs.setdefault(row.run, [])
        if row.subject not in names:
            names.append(row.subject)
    if len(runs) < 2:
        return ""
    told = "; ".join(f"{run}: {', '.join(names)}" for run, names in sorted(runs.items()))
    return f" Servers were measured in more than one run, hours apart ({told})."


def serving(rows: Rows) -> str:
    """The last run of each server, for each model and kind of texts.

    Raises:
        InputError: there are no such rows.
    """
    if not rows:
        raise InputError("there are no rows of serving; run: make bench-serve")
    parts = []
    for (model, texts), own in _newest(rows).items():
        rates, absent = _by_deadline(own, RATE), _by_deadline(own, ABSENT)
        seeds = max((row.repeats for row in rates.values()), default=0)
        said = (
            f"Model {model}, texts {texts}: the largest Poisson rate at which 99 % of the requests "
            f"were answered in time; median of {seeds} seeds (lowest–highest). "
            f"Every server has {BUDGET} threads to compute with, and shares the processors with "
            "the load; nothing is pinned. Configuration: of the peers the best of a search over "
            "workers, threads, batch and wait. Memory: of all its processes, pages in common "
            "counted once; error: of log-odds, relative to float32." + _runs(own)
        )
        tables = [_rates(rates, absent)] if rates else []
        tables += [_missing(rates, absent), _curves(own), _own(own)]
        parts.append("\n".join([f"{said}\n", *filter(None, tables), where(own)]))
    return "\n".join(parts)
