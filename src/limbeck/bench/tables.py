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

from limbeck import measure, report
from limbeck.bench.curve import table as curves
from limbeck.bench.entries import SHAPES
from limbeck.bench.markdown import Rows, markdown, where
from limbeck.bench.serving.table import serving
from limbeck.errors import InputError, LimbeckError

RESULTS = Path("benchmarks/results")
_BLOCK = re.compile(r"(<!-- rows:([\w-]+) -->\n)(.*?)(<!-- /rows -->)", flags=re.DOTALL)


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
        f"Relative error of the logits against torch fp32: {said}.\n{where(rows)}"
    )


def accuracy(rows: Rows) -> str:
    """A task's metric in every precision: the latest run of each model and data set."""
    sets = _latest(rows, ("model", "texts", "metric", "rows"))
    subjects = list(dict.fromkeys(row.subject for found in sets.values() for row in found))
    body = []
    for at, found in sets.items():
        by_subject = {row.subject: row for row in found}
        cells = [str(at[0]), f"{at[1]}, {at[3]} rows", str(at[2])]
        for subject in subjects:
            row = by_subject.get(subject)
            difference = 0.0 if row is None else float(row.extra["difference"])
            cells.append("–" if row is None else f"{row.value:.2f} ({difference:+.2f})")
        body.append(cells)
    used = [row for found in sets.values() for row in found]
    return markdown(["model", "texts", "metric", *subjects], body) + "\n" + where(used)


def startup(rows: Rows) -> str:
    """Start-up times and memory, one row a finding: the latest run."""
    rows = measure.latest_run(rows)
    body = []
    for row in rows:
        digits = 0 if row.value >= 9.5 else 2
        spread = f"({row.low:.{digits}f}–{row.high:.{digits}f})"
        bound = str(row.extra.get("bound", "–"))
        body.append([row.subject, f"{row.value:.{digits}f} {row.unit} {spread}", bound])
    return markdown(["what", "median (quartiles)", "bound"], body) + "\n" + where(rows)


def _ratio(row: measure.Row | None, prefix: str = "") -> str:
    if row is None or f"{prefix}speed" not in row.extra:
        return "–"
    speed, low, high = (row.extra[f"{prefix}{key}"] for key in ("speed", "speed_low", "speed_high"))
    return f"**{speed:.2f}** ({low:.2f}–{high:.2f})"


def _latest(rows: Rows, keys: Sequence[str]) -> dict[tuple[str | int | float, ...], Rows]:
    """Values of `keys` in the workload, and threads -> the rows of the last run that has them.

    A grid is measured in pieces, each point whole: another run of one point replaces that point.
    """
    found: dict[tuple[str | int | float, ...], list[measure.Row]] = {}
    for row in rows:
        at = (*(row.workload[key] for key in keys), row.threads)
        known = found.setdefault(at, [])
        if known and known[0].run != row.run:
            known.clear()
        known.append(row)
    return {at: list(found[at]) for at in sorted(found, key=lambda at: [str(at[0]), *at[1:]])}


def _by_cpu(rows: Rows) -> list[Rows]:
    """The rows of each CPU, the one that was measured last first."""
    cpus = dict.fromkeys(row.machine.cpu for row in reversed(rows))
    return [[row for row in rows if row.machine.cpu == cpu] for cpu in cpus]


_OURS = ("limbeck int8", "limbeck int8 4x4", "limbeck int8 1x4")


