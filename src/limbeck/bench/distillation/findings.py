"""Answers of several seeds -> what is kept, with intervals, as rows.

A draw of the bootstrap is one of rows: the teacher, and the students of all seeds, are looked at on
the same rows, and the students' metrics are averaged. So rows that are hard for all count for
nothing, and three seeds on the same 872 rows are not taken for 2,616 rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from limbeck import evaluation, measure
from limbeck.bench.distillation import digests
from limbeck.bench.distillation.plan import STUDENT_LAYERS, Finding, Run
from limbeck.bench.distillation.sets import Rows
from limbeck.bench.distillation.work import Answered, Workshop
from limbeck.errors import InputError
from limbeck.evaluation import Interval
from limbeck.forge.recipe.kept import kept_of
from limbeck.tasks import bootstrap
from limbeck.tasks.bootstrap import Metric

RESAMPLES = 2000
ALL = "all"  # in place of a data set: the mean over them


def metric_of(answered: Answered) -> tuple[str, Metric]:
    """The headline metric of answers, as a function of rows, with its name."""
    return next(iter(evaluation.metrics_of(answered.problem, answered.values).items()))


def mean(metrics: Sequence[Metric]) -> Metric:
    """The mean of several seeds' metrics on the same rows."""
    return lambda at: float(np.mean([one(at) for one in metrics]))


def kept(
    students: Sequence[Metric], teacher: Metric, rows: int, *, resamples: int = RESAMPLES
) -> Interval:
    """Per cent of the teacher's metric that the students' mean has."""
    return kept_of(mean(students), teacher, rows, resamples=resamples)


def gained(
    students: Sequence[Metric], others: Sequence[Metric], rows: int, *, resamples: int = RESAMPLES
) -> Interval:
    """Points (hundredths of the metric) by which the students' mean is above the others'."""
    first, second = mean(students), mean(others)
    return bootstrap.difference(
        lambda at: 100 * first(at), lambda at: 100 * second(at), rows, resamples=resamples
    )


def together(
    differences: Sequence[tuple[Metric, int]],
    *,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The mean over data sets of a metric each (with its number of rows), every data set's rows
    drawn by themselves.

    Raises:
        InputError: there is no data set.
    """
    if not differences:
        raise InputError("there are no data sets to take the mean of")
    generator = np.random.default_rng(seed)
    found = np.array(
        [
            np.mean([metric(generator.integers(0, rows, rows)) for metric, rows in differences])
            for _ in range(resamples)
        ]
    )
    low, high = np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2])
    value = float(np.mean([metric(np.arange(rows)) for metric, rows in differences]))
    return Interval(value=value, low=float(low), high=float(high))


def answers(runs: Sequence[Run], finding: Finding, shop: Workshop, rows: Rows) -> list[Answered]:
    """What trained runs answer to the data set's test rows, in the precision of the finding."""
    return [shop.answer(run, finding.precision, rows.test, finding.scoring) for run in runs]


def row(
    finding: Finding, shop: Workshop, rows: Rows, *, run: str, scale: float, quick: bool
) -> measure.Row:
    """A row of results; every model that it needs has been trained.

    `value` is the mean over seeds in points, `low` and `high` the worst and the best seed; what is
    kept or gained stands in `extra` with its interval.
    """
    one = finding.data_set
    found = answers(finding.runs, finding, shop, rows)
    name = metric_of(found[0])[0]
    own = [metric_of(each)[1] for each in found]
    count = len(rows.test)
    everything = np.arange(count)
    extra: dict[str, str | int | float]
    if finding.minus:
        others = [metric_of(each)[1] for each in answers(finding.minus, finding, shop, rows)]
        difference = gained(own, others, count)
        values = [
            100 * (metric(everything) - other(everything))
            for metric, other in zip(own, others, strict=True)
        ]
        extra = _interval("gained", difference)
    else:
        first = shop.answer(finding.teacher, "fp32", rows.test, finding.scoring)
        values = [100 * metric(everything) for metric in own]
        share = kept(own, metric_of(first)[1], count)
        extra = {
            # a teacher that learned nothing (a correlation of 0 or less) leaves no share to keep
            **(_interval("kept", share) if np.isfinite([share.value, share.low]).all() else {}),
            **_interval("metric", bootstrap.interval(mean(own), count, resamples=RESAMPLES)),
            "train_minutes": float(
                np.mean([shop.report(each)["seconds"] for each in finding.runs]) / 60
            ),
            "parameters_m": shop.report(finding.runs[0])["parameters"] / 1e6,
            "size_mb": shop.size_mb(finding.runs[0], finding.precision),
        }
    budget = finding.runs[0].budget
    method = finding.runs[0].method
    workload: dict[str, str | int | float] = {
        "data_set": one.name,
        "metric": name,
        "rows": count,
        "train_rows": len(rows.train),
        "max_tokens": one.max_tokens,
        "epochs": finding.runs[0].training.epochs,
        "learning_rate": budget.learning_rate,
        "batch_size": budget.batch_size,
        "role": finding.role,
        "precision": finding.precision,
        "seeds": len(finding.runs),
        "scale": scale,
        "quick": int(quick),
        "teacher": finding.teacher.key,
        "key": finding.key,
    }
    if method is not None and method.transfer and rows.transfer is not None:
        workload["transfer_rows"] = len(rows.transfer)
    if method is not None:
        workload["layers"] = STUDENT_LAYERS
        workload["temperature"] = method.temperature
        workload["soft_weight"] = method.soft_weight
    return _row(finding.subject, workload, values, extra, run)


def overall_key(parts: Sequence[Finding]) -> str:
    """What names the mean of the same difference over several data sets."""
    return digests.of_values(*(part.key for part in parts))


def overall(
    parts: Sequence[tuple[Finding, Rows]],
    shop: Workshop,
    *,
    run: str,
    scale: float,
    quick: bool,
) -> measure.Row:
    """The mean of one difference over data sets; `value`, `low` and `high` are of data sets."""
    differences: list[tuple[Metric, int]] = []
    for finding, rows in parts:
        own, others = (
            mean([metric_of(each)[1] for each in answers(runs, finding, shop, rows)])
            for runs in (finding.runs, finding.minus)
        )
        differences.append(
            (lambda at, a=own, b=others: 100 * (a(at) - b(at)), len(rows.test))  # type: ignore[misc]
        )
    first = parts[0][0]
    return _row(
        first.subject,
        {
            "data_set": ALL,
            "metric": "mean over data sets",
            "sets": ", ".join(finding.data_set.name for finding, _ in parts),
            "rows": sum(rows for _, rows in differences),
            "role": first.role,
            "precision": first.precision,
            "seeds": len(first.runs),
            "scale": scale,
            "quick": int(quick),
            "key": overall_key([finding for finding, _ in parts]),
        },
        [metric(np.arange(rows)) for metric, rows in differences],
        _interval("gained", together(differences)),
        run,
    )


def _row(
    subject: str,
    workload: Mapping[str, str | int | float],
    values: Sequence[float],
    extra: Mapping[str, str | int | float],
    run: str,
) -> measure.Row:
    low, high = float(min(values)), float(max(values))
    return measure.Row(
        run=run,
        benchmark="distillation",
        subject=subject,
        workload=workload,
        unit="points",
        value=min(max(float(np.mean(values)), low), high),  # equal values have a mean beside them
        low=low,
        high=high,
        repeats=len(values),
        extra=extra,
        versions=measure.versions(["limbeck", "torch", "transformers"]),
    )


def _interval(name: str, found: Interval) -> dict[str, str | int | float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
