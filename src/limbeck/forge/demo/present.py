"""What the demo shows and keeps: the table, the report, measured.json, rows for the README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.box import SIMPLE
from rich.table import Table as RichTable

from limbeck import artifact, measure, report
from limbeck.data import listings
from limbeck.forge.demo import scoreboard
from limbeck.forge.demo.corpus import ListingCorpus
from limbeck.forge.demo.run import TIMED_TOKENS, DemoResult, Outcome
from limbeck.forge.demo.scoreboard import Figures
from limbeck.pipeline import pipeline
from limbeck.pipeline.windows import LOOKS
from limbeck.report import Bars, Lines, Section, Series, Table, Text

_CURVE_RATES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
_SHOWN_EXAMPLES = 12
_PACKAGES = ("torch", "transformers", "numpy", "tokenizers", "scikit-learn")


def columns(rate: float) -> tuple[str, ...]:
    """Column names of the table."""
    return (
        "detector",
        "precision",
        "recall",
        "F1",
        "AUC",
        f"recall at {rate:.1%} false alarms",
        "calibration error",
        f"ms at {TIMED_TOKENS} tokens, p50",
        "p99",
        "MB",
    )


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _cells(outcome: Outcome, figures: Figures) -> tuple[str, ...]:
    size = outcome.detector.size_bytes
    return (
        outcome.detector.name,
        f"{figures.precision:.3f}",
        f"{figures.recall:.3f}",
        f"{figures.f1:.3f}",
        f"{figures.auc:.4f}",
        f"{figures.recall_at_rate:.3f}",
        f"{figures.calibration_error:.4f}",
        _milliseconds(outcome.timing.p50_ms),
        _milliseconds(outcome.timing.p99_ms),
        "–" if size is None else f"{size / 1e6:.1f}",
    )


def _sets(result: DemoResult) -> list[tuple[str, list[tuple[Outcome, Figures]]]]:
    """(title, rows) of each set that was measured."""
    name = "unseen template families" if result.corpus.is_listings else "held-out texts"
    title = f"Test: {name} ({result.test.positives} with, {result.test.negatives} without)"
    found = [(title, [(outcome, outcome.test) for outcome in result.outcomes])]
    rows = [(o, o.unseen) for o in result.outcomes if o.unseen is not None]
    if result.unseen is not None:
        title = f"Unseen notations ({len(result.unseen)} with; the same texts without)"
        found.append((title, rows))
    return found


def tables(result: DemoResult) -> list[RichTable]:
    """The table for each set, for a terminal: 80 columns hold it whole."""
    rate = f"{result.settings.false_alarm_rate:.1%}"
    heads = (
        "prec.",
        "recall",
        "F1",
        "AUC",
        f"recall at {rate}",
        "calib. error",
        "p50 ms",
        "p99 ms",
    )
    made = []
    for title, rows in _sets(result):
        table = RichTable(
            "detector",
            title=title,
            caption=f"recall at {rate} false alarms; times for one text of {TIMED_TOKENS} tokens",
            box=box.SIMPLE,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        cells = [_cells(outcome, figures) for outcome, figures in rows]
        words = [word for row in cells for word in row[0].split()]
        table.columns[0].min_width = max(map(len, words))
        for index, head in enumerate((*heads, "MB"), start=1):
            # Headings break at spaces, so that no column is wider than it must be.
            widest = max(len(word) for word in (*head.split(), *(row[index] for row in cells)))
            table.add_column(head.replace(" ", "\n"), justify="right", min_width=widest)
        for row in cells:
            table.add_row(*row)
        made.append(table)
    return made


def time_table(seconds: dict[str, float]) -> RichTable:
    """Where the time went, with the sum."""
    table = RichTable("step", "seconds", box=SIMPLE, pad_edge=False)
    table.columns[1].justify = "right"
    for name, taken in seconds.items():
        table.add_row(name, f"{taken:.1f}")
    table.add_section()
    table.add_row("sum", f"{sum(seconds.values()):.1f}")
    return table


def next_commands(result: DemoResult) -> list[str]:
    """What to try with what the demo left."""
    out = result.settings.out
    text = "Great flat. Call me on 555-0142 before you book."
    commands = [
        f'limbeck predict {result.settings.artifact} "{text}"',
        f"limbeck inspect {result.settings.artifact}",
        f"limbeck verify {result.settings.artifact} --against {out / 'student'}",
    ]
    if result.corpus.is_listings:
        commands.append("limbeck demo --data your-descriptions.jsonl")
    return commands


def measured(result: DemoResult) -> dict[str, Any]:
    """What goes beside the artifact in measured.json."""
    machine = measure.machine()
    return {
        "task": result.corpus.description,
        "labels": list(result.corpus.names),
        "false_alarm_rate": result.settings.false_alarm_rate,
        "window_tokens": result.settings.window_tokens,
        "seed": result.settings.seed,
        "quick": result.settings.quick,
        "test": {"positives": result.test.positives, "negatives": result.test.negatives},
        "unseen": None if result.unseen is None else {"positives": len(result.unseen)},
        "detectors": [
            {
                "name": outcome.detector.name,
                "threshold": outcome.threshold,
                "test": outcome.test.as_dict(),
                "unseen": None if outcome.unseen is None else outcome.unseen.as_dict(),
                "timed_tokens": TIMED_TOKENS,
                "p50_ms": outcome.timing.p50_ms,
                "p99_ms": outcome.timing.p99_ms,
                "timed_calls": outcome.timing.calls,
                "size_bytes": outcome.detector.size_bytes,
            }
            for outcome in result.outcomes
        ],
        "long_texts": None
        if result.long_texts is None
        else {
            "words": result.long_texts.words,
            "found": result.long_texts.found,
            "of": result.long_texts.of,
            "false_alarms": result.long_texts.false_alarms,
            "clean": result.long_texts.clean,
        },
        "training": {
            "teacher": result.teacher_report.as_dict(),
            "student": result.student_report.as_dict(),
        },
        "verify": result.exported.report.as_dict(),
        "seconds": result.seconds,
        "machine": {"cpu": machine.cpu, "cores": machine.cores, "isa": list(machine.isa)},
        "versions": measure.versions(_PACKAGES),
    }


def record(result: DemoResult, path: Path) -> None:
    """Append the test set's figures as rows, one a detector, for the README's table."""
    run = measure.new_run()
    rows = []
    for outcome in result.outcomes:
        figures = outcome.test
        extra: dict[str, str | int | float] = {
            "precision": figures.precision,
            "recall": figures.recall,
            "f1": figures.f1,
            "auc": figures.auc,
            "recall_at_rate": figures.recall_at_rate,
            "calibration_error": figures.calibration_error,
            "false_alarm_rate": result.settings.false_alarm_rate,
            "positives": result.test.positives,
            "negatives": result.test.negatives,
            "total_s": sum(result.seconds.values()),
        }
        if outcome.detector.size_bytes is not None:
            extra["size_mb"] = outcome.detector.size_bytes / 1e6
        if outcome.unseen is not None:
            extra["unseen_recall_at_rate"] = outcome.unseen.recall_at_rate
        if result.long_texts is not None:
            extra["long_found"] = result.long_texts.found
            extra["long_of"] = result.long_texts.of
        rows.append(
            measure.Row.timed(
                outcome.timing,
                run=run,
                benchmark="demo",
                subject=outcome.detector.name,
                workload={
                    "tokens": TIMED_TOKENS,
                    "batch": 1,
                    "texts": result.corpus.description,
                    "quick": int(result.settings.quick),
                },
                threads=measure.machine().cores,
                extra=extra,
                versions=measure.versions(_PACKAGES),
            )
        )
    measure.append_rows(path, rows)


def save(result: DemoResult) -> Path:
    """Write measured.json beside the artifact, and the report; returns the report's path."""
    artifact.write_measured(result.settings.artifact, measured(result))
    best = max(range(len(result.outcomes)), key=lambda i: result.outcomes[i].test.recall_at_rate)
    student = result.outcomes[-1]
    title = "Contact details in listing descriptions"
    if not result.corpus.is_listings:
        title = f"Finding {result.corpus.names[1]!r}"
    headline = (
        f"The int8 student finds {student.test.recall_at_rate:.1%} at "
        f"{result.settings.false_alarm_rate:.1%} false alarms, in {student.timing.p50_ms:.1f} ms "
        f"for {TIMED_TOKENS} tokens and {(student.detector.size_bytes or 0) / 1e6:.1f} MB; "
        f"the best of the four finds {result.outcomes[best].test.recall_at_rate:.1%}."
    )
    sections: list[Section] = [Text(title="In short", paragraphs=_summary(result, headline))]
    for set_title, rows in _sets(result):
        sections.append(
            Table(
                title=set_title,
                columns=columns(result.settings.false_alarm_rate),
                rows=[_cells(outcome, figures) for outcome, figures in rows],
                emphasis=(len(rows) - 1,),
                note=(
                    "Precision, recall and F1 at the threshold chosen on validation data. The "
                    "recall at a false-alarm rate takes its threshold from this very set. p99 of "
                    f"{student.timing.calls} calls is close to the slowest of them."
                ),
            )
        )
    sections += _charts(result)
    sections += _examples(result)
    sections.append(_proof(result))
    sections.append(
        Table(
            title="Where the time went",
            columns=("step", "seconds"),
            rows=[(name, round(taken, 1)) for name, taken in result.seconds.items()]
            + [("sum", round(sum(result.seconds.values()), 1))],
        )
    )
    sections.append(
        Text(title="What to try next", paragraphs=next_commands(result), preformatted=True)
    )
    machine = measure.machine()
    return report.write_html(
        result.settings.out / "report.html",
        title,
        sections,
        subtitle=f"{result.corpus.description}; {machine.cpu}, {machine.cores} cores",
    )