def peers(rows: Rows) -> str:
    """The engine against the fastest dense int8 peer and the sparse one: the latest of each point,
    CPU by CPU, the one that was measured last first.

    Raises:
        InputError: there are no such rows.
    """
    limits: dict[tuple[str, str], float] = {}
    for row in rows:
        if row.benchmark == "kernels" and row.subject == "int8 dense":
            at, peak = (row.machine.cpu, row.isa), float(row.extra.get("peak_gops", 0))
            limits[at] = max(peak, limits.get(at, 0))
    rows = [row for row in rows if row.benchmark == "peers"]
    if not rows:
        raise InputError("there are no rows of the grid of peers; run: make bench-engine")
    said = (
        "How many times faster than the fastest dense int8 peer at that point, and than DeepSparse "
        "on a model with 80 % of its 4x4 blocks gone; medians of ratios paired by round, with "
        "quartiles. limbeck 4x4 and 1x4 have 80 % of their blocks (outputs x inputs) gone. Dense "
        "at most: with every linear layer at the peak of the multipliers (the table of kernels) "
        "and all else in no time."
    )
    parts = [said + "\n"]
    for own in _by_cpu(rows):
        parts += _peers_on(own, limits)
    return "\n".join(parts)


def _peers_on(rows: Rows, limits: Mapping[tuple[str, str], float]) -> list[str]:
    """The tables of one CPU, one a model, and where they were measured.

    limits: CPU, instruction set -> GOP/s of one thread's int8 multipliers.
    """
    points = _latest(rows, ("model", "output", "batch", "tokens"))
    parts = []
    for model, output in dict.fromkeys(at[:2] for at in points):
        body = []
        for at, found in points.items():
            if at[:2] != (model, output):
                continue
            ours = {row.subject: row for row in found if row.subject in _OURS}
            rival = next((row for row in ours.values() if "rival" in row.extra), None)
            sparse = next((row for row in ours.values() if "sparse_rival" in row.extra), None)
            body.append(
                [
                    f"{at[2]} x {at[3]}",
                    str(at[4]),
                    f"{rival.extra['rival']}, {rival.extra['rival_ms']:.1f}" if rival else "–",
                    _at_most(rival, limits) if rival else "–",
                    *(_ratio(ours.get(subject)) for subject in _OURS),
                    f"{sparse.extra['sparse_rival_ms']:.1f}" if sparse else "–",
                    *(_ratio(ours.get(subject), "sparse_") for subject in _OURS[1:]),
                ]
            )
        heads = ["batch x tokens", "threads", "fastest dense int8 peer, ms", "dense at most"]
        heads += ["limbeck dense", "limbeck 4x4", "limbeck 1x4", "DeepSparse, ms"]
        heads += ["limbeck 4x4 / DeepSparse", "limbeck 1x4 / DeepSparse"]
        title = f"Model {model}, {_OUTPUT_NAMES[str(output)]}, on {rows[0].machine.cpu}:"
        parts.append(f"{title}\n\n{markdown(heads, body)}")
    return [*parts, where([row for found in points.values() for row in found])]


def _at_most(row: measure.Row, limits: Mapping[tuple[str, str], float]) -> str:
    """How many times faster than its rival dense int8 could be, were it for the multipliers."""
    shape = next((one for one in SHAPES.values() if one.name == row.workload["model"]), None)
    gops = limits.get((row.machine.cpu, row.isa))
    if shape is None or not gops:
        return "–"
    tokens = int(row.workload["batch"]) * int(row.workload["tokens"])
    least_ms = tokens * shape.linear_operations / (gops * 1e6 * row.threads)
    return f"{float(row.extra['rival_ms']) / least_ms:.2f}"


_FLOATS = ("limbeck fp32", "limbeck bf16")


