"""limbeck distil: a teacher and texts -> a shallower student."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli import training_options as options


def command(
    teacher: Annotated[
        list[str],
        typer.Option(
            "--teacher",
            "-t",
            help="Trained model: a directory or a hub name. Given again: several teachers; "
            "the student starts from the first.",
        ),
    ],
    data: options.DataFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for the student.")],
    layers: Annotated[
        int | None, typer.Option("--layers", "-l", help="Layers to keep; default: half of them.")
    ] = None,
    take: Annotated[
        str | None,
        typer.Option(help="Which of the teacher's layers to keep, from 0, such as 0,2,5."),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(help="A narrower student: a name of limbeck students, or 4x312x12x1200."),
    ] = None,
    random: Annotated[
        bool, typer.Option("--random", help="--shape with fresh weights, not the teacher's.")
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option("--from", help="The student begins as this encoder: a directory or hub name."),
    ] = None,
    transfer: options.TransferFile = None,
    text_column: options.TextColumn = None,
    pair_column: options.PairColumn = None,
    label_column: options.LabelColumn = None,
    label_range: options.LabelRange = None,
    validation: options.ValidationFile = None,
    temperature: options.Temperature = 2.0,
    soft_weight: options.SoftWeight = 0.5,
    soft_loss: options.SoftLossName = "kl",
    combine: Annotated[
        str,
        typer.Option(help="Several teachers: mean, weighted (by held-out accuracy) or confidence."),
    ] = "mean",
    hidden_weight: options.HiddenWeight = 0.0,
    cosine_weight: options.CosineWeight = 0.0,
    relation_weight: options.RelationWeight = 0.0,
    epochs: options.Epochs = 3.0,
    batch_size: options.BatchSize = 32,
    learning_rate: options.LearningRate = 1e-4,
    balance: options.Balance = False,
    lenient: options.Lenient = False,
    seed: options.Seed = 0,
    precision: options.PrecisionName = "auto",
    cache: options.LogitsCache = Path(".limbeck/logits"),
) -> None:
    """Distil a trained model into a shallower or narrower one, or into another encoder.

    What was stopped goes on when the same command is given again: until the model is saved, the
    training's state lies in OUT.training.

    Example: limbeck distil --teacher ./teacher --data reviews.csv --layers 3 --out ./student

    Example: limbeck distil -t ./teacher -d reviews.csv --shape 3x256x8x1024 -o ./student

    Example: limbeck distil -t ./one -t ./two --combine confidence -d reviews.csv -o ./student
    """
    from limbeck import forge

    forge.require("torch", "transformers", "pyarrow")
    from limbeck.cli import going_on, saving
    from limbeck.cli import training_files as shared
    from limbeck.cli.beginnings import begin, check_beginning
    from limbeck.forge import asking, checkpoint, distil, files, processes
    from limbeck.forge.intermediate import IntermediateConfig
    from limbeck.forge.training import TrainingConfig

    saving.check_out(out)
    check_beginning(layers, take, shape, encoder, random)
    how = shared.check_combination(combine)
    taken = None if take is None else shared.layer_numbers(take, layers)
    teachers = [checkpoint.load(name) for name in teacher]
    wise = teachers[0]
    student = begin(
        teachers,
        layers=layers,
        taken=taken,
        shape=shape,
        encoder=encoder,
        random=random,
        seed=seed,
    )
    columns = files.Columns(
        text=text_column,
        pair=pair_column,
        label=label_column,
        scale=shared.check_range(label_range),
    )
    rows, held_out = shared.rows_for(
        wise,
        data,
        validation,
        transfer,
        columns,
        seed=seed,
        lenient=lenient,
        every=soft_weight == 0,
    )
    config = distil.DistilConfig(
        temperature=temperature,
        soft_weight=soft_weight,
        soft_loss=shared.check_soft_loss(soft_loss),
        inside=IntermediateConfig(
            hidden_weight=hidden_weight,
            cosine_weight=cosine_weight,
            relation_weight=relation_weight,
        ),
        training=TrainingConfig(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            max_tokens=wise.max_tokens,
            seed=seed,
            balance_classes=balance,
            precision=shared.check_precision(precision),
        ),
    )
    with processes.joined() as group:
        wanted = group.in_turn(
            lambda: asking.ask(
                teachers, rows, how, temperature=temperature, held_out=held_out, cache=cache
            )
        )
        asked = {
            "command": "distil",
            "rows": rows.digest,
            "rows held out": held_out.digest,
            **{f"teacher {place + 1}": one.digest for place, one in enumerate(teachers)},
            "combine": how,
            "config": asdict(config),
        }
        with going_on.kept(out, group, asked) as saves:
            made, report = distil.offline(student, rows, wanted, config, teacher=wise, saves=saves)
            if group.is_first:
                saving.save(made, out)
        if group.is_first:
            shared.show_training(made, report, held_out, out, teacher=wise)
            typer.echo(f"next: limbeck convert {out} --out ./artifact")
        group.wait()