def _summary(result: DemoResult, headline: str) -> list[str]:
    teacher, student = result.teacher_report, result.student_report
    paragraphs = [
        headline,
        f"The teacher saw {teacher.rows_seen} texts in {teacher.seconds:.0f} s; the student has "
        f"its layers {result.lineage['layers']} and learned from its logits on "
        f"{student.rows_seen} texts in {student.seconds:.0f} s ({student.precision}).",
        f"The student reads what looks suspicious {len(LOOKS)} times, in windows of other sizes, "
        "and takes the mean of the logits, as the pipeline does by default; the teacher reads "
        "once.",
    ]
    if result.long_texts is not None:
        found = result.long_texts
        paragraphs.append(
            f"Of {found.of} texts of {found.words} words with a leak in the last sentence, "
            f"{found.found} were found, in the window that holds it; {found.clean} such texts "
            f"without a leak raised {found.false_alarms} false alarms."
        )
    return paragraphs


def _charts(result: DemoResult) -> list[Section]:
    labels = result.test.labels
    lowest = 1 / max(1, result.test.negatives)
    rates = [rate for rate in _CURVE_RATES if rate >= lowest]
    charts: list[Section] = []
    if rates:
        charts.append(
            Lines(
                title="Recall against false alarms",
                x_label="false-alarm rate",
                y_label="recall",
                log_x=True,
                y_from_zero=True,
                series=[
                    Series(
                        name=outcome.detector.name,
                        points=scoreboard.operating_curve(outcome.test_scores, labels, rates),
                    )
                    for outcome in result.outcomes
                ],
            )
        )
    kinds = list(result.outcomes[-1].test.recall_by_kind)
    if len(kinds) > 1:
        charts.append(
            Bars(
                title=f"Recall by kind, at {result.settings.false_alarm_rate:.1%} false alarms",
                y_label="recall",
                categories=kinds,
                values={
                    outcome.detector.name: [outcome.test.recall_by_kind[kind] for kind in kinds]
                    for outcome in result.outcomes
                },
            )
        )
    charts.append(
        Lines(
            title="Calibration",
            x_label="mean score",
            y_label="share of positives",
            y_from_zero=True,
            series=[
                Series(
                    name=outcome.detector.name,
                    points=scoreboard.reliability(outcome.test_scores, labels),
                )
                for outcome in result.outcomes
            ],
            note="Ten equally wide bins of the score; a well calibrated detector is a diagonal.",
        )
    )
    return charts