def floats(rows: Rows) -> str:
    """The engine in fp32 and bf16, each against the fastest peer that computes in the same.

    Raises:
        InputError: there are no such rows.
    """
    used = [row for row in rows if row.benchmark == "peers" and row.subject in _FLOATS]
    points = _latest(used, ("model", "output", "batch", "tokens"))
    if not points:
        raise InputError("there are no rows in fp32 or bf16; run: make bench-engine")
    body = []
    for at, found in points.items():
        by_subject = {row.subject: row for row in found}
        cells = [str(at[0]), f"{at[2]} x {at[3]}", _OUTPUT_NAMES[str(at[1])], str(at[4])]
        for subject in _FLOATS:
            row = by_subject.get(subject)
            rival = row is not None and "rival" in row.extra
            cells.append("–" if row is None else f"{row.value:.1f}")
            cells.append(f"{row.extra['rival']}, {row.extra['rival_ms']:.1f}" if rival else "–")  # type: ignore[union-attr]
            cells.append(_ratio(row))
        body.append(cells)
    heads = ["model", "batch x tokens", "output", "threads"]
    for name in ("fp32", "bf16"):
        heads += [f"limbeck {name}, ms", f"fastest {name} peer, ms", "speed-up"]
    errors = {row.subject: float(row.extra["error_hidden"]) for row in used}
    said = ", ".join(f"{subject} {error:.1e}" for subject, error in sorted(errors.items()))
    return (
        f"{markdown(heads, body)}\nRelative error of hidden states against torch fp32: {said}.\n"
        f"{where(used)}"
    )


_OUTPUT_NAMES = {"hidden": "hidden states", "logits": "logits"}


def mixed(rows: Rows) -> str:
    """Tokens a second on texts of unequal length, each in its best way of padding.

    Raises:
        InputError: there are no such rows.
    """
    keys = ("model", "texts", "order")
    sets = _latest([row for row in rows if row.benchmark == "mixed"], keys)
    if not sets:
        raise InputError("there are no rows of mixed lengths; run: make bench-engine")
    used = [row for found in sets.values() for row in found]
    subjects = list(dict.fromkeys(row.subject for row in used))
    body = []
    for model, texts, threads in dict.fromkeys((at[0], at[1], at[3]) for at in sets):
        for subject in subjects:
            by_order = {
                str(row.workload["order"]): row
                for at, found in sets.items()
                if (at[0], at[1], at[3]) == (model, texts, threads)
                for row in found
                if row.subject == subject
            }
            if not by_order:
                continue
            cells = [f"{model}, {texts}", str(threads), subject]
            even = by_order.get("uniform")
            cells.append(f"{float(even.extra['tokens_per_s']):.0f}" if even else "–")
            for order in ("as given", "sorted"):
                row = by_order.get(order)
                if row is None:
                    cells += ["–", "–"]
                    continue
                speed = float(row.extra["tokens_per_s"])
                share = (
                    f", {speed / float(even.extra['tokens_per_s']):.0%} of uniform" if even else ""
                )
                cells += [f"{speed:.0f} ({row.extra['strategy']}{share})", _ratio(row)]
            body.append(cells)
    heads = ["model, texts", "threads", "who", "uniform, tokens/s"]
    heads += ["as they come, tokens/s", "speed-up", "sorted, tokens/s", "speed-up"]
    return (
        "Texts come 32 at a time, or are sorted by length first; each peer pads in the way that is "
        "fastest for it. A speed-up is over the fastest dense int8 peer. Uniform: as many texts, "
        f"all of the mean length.\n\n{markdown(heads, body)}\n{where(used)}"
    )


def kernels(rows: Rows) -> str:
    """Operations a second of every kernel and its share of the peak: the latest run of each CPU,
    the one that was measured last first.
    """
    parts = [
        f"One thread, {rows[0].workload['tokens']} tokens, output rows x inputs: median GOP/s, and "
        "the share of what the multipliers reach in registers alone in the same run. Block-sparse "
        "kernels at 80 % sparsity, where only products of kept blocks count."
    ]
    for rows_there in _by_cpu(rows):
        own = measure.latest_run(rows_there)
        parts.append(f"{_kernels_on(own)}\n{where(own)}")
    return "\n\n".join(parts)


