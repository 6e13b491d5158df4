"""What a number format costs on a task: one model, every precision, the same labelled texts.

`python -m limbeck.bench.accuracy MODEL --data FILE`: accuracy of a text classifier on rows of text
and label, or Spearman's correlation of a sentence encoder's cosines on rows of text, text_pair and
label. --calibrate FILE adds int8 with static ranges, taken from other texts.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from limbeck import artifact, data, engine, measure, runtimes
from limbeck.errors import InputError, LimbeckError
from limbeck.pipeline import pipeline
from limbeck.spec import QuantSpec
from limbeck.tasks import metrics

RESULTS = Path("benchmarks/results/accuracy.jsonl")
FLOAT = "fp32"
ROUNDED = ("bf16", "int8")
STATIC = "int8 static"
CALIBRATION_TEXTS = 64
F64 = npt.NDArray[np.float64]


def spearman(found: F64, wanted: F64) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks.

    Raises:
        InputError: fewer than two values, or all alike.
    """

    value = metrics.spearman(found, wanted)
    if math.isnan(value):
        raise InputError("a rank correlation needs at least two different values")
    return value


def classification(model: runtimes.Model, rows: Sequence[data.Row]) -> F64:
    """1.0 for each row whose label the model gives, else 0.0.

    A label is one of the model's, or its number as Hugging Face counts them.
    """
    labels = model.spec.task.labels
    answers = pipeline("text-classification", model)([row.text for row in rows])
    found = [answer["label"] for answer in answers]
    wanted = [
        labels[int(row.label)]
        if row.label not in labels and row.label.isdigit() and int(row.label) < len(labels)
        else row.label
        for row in rows
        if row.label is not None
    ]
    if len(wanted) != len(rows) or not set(wanted) <= set(labels):
        raise InputError(f"every row needs one of the labels {list(labels)}, or its number")
    return np.array([one == other for one, other in zip(found, wanted, strict=True)], np.float64)


def similarity(model: runtimes.Model, rows: Sequence[data.Row]) -> F64:
    """The cosine of each row's two texts."""
    pairs = [row.pair for row in rows if row.pair is not None]
    if len(pairs) != len(rows):
        raise InputError("every row needs text and text_pair for a rank correlation")
    embed = pipeline("sentence-embedding", model)
    first, second = np.asarray(embed([row.text for row in rows])), np.asarray(embed(pairs))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines: F64 = (first * second).sum(axis=1).astype(np.float64) / norms
    return cosines


@contextmanager
def static_model(source: Path, texts: Iterable[str]) -> Iterator[runtimes.Model]:
    """The model in int8 with static ranges from these texts."""
    opened = runtimes.open_source(source)
    spec = opened.spec
    ranges = runtimes.static_ranges(opened, texts, spec.task.max_tokens)
    with tempfile.TemporaryDirectory(prefix="limbeck-") as directory:
        artifact.write(
            Path(directory) / "static",
            spec=replace(spec, quant=QuantSpec(precision="int8", activations="static")),
            weights={**engine.quantize_weights(opened.weights, spec.encoder), **ranges},
            tokenizer_json=opened.tokenizer_json(),
            lineage={"made by": "limbeck.bench.accuracy"},
        )
        yield runtimes.load(Path(directory) / "static")


def run(source: Path, file: Path, calibrate: Path | None, at_most: int | None) -> list[measure.Row]:
    """One row a precision; `extra` has its difference from fp32, in points.

    Raises:
        LimbeckError: a model or rows that do not fit.
    """
    floats = runtimes.load(source, precision=FLOAT)
    pairs = floats.spec.task.task == "sentence-embedding"
    rows = list(
        itertools.islice(
            data.read_rows(file, label_column="label", pair_column="text_pair" if pairs else None),
            at_most,
        )
    )
    if not rows:
        raise InputError(f"{file} has no rows")

    def metric(model: runtimes.Model) -> float:
        if not pairs:
            return float(100 * classification(model, rows).mean())
        wanted = np.array([float(row.label or "nan") for row in rows])
        return 100 * spearman(similarity(model, rows), wanted)

    found = {FLOAT: metric(floats)}
    for precision in ROUNDED:
        found[precision] = metric(runtimes.load(source, precision=precision))
    if calibrate is not None:
        sample = itertools.islice(data.read_rows(calibrate), CALIBRATION_TEXTS)
        with static_model(source, (row.text for row in sample)) as model:
            found[STATIC] = metric(model)
    name = f"{file.resolve().parent.name}-{file.name.split('.')[0]}"
    run_name = measure.new_run()
    return [
        measure.Row(
            run=run_name,
            benchmark="accuracy",
            subject=f"limbeck {precision}",
            workload={
                "model": source.name,
                "texts": name,
                "rows": len(rows),
                "metric": "100 x Spearman" if pairs else "accuracy, %",
            },
            unit="points",
            value=value,
            low=value,
            high=value,
            repeats=1,
            extra={"difference": value - found[FLOAT]},
            versions=measure.versions(["limbeck", "numpy", "tokenizers"]),
        )
        for precision, value in found.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m limbeck.bench.accuracy", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE")
    parser.add_argument("--calibrate", type=Path, metavar="FILE")
    parser.add_argument("--rows", type=int, metavar="N", help="read no more than so many")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        rows = run(options.model, options.data, options.calibrate, options.rows)
        measure.append_rows(options.results, rows)
    except LimbeckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for row in rows:
        print(f"{row.subject:20} {row.value:7.2f}  ({row.extra['difference']:+.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