def _examples(result: DemoResult) -> list[Section]:
    """Texts with fictional contacts and the artifact's answers; none of a user's own texts."""
    if not isinstance(result.corpus, ListingCorpus):
        return []
    shown = result.corpus.examples_to_show(_SHOWN_EXAMPLES)
    assert not any(listings.real_contacts(example.text) for example in shown)
    classify = pipeline(
        "text-classification", result.settings.artifact, window=True, decide=True, top_k=None
    )
    rows: list[tuple[str, str, str, str]] = []
    for example, answers in zip(shown, classify([example.text for example in shown])):
        (answer,) = [row for row in answers if row["label"] == result.corpus.names[1]]
        rows.append(
            (
                example.text,
                f"{example.kind}" if example.label else "clean",
                f"{answer['score']:.3f}",
                "leak" if answer["decision"] else "–",
            )
        )
    return [
        Table(
            title="Examples",
            columns=("text", "what it is", "score", "decision"),
            rows=rows,
            note="Written by the generator; all numbers, names and domains are fictional.",
        )
    ]


def _proof(result: DemoResult) -> Section:
    rows: Sequence[Sequence[str]] = [
        (
            row.found,
            row.expected,
            row.output,
            f"{row.error:.1e}",
            "reported" if row.limit is None else f"{row.limit:.1e}",
        )
        for row in result.exported.report.comparisons
    ]
    return Table(
        title="Verified before the artifact got its name",
        columns=("found", "expected", "output", "relative error", "limit"),
        rows=rows,
        note=f"{result.exported.report.inputs} golden inputs; artifact {result.exported.digest}",
    )
