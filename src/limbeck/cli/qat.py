"""limbeck qat: a trained model and rows -> one that loses little in int8."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli import training_options as options


def command(
    model: Annotated[str, typer.Argument(help="Trained model: a directory or a hub name.")],
    data: options.DataFile,
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
    transfer: options.TransferFile = None,
    text_column: options.TextColumn = None,
    pair_column: options.PairColumn = None,
    label_column: options.LabelColumn = None,
    label_range: options.LabelRange = None,
    validation: options.ValidationFile = None,
    task: Annotated[
        str | None, typer.Option(help="What the model answers; default: as its config says.")
    ] = None,
    temperature: options.Temperature = 2.0,
    soft_weight: options.SoftWeight = 0.5,
    epochs: options.Epochs = 1.0,
    batch_size: options.BatchSize = 32,
    learning_rate: options.LearningRate = 1e-5,
    lenient: options.Lenient = False,
    seed: options.Seed = 0,
    cache: options.LogitsCache = Path(".limbeck/logits"),
) -> None:
    """Train a model under int8's rounding, so that it loses little when converted.

    For what `limbeck quantize` shows to lose too much. Weights that are zero stay zero.

    What was stopped goes on when the same command is given again: until the model is saved, the
    training's state lies in OUT.training.

    Example: limbeck qat ./pruned --teacher ./teacher --data reviews.csv --out ./ready
    """
    from limbeck import forge

    forge.require("torch", "transformers", "pyarrow")
    from limbeck.cli import going_on, saving
    from limbeck.cli import training_files as shared
    from limbeck.forge import asking, checkpoint, files, processes
    from limbeck.forge.distil import DistilConfig
    from limbeck.forge.quantize.qat import QatConfig, qat
    from limbeck.forge.training import TrainingConfig

    saving.check_out(out)
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
    columns = files.Columns(
        text=text_column,
        pair=pair_column,
        label=label_column,
        scale=shared.check_range(label_range),
    )
    rows, held_out = shared.rows_for(
        student,
        data,
        validation,
        transfer,
        columns,
        seed=seed,
        lenient=lenient,
        every=soft_weight == 0,
    )
    with processes.joined() as group:
        wanted = group.in_turn(
            lambda: asking.ask([wise], rows, "mean", temperature=temperature, cache=cache)
        )
        asked = {
            "command": "qat",
            "rows": rows.digest,
            "model": student.digest,
            "teacher": wise.digest,
            "config": asdict(config),
        }
        with going_on.kept(out, group, asked) as saves:
            made, report = qat(student, rows, wanted, config, teacher=wise, saves=saves)
            if group.is_first:
                saving.save(made, out)
        if group.is_first:
            shared.show_training(made, report, held_out, out, teacher=wise)
            typer.echo(f"next: limbeck quantize {out} --data {validation or data} --out ./artifact")
        group.wait()