def _kernels_on(rows: Rows) -> str:
    shapes = list(dict.fromkeys((int(r.workload["rows"]), int(r.workload["cols"])) for r in rows))
    body = []
    for isa, subject in dict.fromkeys((row.isa, row.subject) for row in rows):
        own = {
            (int(row.workload["rows"]), int(row.workload["cols"])): row
            for row in rows
            if (row.isa, row.subject) == (isa, subject)
        }
        peaks = [float(r.extra["peak_gops"]) for r in own.values() if "peak_gops" in r.extra]
        cells = [f"{isa}, {subject}", f"{max(peaks):.0f}" if peaks else "–"]
        for shape in shapes:
            row = own.get(shape)
            if row is None:
                cells.append("–")
                continue
            peak = float(row.extra.get("peak_gops", 0))
            cells.append(f"{row.value:.0f}" + (f" ({row.value / peak:.0%})" if peak else ""))
        body.append(cells)
    heads = ["instruction set, kernel", "peak, GOP/s", *(f"{r} x {c}" for r, c in shapes)]
    return markdown(heads, body)


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
        parts.append(f"{said}\n\n{markdown(columns, body)}\n{where(run)}")
    return "\n".join(parts)


_ALL_SETS = "all"
_SET_NAMES = {"sst2": "SST-2", "stsb": "STS-B", "squad": "SQuAD v1.1 dev", "imdb": "IMDB"}
_PRECISIONS = ("fp32", "int8")


def distillation(rows: Rows) -> str:
    """What students keep of their teacher's metric, and what soft targets gain over labels.

    Of each data set the rows of its last teacher: what another one taught is another experiment.

    Raises:
        InputError: there are only quick runs.
    """
    rows = [row for row in rows if not row.workload["quick"]]
    if not rows:
        raise InputError("there are only quick runs of distillation, which prove nothing")
    sets: dict[str, dict[tuple[str, str], measure.Row]] = {}
    for name in dict.fromkeys(str(row.workload["data_set"]) for row in rows):
        own = [row for row in rows if row.workload["data_set"] == name]
        teacher = own[-1].workload.get("teacher")
        sets[name] = {
            (row.subject.rsplit(" ", 1)[0], str(row.workload["precision"])): row
            for row in own
            if row.workload.get("teacher") == teacher
        }
    used = [row for found in sets.values() for row in found.values()]
    parts = [_kept(sets)]
    if any("gained" in row.extra for row in used):
        parts.append(_gained(sets))
    return "\n".join([*parts, where(used)])


def _kept(sets: Mapping[str, Mapping[tuple[str, str], measure.Row]]) -> str:
    body, trained = [], []
    for name, found in sets.items():
        teacher = found.get(("teacher", "fp32"))
        if teacher is None:
            continue
        asked = teacher.workload
        title = _SET_NAMES.get(name, name)
        trained.append(f"{title} {asked['train_rows']}")
        what = f"{title}, {asked['metric']}, {asked['rows']} rows"
        for role in dict.fromkeys(role for role, _ in found if " minus " not in role):
            if role == "teacher":
                continue
            seeds = found[next(key for key in found if key[0] == role)].workload["seeds"]
            said = f"{role}, {seeds} seed{'s' if seeds != 1 else ''}"
            cells = [what, f"{teacher.value:.2f}", said]
            for precision in _PRECISIONS:
                row = found.get((role, precision))
                cells.append("–" if row is None else f"{row.value:.2f}")
                known = row is not None and "kept" in row.extra
                cells.append(_with_interval(row, "kept") if row and known else "–")
            body.append(cells)
    heads = ["data set", "teacher", "student"]
    for precision in _PRECISIONS:
        heads += [precision, f"{precision}, % of the teacher's"]
    said = (
        "Points; the students' are means over seeds, and what they keep has the 95 % interval of a "
        "bootstrap over rows in which teacher and students of all seeds answer the same rows. "
        f"Rows to train on: {', '.join(trained)}."
    )
    if "squad" in sets:
        said += (
            " For SQuAD v1.1 dev the models were trained on SQuADShifts, not on SQuAD's own "
            "training file: these figures are not those of papers that trained on that."
        )
    return f"{said}\n\n{markdown(heads, body)}"


