"""Rows of curves -> README's table, its sentences, and a picture of each data set."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck import measure
from limbeck.bench.markdown import Rows, markdown, where
from limbeck.evaluation import Interval, rivals
from limbeck.report.sections import Lines, Series

TITLES = {"sst2": "SST-2", "stsb": "STS-B", "squad": "SQuAD v1.1 dev", "imdb": "IMDB"}
FIGURES = "docs/figures"
# Per cent of the teacher's metric that a model shall keep: at any sparsity, and at 80 %.
_NEARLY_ALL = 98.5
_AT = 0.8
_BARS = {"squad": 92.0}
_USUAL_BAR = 95.0
_NONE_YET = "There are no rows yet; `make bench-accuracy` makes them.\n"


def curves(rows: Rows) -> dict[str, Rows]:
    """The last curve of each data set that was no quick one; a curve is of one run."""
    found: dict[str, Rows] = {}
    for name in TITLES:
        own = [
            row for row in rows if row.workload["data_set"] == name and not row.workload["quick"]
        ]
        if own:
            found[name] = sorted(measure.latest_run(own), key=lambda row: row.value)
    return found


def compression(rows: Rows) -> str:
    """Each data set's artifacts, the fastest first, and what follows."""
    sets = curves(rows)
    if not sets:
        return _NONE_YET
    first = next(iter(sets.values()))[0]
    threads = "1 thread" if first.threads == 1 else f"{first.threads} threads"
    parts = [
        "int8 artifacts of one recipe each: the teacher's depth and a student of half of it, "
        "dense and with blocks gone (outputs x inputs), and shallower dense students beside them. "
        "A dense student is trained once; what is pruned learns in every pruning up to its own, "
        "and so for longer. Kept: per cent of the fp32 teacher's metric, with the 95 % interval of "
        "a bootstrap over rows that both answer. Milliseconds of one text of "
        f"{first.workload['tokens']} tokens, {threads}, all artifacts in turns, medians with "
        "quartiles; speed-up over the dense model of full depth. The fastest first; bold: no other "
        "artifact is as fast and as accurate.\n"
    ]
    for name, found in sets.items():
        parts += [_table(name, found), *(f"- {line}" for line in said(name, found)), ""]
        picture = f"{FIGURES}/compression-{name}.svg"
        parts.append(f"![{TITLES[name]}: {found[0].workload['metric']} over time]({picture})\n")
    parts.append(where([row for found in sets.values() for row in found]))
    return "\n".join(parts)


def _table(name: str, rows: Rows) -> str:
    row = rows[0]
    asked = row.workload
    title = (
        f"**{TITLES[name]}**, {asked['metric']}, {asked['rows']} rows; the teacher has "
        f"{float(row.extra['teacher']):.2f}; {asked['train_rows']} rows to train on and "
        f"{asked['transfer_rows']} texts without labels, {asked['epochs']:g} "
        f"epoch{'s' if asked['epochs'] != 1 else ''} a pruning, by {asked['criterion']}; seed "
        f"{asked['seed']}."
    )
    body = [
        [
            f"**{one.subject}**" if one.extra["front"] else one.subject,
            f"{100 * _sparsity(one):.6g} %",
            f"{float(one.extra['metric']):.2f}",
            _ends(one, "kept", ".2f") if "kept" in one.extra else "–",
            f"{one.value:.2f} ({one.low:.2f}–{one.high:.2f})",
            f"{float(one.extra['speed']):.2f}",
            f"{float(one.extra['size_mb']):.1f}",
        ]
        for one in rows
    ]
    heads = ["artifact", "sparsity", "metric", "kept, %", "ms", "speed-up", "MB"]
    return f"{title}\n\n{markdown(heads, body)}"


def said(name: str, rows: Rows) -> list[str]:
    """What a data set's rows say, bar or no bar."""
    whole = [row for row in rows if row.workload["base"] == "teacher"]
    pruned = sorted((row for row in whole if _sparsity(row) > 0), key=_sparsity)
    patterns = list(dict.fromkeys(str(row.workload["pattern"]) for row in pruned))
    by_pattern = {
        one: [row for row in pruned if row.workload["pattern"] == one] for one in patterns
    }
    return [
        *_nearly_all(by_pattern),
        *_at_eighty(name, by_pattern),
        *_rounding(whole),
        *_against_dense(rows),
    ]


