"""Rows of the latest runs -> the tables between the markers of a Markdown file.

`python -m limbeck.bench.tables README.md` writes them, `--check` says whether they are up to date.
A marker pair is `<!-- rows:NAME -->` and `<!-- /rows -->`, each on a line of its own.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from limbeck import measure
from limbeck.errors import InputError, LimbeckError

RESULTS = Path("benchmarks/results")
_BLOCK = re.compile(r"(<!-- rows:([\w-]+) -->\n)(.*?)(<!-- /rows -->)", flags=re.DOTALL)

Rows = Sequence[measure.Row]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column left, the others right."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|---|" + "---:|" * (len(columns) - 1)
    return "\n".join([line(columns), rule, *map(line, rows)]) + "\n"


def _where(rows: Rows) -> str:
    row = rows[0]
    machine = row.machine
    versions: dict[str, str] = {}
    for each in rows:
        versions.update(each.versions)
    parts = [f"{machine.cpu}, {machine.cores} cores"]
    isas = sorted({each.isa for each in rows if each.isa})
    if isas:
        parts.append(f"our kernels: {', '.join(isas)}")
    parts += [f"{name} {version}" for name, version in sorted(versions.items())]
    parts += [f"commit {row.commit}", row.date[:10]]
    busy = [float(each.extra["others_busy"]) for each in rows if "others_busy" in each.extra]
    if busy:
        parts.append(f"other processes used {min(busy):.0%} to {max(busy):.0%} of the machine")
    return "Measured on " + "; ".join(parts) + ".\n"


def engine(rows: Rows) -> str:
    """Milliseconds per batch, with quartiles, and how much faster than the peer: the latest run."""
    rows = measure.latest_run(rows)
    subjects = list(dict.fromkeys(row.subject for row in rows))

    def point(row: measure.Row) -> tuple[str, int, int, int]:
        asked = row.workload
        return str(asked["output"]), int(asked["batch"]), int(asked["tokens"]), row.threads

    by_key = {(point(row), row.subject): row for row in rows}
    rivals = [s for s in subjects if any("speed" in r.extra for r in rows if r.subject == s)]
    body = []
    for at in dict.fromkeys(map(point, rows)):
        output, batch, tokens, threads = at
        cells = [f"{batch} x {tokens}", output, str(threads)]
        for subject in subjects:
            row = by_key.get((at, subject))
            cells.append("–" if row is None else f"{row.value:.1f} ({row.low:.1f}–{row.high:.1f})")
        for subject in rivals:
            row = by_key.get((at, subject))
            if row is None or "speed" not in row.extra:
                cells.append("–")
            else:
                speed, low, high = (row.extra[k] for k in ("speed", "speed_low", "speed_high"))
                cells.append(f"**{speed:.2f}** ({low:.2f}–{high:.2f})")
        body.append(cells)
    heads = [f"{subject}, ms" for subject in subjects]
    ratios = [f"{subject.split()[1]} speed-up" for subject in rivals]
    table = markdown(["batch x tokens", "output", "threads", *heads, *ratios], body)
    errors = {row.subject: row.extra for row in rows if "error_logits" in row.extra}
    said = ", ".join(f"{name} {float(extra['error_logits']):.1e}" for name, extra in errors.items())
    model = rows[0].workload["model"]
    return (
        f"Model {model}, median over interleaved rounds with quartiles; a speed-up is that over "
        "ONNX Runtime in the same precision, paired by round. Hidden states are the same work for "
        "both; for logits our engine leaves out what the head does not read."
        f"\n\n{table}\n"
        f"Relative error of the logits against torch fp32: {said}.\n{_where(rows)}"
    )


def startup(rows: Rows) -> str:
    """Start-up times and memory, one row a finding: the latest run."""
    rows = measure.latest_run(rows)
    body = []
    for row in rows:
        body.append(
            [
                row.subject,
                f"{row.value:.0f} {row.unit} ({row.low:.0f}–{row.high:.0f})",
                str(row.extra.get("bound", "–")),
            ]
        )
    return markdown(["what", "median (quartiles)", "bound"], body) + "\n" + _where(rows)


_DEMO_FIGURES = (
    ("precision", "precision", 3),
    ("recall", "recall", 3),
    ("F1", "f1", 3),
    ("AUC", "auc", 4),
    ("recall at {rate}", "recall_at_rate", 3),
    ("the same, unseen notations", "unseen_recall_at_rate", 3),
    ("calibration error", "calibration_error", 4),
)


def demo(rows: Rows) -> str:
    """The demo's detectors: for each kind of texts, the latest run that was not a quick one."""
    rows = [row for row in rows if not row.workload["quick"]]
    if not rows:
        raise InputError("there are only quick runs of the demo, which prove nothing")
    parts = []
    for texts in sorted({str(row.workload["texts"]) for row in rows}):
        run = measure.latest_run([row for row in rows if row.workload["texts"] == texts])
        facts = run[-1].extra
        rate = f"{float(facts['false_alarm_rate']):.1%}"
        heads = [head.format(rate=rate) for head, *_ in _DEMO_FIGURES]
        body = []
        for row in run:
            cells = [row.subject]
            for _, key, digits in _DEMO_FIGURES:
                cells.append(f"{float(row.extra[key]):.{digits}f}" if key in row.extra else "–")
            size = f"{float(row.extra['size_mb']):.1f}" if "size_mb" in row.extra else "–"
            assert row.p99 is not None
            body.append([*cells, f"{row.value:.1f}", f"{row.p99:.1f}", size])
        tokens = run[0].workload["tokens"]
        columns = ["detector", *heads, f"ms at {tokens} tokens, p50", "p99", "MB"]
        said = (
            f"{texts[:1].upper()}{texts[1:]}: {facts['positives']} texts with a contact and "
            f"{facts['negatives']} without, of template families that training never saw; "
            f"{float(facts['total_s']) / 60:.1f} minutes in all."
        )
        if "long_of" in facts:
            said += (
                f" Of {facts['long_of']} texts of 2,000 words with a leak in the last sentence the "
                f"student finds {facts['long_found']}."
            )
        parts.append(f"{said}\n\n{markdown(columns, body)}\n{_where(run)}")
    return "\n".join(parts)


