"""limbeck qat: a trained model and rows -> one that loses little in int8."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Argument(help="Trained model: a directory or a hub name.")],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            "-d",
            help="CSV, JSONL or Parquet with texts and labels; CoNLL for tags; SQuAD's JSON.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for the model.")],
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher", "-t", help="Whose answers it keeps to; default: its own, as it was."
        ),
    ] = None,
    static: Annotated[
        bool,
        typer.Option("--static", help="For static ranges, measured on the rows, brought along."),
    ] = False,
    observer: Annotated[
        str, typer.Option(help="How a static range is chosen: minmax, percentile or mse.")
    ] = "mse",
    text_column: Annotated[
        str | None,
        typer.Option(help="Column with the text; default: text, tokens, question, by the task."),
    ] = None,
    pair_column: Annotated[
        str | None,
        typer.Option(help="Column with a second text; default: context, text_pair."),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column with what is right; default: label, tags, answers.")
    ] = None,
    label_range: Annotated[
        str | None,
        typer.Option(help="Lowest and highest similarity of the file, such as 0,5."),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(help="Labelled file to measure on; without it a tenth of --data is held out."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="What the model answers; default: as its config says.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Temperature of the soft targets.")] = 2.0,
    soft_weight: Annotated[
        float, typer.Option(help="Share of the soft targets in the loss; the labels have the rest.")
    ] = 0.5,
    epochs: Annotated[float, typer.Option(help="Passes over the data.")] = 1.0,
    batch_size: Annotated[int, typer.Option(help="Texts in a training step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 1e-5,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Name bad rows and leave them out, and go on.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed for batches and dropout.")] = 0,
    cache: Annotated[
        Path, typer.Option(help="Directory for the teacher's logits, kept between runs.")
    ] = Path(".limbeck/logits"),
) -> None:
    """Train a model under int8's rounding, so that it loses little when converted.

    For what `limbeck quantize` shows to lose too much. Weights that are zero stay zero.

    Example: limbeck qat ./pruned --teacher ./teacher --data reviews.csv --out ./ready
    """
    from limbeck import forge

    forge.require("torch", "transformers", "pyarrow")
    from limbeck.cli import training_files as shared
    from limbeck.forge import asking, checkpoint, files
    from limbeck.forge.distil import DistilConfig
    from limbeck.forge.quantize.qat import QatConfig, qat
    from limbeck.forge.training import TrainingConfig

    shared.check_out(out)
    student = checkpoint.load(model, None if task is None else shared.check_task(task))
    config = QatConfig(
        activations="static" if static else "dynamic",
        observer=observer,
        distil=DistilConfig(
            temperature=temperature,
            soft_weight=soft_weight,
            training=TrainingConfig(
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                max_tokens=student.max_tokens,
                seed=seed,
                precision="fp32",
            ),
        ),
    )
    wise = checkpoint.load(teacher or model, student.task)
    rows, held_out = files.read_and_split(
        data,
        validation,
        student.task,
        files.Columns(
            text=text_column,
            pair=pair_column,
            label=label_column,
            scale=shared.check_range(label_range),
        ),
        seed=seed,
        names=student.labels or None,
        problem=student.problem,
        report=shared.reporter(lenient),
    )
    wanted = asking.ask([wise], rows, "mean", temperature=temperature, cache=cache)
    made, report = qat(student, rows, wanted, config, teacher=wise)
    made.save(out)
    shared.show_training(made, report, held_out, out, teacher=wise)
    typer.echo(f"next: limbeck quantize {out} --data {validation or data} --out ./artifact")