def _nearly_all(by_pattern: dict[str, list[measure.Row]]) -> list[str]:
    found = []
    for pattern, rows in by_pattern.items():
        good = [row for row in rows if _value(row, "kept") >= _NEARLY_ALL]
        most = (
            f"up to {100 * _sparsity(good[-1]):.6g} % ({_ends(good[-1], 'kept', '.2f')} %)"
            if good
            else "at no sparsity"
        )
        found.append(f"{pattern} {most}")
    if not found:
        return []
    return [f"{_NEARLY_ALL} % of the teacher's metric is kept in {' and in '.join(found)}."]


def _at_eighty(name: str, by_pattern: dict[str, list[measure.Row]]) -> list[str]:
    bar = _BARS.get(name, _USUAL_BAR)
    found = []
    for pattern, rows in by_pattern.items():
        for row in rows:
            if _sparsity(row) == _AT and "kept" in row.extra:
                met = "reached" if _value(row, "kept") >= bar else "missed"
                found.append(f"{pattern} keeps {_ends(row, 'kept', '.2f')} %, {met}")
    if not found:
        return []
    return [f"At {100 * _AT:g} %, where the bar is {bar:g} %: {'; '.join(found)}."]


def _rounding(whole: Sequence[measure.Row]) -> list[str]:
    dense = [row for row in whole if _sparsity(row) == 0 and "rounding" in row.extra]
    if not dense:
        return []
    most = max(
        (row for row in whole if "rounding" in row.extra), key=lambda row: _value(row, "rounding")
    )
    return [
        f"int8 alone costs the dense model {_ends(dense[0], 'rounding', '+.2f', ' to ')} points; "
        f"the most of those of full depth {most.subject}: "
        f"{_ends(most, 'rounding', '+.2f', ' to ')}."
    ]


def _against_dense(rows: Rows) -> list[str]:
    """What is pruned beside the best dense student that is as fast."""
    by_name = {row.subject: row for row in rows}
    found = []
    for row in rows:
        if not {"behind", "rival"} <= row.extra.keys():
            continue
        value, low, high = (_value(row, f"behind{end}") for end in ("", "_low", "_high"))
        rival = by_name[str(row.extra["rival"])]
        found.append(
            rivals.Beside(
                name=row.subject,
                ms=row.value,
                rival=rival.subject,
                rival_ms=rival.value,
                behind=Interval(value=value, low=low, high=high),
            )
        )
    return rivals.told(found)


def picture(name: str, rows: Rows) -> Lines:
    """The metric over milliseconds, a line for each depth and pattern."""
    lines: dict[str, list[measure.Row]] = {}
    for base in ("teacher", "student"):
        own = sorted((row for row in rows if row.workload["base"] == base), key=_sparsity)
        dense = [row for row in own if _sparsity(row) == 0]
        for row in own:
            if row not in dense:
                line = f"{row.workload['layers']} layers, {row.workload['pattern']}"
                lines.setdefault(line, list(dense)).append(row)
        if dense and own == dense:
            lines[f"{dense[0].workload['layers']} layers"] = dense
    every = sorted((row for row in rows if _sparsity(row) == 0), key=lambda row: row.value)
    if any(row.workload["base"] == "rival" for row in every):
        lines["dense"] = every
    asked = rows[0].workload
    return Lines(
        title=f"{TITLES[name]}: what is kept at which speed",
        x_label=f"milliseconds for {asked['tokens']} tokens",
        y_label=f"{asked['metric']}, points; numbers are sparsities in per cent",
        series=[
            Series(
                name=line,
                points=[(row.value, _value(row, "metric")) for row in found],
                labels=[f"{100 * _sparsity(row):.6g}" for row in found],
            )
            for line, found in lines.items()
        ],
    )


def _sparsity(row: measure.Row) -> float:
    return float(row.workload["sparsity"])


def _value(row: measure.Row, key: str) -> float:
    """NaN where there is none, which is neither above nor below anything."""
    return float(row.extra.get(key, "nan"))


def _ends(row: measure.Row, key: str, form: str, between: str = "–") -> str:
    """A finding with its interval."""
    value, low, high = (_value(row, f"{key}{end}") + 0.0 for end in ("", "_low", "_high"))
    low, high = min(low, high), max(low, high)
    return f"{value:{form}} ({low:{form}}{between}{high:{form}})"