# Table name -> (file of rows, how it reads, what makes rows). Another table is one more line here.
TABLES: Mapping[str, tuple[str, Callable[[Rows], str], str]] = {
    "engine": ("engine.jsonl", engine, "make bench"),
    "startup": ("startup.jsonl", startup, "make bench"),
    "demo": ("demo.jsonl", demo, "limbeck demo --record benchmarks/results/demo.jsonl"),
}


def fill(text: str, results: Path) -> str:
    """`text` with every marked table written anew.

    Raises:
        InputError: a marker names no table, is not closed, or there are no rows for it.
    """
    if text.count("<!-- rows:") != len(_BLOCK.findall(text)):
        raise InputError("a '<!-- rows:NAME -->' line lacks its '<!-- /rows -->' line")

    def table(found: re.Match[str]) -> str:
        name = found[2]
        if name not in TABLES:
            raise InputError(f"no table {name!r}; there are: {', '.join(TABLES)}")
        file, build, makes = TABLES[name]
        rows = measure.read_rows(results / file)
        if not rows:
            raise InputError(f"no rows for table {name!r} in {results / file}; run: {makes}")
        return f"{found[1]}{build(rows)}{found[4]}"

    return _BLOCK.sub(table, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m limbeck.bench.tables", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    stale = []
    try:
        for file in options.files:
            text = file.read_text(encoding="utf-8")
            filled = fill(text, options.results)
            if filled == text:
                continue
            stale.append(str(file))
            if not options.check:
                file.write_text(filled, encoding="utf-8")
    except (LimbeckError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.check and stale:
        print(f"tables out of date in {', '.join(stale)}; run: make tables", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
