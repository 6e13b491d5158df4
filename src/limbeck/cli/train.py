"""limbeck train: labelled rows -> a fine-tuned teacher."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli import training_options as options


def command(
    data: options.DataFile,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Encoder: a model directory or a hub name.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for the trained model.")],
    task: Annotated[
        str,
        typer.Option(
            help="text-classification, token-classification, question-answering or "
            "sentence-embedding."
        ),
    ] = "text-classification",
    text_column: options.TextColumn = None,
    pair_column: options.PairColumn = None,
    label_column: options.LabelColumn = None,
    label_range: options.LabelRange = None,
    problem: Annotated[
        str,
        typer.Option(
            help="single_label; multi_label: labels in a list, or a|b; regression: numbers."
        ),
    ] = "single_label",
    validation: options.ValidationFile = None,
    epochs: options.Epochs = 3.0,
    batch_size: options.BatchSize = 32,
    learning_rate: options.LearningRate = 5e-5,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            help="Longer texts are cut, in training and in what is made of it; default 128. "
            "Contexts of questions are read in windows, of 384."
        ),
    ] = None,
    balance: options.Balance = False,
    lenient: options.Lenient = False,
    seed: Annotated[int, typer.Option(help="Seed for batches, dropout and the new head.")] = 0,
    precision: options.PrecisionName = "auto",
    minutes: Annotated[
        float | None, typer.Option(help="Stop training after this time, its schedule completed.")
    ] = None,
) -> None:
    """Fine-tune an encoder to label texts, tag words, answer questions or embed sentences.

    What was stopped goes on when the same command is given again: until the model is saved, the
    training's state lies in OUT.training.

    Example: limbeck train --data reviews.csv --model ./MiniLM --out ./teacher

    Example: limbeck train --task question-answering -d train-v1.1.json -m ./MiniLM -o ./teacher
    """
    from limbeck import forge

    forge.require("torch", "transformers")
    from limbeck.cli import going_on, saving
    from limbeck.cli import training_files as shared
    from limbeck.forge import files, processes, teacher
    from limbeck.forge.training import TrainingConfig

    saving.check_out(out)
    wanted = shared.check_task(task)
    columns = files.Columns(
        text=text_column,
        pair=pair_column,
        label=label_column,
        scale=shared.check_range(label_range),
    )
    with shared.reporter(lenient) as tell:
        rows, held_out = files.read_and_split(
            data,
            validation,
            wanted,
            columns,
            seed=seed,
            problem=shared.check_problem(problem),
            every=True,
            report=tell,
        )
    config = TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_tokens=teacher.usual_max_tokens(wanted) if max_tokens is None else max_tokens,
        seed=seed,
        balance_classes=balance,
        precision=shared.check_precision(precision),
        max_seconds=None if minutes is None else 60 * minutes,
    )
    with processes.joined() as group:
        asked = {"command": "train", "rows": rows.digest, "config": asdict(config)}
        with going_on.kept(out, group, asked) as saves:
            made, report = teacher.finetune(model, rows, config, saves=saves)
            if group.is_first:
                saving.save(made, out)
        if group.is_first:
            shared.show_training(made, report, held_out, out)
            typer.echo(f"next: limbeck distil --teacher {out} --data {data} --out ./student")
        group.wait()
