"""limbeck distil: a teacher and texts -> a shallower student."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            "-d",
            help="CSV, JSONL or Parquet with texts and labels; CoNLL for tags; SQuAD's JSON.",
        ),
    ],
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
    transfer: Annotated[
        Path | None,
        typer.Option(help="More texts, labels not needed, on which the teacher is asked."),
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(help="Column with the text; default: text, tokens, question, by the task."),
    ] = None,
    pair_column: Annotated[
        str | None,
        typer.Option(
            help="Column with a second text, for tasks on pairs; default: context, text_pair."
        ),
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
    temperature: Annotated[float, typer.Option(help="Temperature of the soft targets.")] = 2.0,
    soft_weight: Annotated[
        float, typer.Option(help="Share of the soft targets in the loss; the labels have the rest.")
    ] = 0.5,
    soft_loss: Annotated[
        str,
        typer.Option(help="kl: divergence at --temperature; mse: squared difference of logits."),
    ] = "kl",
    combine: Annotated[
        str,
        typer.Option(help="Several teachers: mean, weighted (by held-out accuracy) or confidence."),
    ] = "mean",
    hidden_weight: Annotated[
        float, typer.Option(help="Add the squared difference of hidden states (TinyBERT).")
    ] = 0.0,
    cosine_weight: Annotated[
        float, typer.Option(help="Add 1 - cosine of hidden states (DistilBERT).")
    ] = 0.0,
    relation_weight: Annotated[
        float, typer.Option(help="Add attention relations of the last layers (MiniLM v2).")
    ] = 0.0,
    epochs: Annotated[float, typer.Option(help="Passes over the data.")] = 3.0,
    batch_size: Annotated[int, typer.Option(help="Texts in a training step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 1e-4,
    balance: Annotated[
        bool, typer.Option("--balance", help="Rare classes count for more: all weigh the same.")
    ] = False,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Name bad rows and leave them out, and go on.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed for batches and dropout.")] = 0,
    precision: Annotated[
        str, typer.Option(help="auto, fp32 or bf16; auto takes bf16 where a probe finds it faster.")
    ] = "auto",
    cache: Annotated[
        Path, typer.Option(help="Directory for the teacher's logits, kept between runs.")
    ] = Path(".limbeck/logits"),
) -> None:
    """Distil a trained model into a shallower or narrower one, or into another encoder.

    Example: limbeck distil --teacher ./teacher --data reviews.csv --layers 3 --out ./student

    Example: limbeck distil -t ./teacher -d reviews.csv --shape 3x256x8x1024 -o ./student

    Example: limbeck distil -t ./one -t ./two --combine confidence -d reviews.csv -o ./student
    """
    from limbeck import forge

    forge.require("torch", "transformers", "pyarrow")
    from limbeck.cli import training_files as shared
    from limbeck.cli.beginnings import begin, check_beginning
    from limbeck.forge import asking, checkpoint, distil, files, processes
    from limbeck.forge.intermediate import IntermediateConfig
    from limbeck.forge.training import TrainingConfig

    shared.check_out(out)
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
    problem = wise.problem
    report_bad = shared.reporter(lenient)
    rows, held_out = files.read_and_split(
        data,
        validation,
        wise.task,
        columns,
        seed=seed,
        names=wise.labels or None,
        problem=problem,
        report=report_bad,
    )
    if transfer is not None:
        more = files.read(
            transfer,
            wise.task,
            columns,
            names=wise.labels or None,
            problem=problem,
            labels=False,
            report=report_bad,
        )
        rows = rows.joined(more)
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
        if not group.is_first:
            group.wait()  # the first one asks, and the others find the answers in the cache
        wanted = asking.ask(
            teachers, rows, how, temperature=temperature, held_out=held_out, cache=cache
        )
        if group.is_first:
            group.wait()
        made, report = distil.offline(student, rows, wanted, config, teacher=wise)
        if group.is_first:
            made.save(out)
            shared.show_training(made, report, held_out, out, teacher=wise)
            typer.echo(f"next: limbeck convert {out} --out ./artifact")
        group.wait()
