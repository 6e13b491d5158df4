"""limbeck prune: a trained model and texts -> the same model without most of its weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from limbeck.cli import training_options as options


def command(
    model: Annotated[str, typer.Argument(help="Trained model: a directory or a hub name.")],
    data: options.DataFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for the pruned model.")],
    pattern: Annotated[
        str, typer.Option(help="Block, output rows x inputs: 1x4, 2x4, 4x4, 8x4 or 4x1.")
    ] = "4x4",
    sparsity: Annotated[
        float, typer.Option(help="Share of the encoder's blocks that is gone at the end.")
    ] = 0.8,
    criterion: Annotated[
        str,
        typer.Option(
            help="What a block is worth: magnitude, absolute (values), movement or snip-momentum; "
            "or reconstruction: all go at once, and the weights that stay make up for them."
        ),
    ] = "snip-momentum",
    allocation: Annotated[
        str,
        typer.Option(
            help="uniform: the same share of every layer; global: the lowest of all; latency: "
            "where it saves most time here."
        ),
    ] = "global",
    cap: Annotated[float, typer.Option(help="Largest share of a layer that goes.")] = 0.98,
    start: Annotated[
        float, typer.Option(help="Pruning begins after this share of the steps.")
    ] = 0.0,
    end: Annotated[float, typer.Option(help="The sparsity is reached at this share.")] = 0.5,
    lock: Annotated[
        float, typer.Option(help="From this share on no block comes back or goes.")
    ] = 0.6,
    every: Annotated[int, typer.Option(help="Steps between two choices of blocks.")] = 20,
    heads: Annotated[
        int | None, typer.Option(help="Attention heads that a layer keeps; default: all.")
    ] = None,
    ffn: Annotated[
        int | None, typer.Option(help="Feed-forward columns that a layer keeps; default: all.")
    ] = None,
    importance: Annotated[
        str, typer.Option(help="Which heads and columns go, by gradient or magnitude.")
    ] = "gradient",
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", "-t", help="Whom it learns from; default: itself, unpruned."),
    ] = None,
    transfer: options.TransferFile = None,
    text_column: options.TextColumn = None,
    pair_column: options.PairColumn = None,
    label_column: options.LabelColumn = None,
    label_range: options.LabelRange = None,
    validation: options.ValidationFile = None,
    temperature: options.Temperature = 2.0,
    soft_weight: options.SoftWeight = 1.0,
    soft_loss: options.SoftLossName = "kl",
    hidden_weight: options.HiddenWeight = 0.0,
    cosine_weight: options.CosineWeight = 0.0,
    relation_weight: options.RelationWeight = 0.0,
    epochs: options.Epochs = 10.0,
    batch_size: options.BatchSize = 32,
    learning_rate: options.LearningRate = 1e-4,
    balance: options.Balance = False,
    lenient: options.Lenient = False,
    seed: options.Seed = 0,
    precision: options.PrecisionName = "auto",
    tokens: Annotated[
        int, typer.Option(help="--allocation latency: tokens of a call.", min=1, max=512)
    ] = 128,
    threads: Annotated[
        int, typer.Option(help="--allocation latency: threads of the engine.", min=1)
    ] = 1,
    cache: options.LogitsCache = Path(".limbeck/logits"),
) -> None:
    """Take blocks out of a trained model while it learns from a teacher.

    Blocks of the encoder's linear layers become zeros, which the engine leaves out of its sums;
    embeddings and head stay dense. With --heads and --ffn, whole heads and columns go before that.

    What was stopped goes on when the same command is given again: until the model is saved, the
    training's state lies in OUT.training.

    Example: limbeck prune ./student --data reviews.csv --pattern 4x4 --sparsity 0.8 --out ./pruned

    Example: limbeck prune ./student -t ./teacher -d reviews.csv --criterion movement -o ./pruned
    """
    from limbeck import forge

    forge.require("torch", "transformers", "pyarrow")
    from limbeck.cli import going_on, saving
    from limbeck.cli import training_files as shared
    from limbeck.forge import asking, checkpoint, files, processes
    from limbeck.forge.distil import DistilConfig
    from limbeck.forge.intermediate import IntermediateConfig
    from limbeck.forge.prune import PruneConfig, Schedule, Structure, latency_table, width_of
    from limbeck.forge.prune import prune as pruned
    from limbeck.forge.training import TrainingConfig

    saving.check_out(out)
    structure = Structure(heads=heads, ffn=ffn, importance=cast(Any, importance))
    learning = DistilConfig(
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
            seed=seed,
            balance_classes=balance,
            precision=shared.check_precision(precision),
        ),
    )
    # the words among these are checked by the configuration itself
    config = PruneConfig(
        pattern=cast(Any, pattern),
        sparsity=sparsity,
        criterion=cast(Any, criterion),
        allocation=cast(Any, allocation),
        cap=cap,
        schedule=Schedule(start=start, end=end, lock=lock, every=every),
        structure=structure,
        distil=learning,
    )
    student = checkpoint.load(model)
    wise = checkpoint.load(model if teacher is None else teacher)
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
    with processes.joined() as group:
        wanted = group.in_turn(
            lambda: asking.ask([wise], rows, temperature=temperature, cache=cache)
        )
        asked = {
            "command": "prune",
            "rows": rows.digest,
            "model": student.digest,
            "teacher": wise.digest,
            "config": asdict(config),
            "latency": {"tokens": tokens, "threads": threads},
        }
        with going_on.kept(out, group, asked) as saves:
            latency = None
            if allocation == "latency" and group.is_first:
                width = width_of(student.model)
                latency = going_on.measured_once(
                    saves,
                    lambda: latency_table(width, structure, tokens=tokens, threads=threads),
                )
            latency = group.firsts(latency)
            made, report = pruned(
                student, rows, wanted, config, teacher=wise, saves=saves, latency=latency
            )
            if group.is_first:
                saving.save(made, out)
        if group.is_first:
            shared.show_training(made, report.training, held_out, out, teacher=wise)
            layers = sorted(report.layers.items(), key=lambda one: one[1])
            (thick, least), (thin, most) = layers[0], layers[-1]
            typer.echo(
                f"{report.sparsity:.2%} of all {pattern} blocks are gone; most of {thin} "
                f"({most:.2%}), least of {thick} ({least:.2%})"
            )
            typer.echo(f"next: limbeck convert {out} --out ./artifact")
        group.wait()