def _gained(sets: Mapping[str, Mapping[tuple[str, str], measure.Row]]) -> str:
    roles = dict.fromkeys(role for found in sets.values() for role, _ in found if " minus " in role)
    body = []
    for role in roles:
        for precision in _PRECISIONS:
            cells = [f"{role}, {precision}"]
            for found in sets.values():
                row = found.get((role, precision))
                cells.append("–" if row is None else _with_interval(row, "gained"))
            body.append(cells)
    heads = ["points", *(_column(name, found) for name, found in sets.items())]
    return f"Against the same student taught by labels alone:\n\n{markdown(heads, body)}"


def _column(name: str, found: Mapping[tuple[str, str], measure.Row]) -> str:
    """A data set, or which ones a mean is over."""
    if name != _ALL_SETS:
        return _SET_NAMES.get(name, name)
    over = {str(row.workload["sets"]) for row in found.values()}
    means = (", ".join(_SET_NAMES.get(one, one) for one in each.split(", ")) for each in over)
    return f"mean of {'; or of '.join(sorted(means))}"


def _with_interval(row: measure.Row, key: str) -> str:
    value, low, high = (float(row.extra[f"{key}{end}"]) for end in ("", "_low", "_high"))
    return (
        f"**{value:.2f}** ({low:.2f}–{high:.2f})"
        if key == "kept"
        else (f"**{value:+.2f}** ({low:+.2f} to {high:+.2f})")
    )


# Table name -> (file of rows, how it reads, what makes rows). Another table is one more line here.
TABLES: Mapping[str, tuple[str, Callable[[Rows], str], str]] = {
    "engine": ("engine.jsonl", engine, "make bench"),
    "peers": ("peers.jsonl", peers, "make bench-engine"),
    "floats": ("peers.jsonl", floats, "make bench-engine ARGS=--floats"),
    "accuracy": (
        "accuracy.jsonl",
        accuracy,
        "python -m limbeck.bench.accuracy MODEL --data FILE --calibrate FILE",
    ),
    "distillation": ("distillation.jsonl", distillation, "make bench-accuracy"),
    "compression": ("compression.jsonl", curves.compression, "make bench-accuracy"),
    "mixed": ("peers.jsonl", mixed, "make bench-engine ARGS='--texts FILE'"),
    "kernels": ("kernels.jsonl", kernels, "limbeck bench kernels --record FILE"),
    "startup": ("startup.jsonl", startup, "make bench"),
    "serving": ("serving.jsonl", serving, "make bench-serve"),
    "demo": ("demo.jsonl", demo, "limbeck demo --record benchmarks/results/demo.jsonl"),
}
# Further files that a table looks into.
_BESIDE = {"peers": ("kernels.jsonl",)}
# Tables that say themselves that there are no rows yet.
_MAY_LACK_ROWS = ("compression",)


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
        if not rows and name not in _MAY_LACK_ROWS:
            raise InputError(f"no rows for table {name!r} in {results / file}; run: {makes}")
        for beside in _BESIDE.get(name, ()):
            rows += measure.read_rows(results / beside)
        return f"{found[1]}{build(rows)}{found[4]}"

    return _BLOCK.sub(table, text)


def pictures(text: str, results: Path) -> dict[str, str]:
    """Path -> SVG of the pictures that a text's tables show.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    if "<!-- rows:compression -->" not in text:
        return {}
    rows = measure.read_rows(results / TABLES["compression"][0])
    return {
        f"{curves.FIGURES}/compression-{name}.svg": report.render_svg(curves.picture(name, found))
        for name, found in curves.curves(rows).items()
    }


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
            made = {file: fill(text, options.results)}
            for name, picture in pictures(text, options.results).items():
                made[file.parent / name] = picture
            for target, wanted in made.items():
                if target.is_file() and target.read_text(encoding="utf-8") == wanted:
                    continue
                stale.append(str(target))
                if not options.check:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text(wanted, encoding="utf-8")
    except (LimbeckError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.check and stale:
        print(f"tables out of date in {', '.join(stale)}; run: make tables", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
